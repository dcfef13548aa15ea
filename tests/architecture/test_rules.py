"""Rules that hold for all of the code."""

import ast
import functools
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import protoexplain
from protoexplain.config import preset_names, resolve
from protoexplain.models.registry import family_names, get_family

ROOT = Path(protoexplain.__file__).parents[1]
TEXTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for folder in ("protoexplain", "app")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
MOST_LINES = 400
PICTURES = {"protoexplain/io/images.py", "protoexplain/explanations/explainer.py"}
"""The reader of foreign pictures, and the one that decodes those in checkpoints, which we wrote."""


@functools.cache
def trees():
    return {name: ast.parse(text) for name, text in TEXTS.items()}


@functools.cache
def calls():
    """(file and line, dotted name, arguments by name or place) of each call in the code."""
    found = []
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                given |= {place: ast.unparse(value) for place, value in enumerate(node.args)}
                found.append((f"{name}:{node.lineno}", ast.unparse(node.func), given))
    return found


def imports():
    """(file, dotted name) of all that the code imports, wherever it does."""
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((name, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from ((name, f"{node.module}.{alias.name}") for alias in node.names)


def test_files_are_short():
    assert len(TEXTS) > 60
    assert [name for name, text in TEXTS.items() if len(text.splitlines()) > MOST_LINES] == []


def test_nothing_executes_what_was_read():
    loads = [(place, given.get("weights_only")) for place, name, given in calls() if name == "torch.load"]
    assert len(loads) >= 3
    assert [place for place, only in loads if only != "True"] == []
    yamls = [
        (place, given.get("Loader", given.get(1))) for place, name, given in calls() if name.startswith("yaml.load")
    ]
    assert [loader for _, loader in yamls] == ["_Loader"]
    forbidden = ("eval", "exec", "os.system", "unsafe_load", "full_load", "extractall")
    assert [place for place, name, _ in calls() if name in forbidden or name.split(".")[-1] in forbidden[3:]] == []
    modules = ("pickle", "dill", "joblib", "marshal", "shelve")
    assert [file for file, name in imports() if name.split(".")[0] in modules] == []


def test_pictures_are_opened_in_one_place():
    places = {place.split(":")[0] for place, name, _ in calls() if name in ("Image.open", "cv2.imread", "cv2.imdecode")}
    assert places <= PICTURES


def test_no_global_state_of_plots_and_devices():
    assert [file for file, name in imports() if name.startswith(("matplotlib.pyplot", "pylab"))] == []
    assert [place for place, name, _ in calls() if name.endswith(".cuda")] == []


def test_no_family_is_asked_for_by_name():
    """Only the families themselves know which one they are; all others ask the contract."""
    names = set(family_names())
    offenders = [
        f"{file}:{node.lineno}"
        for file, tree in trees().items()
        if "/families/" not in file
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare | ast.MatchValue)
        and names & {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
    ]
    assert offenders == []
    families = "protoexplain.models.families."
    assert {name for file, name in imports() if "/families/" not in file and name.startswith(families)} == set()


def test_core_knows_neither_app_nor_gradio():
    strangers = ("protoexplain_app", "gradio", "fastapi")
    core = [(file, name) for file, name in imports() if file.startswith("protoexplain/")]
    assert len(core) > 300
    assert [file for file, name in core if name.split(".")[0] in strangers] == []


def test_import_is_light():
    heavy = "{'torch', 'gradio', 'cv2', 'matplotlib', 'numpy', 'timm'}"
    script = f"import sys, protoexplain; print(sorted({heavy} & set(sys.modules)), len(protoexplain.__all__))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", str(len(protoexplain.__all__))]


def test_actions_and_views_of_the_app_need_no_web_framework(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] in ("protoexplain_app", "gradio", "fastapi")]:
        monkeypatch.delitem(sys.modules, name)
    for framework in ("gradio", "fastapi"):
        monkeypatch.setitem(sys.modules, framework, None)
        with pytest.raises(ImportError):
            importlib.import_module(framework)
    names = [
        name.removeprefix("app/")[:-3].replace("/", ".")
        for name in TEXTS
        if re.match("app/protoexplain_app/(panel|tabs/.*)/(?!tab|panel|__init__)", name)
    ]
    assert len(names) > 8
    assert all(importlib.import_module(name).__doc__ for name in names)


def test_public_names_are_not_those_of_modules():
    """A module takes the place of a function of its name as soon as it is imported."""
    modules = {module.name for module in pkgutil.iter_modules(protoexplain.__path__)}
    assert "explanations" in modules
    assert modules & set(protoexplain.__all__) == set()


def test_public_names():
    surface = json.loads(Path(__file__).with_name("api_surface.json").read_text())
    assert sorted(protoexplain.__all__) == surface
    for name in surface:
        assert getattr(protoexplain, name).__doc__, f"{name} says nothing of itself"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = protoexplain.nothing


@pytest.mark.parametrize("preset", preset_names())
def test_preset_parses_and_has_stages(preset):
    config = resolve(preset)
    assert config.about, "info lists presets with a line about each"
    stages = get_family(config.family).stages(config.schedule)
    assert sum(stage.epochs for stage in stages) > 0
    assert resolve(preset, assignments=["training.seed=3"]).training.seed == 3


def test_code_speaks_of_itself_alone():
    """No folders of the machines it was written on."""
    assert [name for name, text in TEXTS.items() if re.search(r"/(work|tmp|root|home|shared)/", text)] == []
