"""Rules that hold for all of the code."""

import ast
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import protoexplain
from protoexplain.config import preset_names, resolve
from protoexplain.models.registry import family_names, get_family

ROOT = Path(protoexplain.__file__).parents[1]
SOURCES = sorted(path for folder in ("protoexplain", "app") for path in (ROOT / folder).rglob("*.py"))
MOST_LINES = 400
PICTURES = {"protoexplain/io/images.py", "protoexplain/explain/session.py"}
"""The reader of foreign pictures, and the one that decodes those in checkpoints, which we wrote."""


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def calls(tree):
    """(dotted name, call) of each call in a file."""
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def imports(tree):
    """Dotted names that a file imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.fixture(params=SOURCES, ids=name_of)
def source(request):
    return request.param


def test_there_is_something_to_check():
    assert len(SOURCES) > 60


def test_files_are_short(source):
    assert len(source.read_text().splitlines()) <= MOST_LINES


def test_nothing_executes_what_was_read(source):
    tree = ast.parse(source.read_text())
    for name, call in calls(tree):
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if name == "torch.load":
            assert given.get("weights_only") == "True", f"torch.load in line {call.lineno}"
        if name in ("yaml.load", "yaml.load_all"):
            loader = given.get("Loader") or (ast.unparse(call.args[1]) if len(call.args) > 1 else "")
            assert loader == "_Loader", f"{name} in line {call.lineno}"
        assert name.split(".")[-1] not in ("extractall", "unsafe_load", "full_load"), f"line {call.lineno}"
        assert name not in ("eval", "exec", "os.system"), f"line {call.lineno}"
    assert not {name.split(".")[0] for name in imports(tree)} & {"pickle", "dill", "joblib", "marshal", "shelve"}


def test_pictures_are_opened_in_one_place(source):
    opened = [call for name, call in calls(ast.parse(source.read_text())) if name in ("Image.open", "cv2.imread")]
    assert not opened or name_of(source) in PICTURES


def test_no_global_state_of_plots_and_devices(source):
    tree = ast.parse(source.read_text())
    assert not any(name.startswith(("matplotlib.pyplot", "pylab")) for name in imports(tree))
    assert not any(name.endswith(".cuda") for name, _ in calls(tree)), "use .to(device)"


def test_no_family_is_asked_for_by_name(source):
    """Only the families themselves know which one they are; all others ask the contract."""
    if "families" in source.parts:
        return
    names = set(family_names())
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Compare | ast.MatchValue):
            words = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
            assert not words & names, f"line {node.lineno}"


def test_core_knows_neither_app_nor_gradio(source):
    if name_of(source).startswith("protoexplain/"):
        assert not {name.split(".")[0] for name in imports(ast.parse(source.read_text()))} & {"app", "gradio", "fastapi"}


def test_import_is_light():
    heavy = "{'torch', 'gradio', 'cv2', 'matplotlib', 'numpy', 'timm'}"
    script = f"import sys, protoexplain; print(sorted({heavy} & set(sys.modules)), len(protoexplain.__all__))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", str(len(protoexplain.__all__))]


def test_actions_of_the_app_need_no_gradio(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] in ("app", "gradio")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert importlib.import_module("app.actions").explain_case
    with pytest.raises(ImportError):
        importlib.import_module("app.server")


def test_public_names():
    surface = json.loads(Path(__file__).with_name("api_surface.json").read_text())
    assert sorted(protoexplain.__all__) == surface
    for name in surface:
        thing = getattr(protoexplain, name)
        assert thing.__doc__, f"{name} says nothing of itself"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = protoexplain.nothing


@pytest.mark.parametrize("preset", preset_names())
def test_preset_parses_and_has_stages(preset):
    config = resolve(preset)
    assert config.about, "info lists presets with a line about each"
    stages = get_family(config.family).stages(config.schedule)
    assert sum(stage.epochs for stage in stages) > 0
    assert resolve(preset, assignments=["training.seed=3"]).training.seed == 3


def test_code_speaks_of_itself_alone(source):
    """No paths of the machines it was written on."""
    assert not re.search(r"/work/|/tmp/|/root/|/home/", source.read_text())
