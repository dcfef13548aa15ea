"""`protoexplain app` opens whatever is installed as the app."""

from importlib.metadata import EntryPoint

from protoexplain import registry

served = []


def serve(*given, **named):
    served.append((given, named))


def test_the_installed_app_is_served(cli, tmp_path, monkeypatch):
    point = EntryPoint("mine", f"{__name__}:serve", "protoexplain.app")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == "protoexplain.app" else [])
    served.clear()
    code, _, trouble = cli("app", "--checkpoints", tmp_path, "--port", 7999)
    assert (code, trouble) == (0, "")
    ((given, named),) = served
    assert given == (tmp_path, None, "127.0.0.1", 7999)
    assert named == {"auth": None, "add_user": None, "mcp": False, "device": "auto", "role": None}


def test_without_an_app_it_says_so(cli, monkeypatch):
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    code, _, trouble = cli("app")
    assert code == 2
    assert "no app is installed" in trouble
