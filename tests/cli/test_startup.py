"""What starts at once: commands that need no tensor, and a model without what only others need."""

import ast
import json
import subprocess
import sys

import pytest

import protoexplain
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.file_names import THUMBS
from protoexplain.checkpoint.folders import shipped_checkpoints

COMMANDS = [
    *("train", "explain", "prototypes", "attribute", "characteristics", "report", "evaluate", "verify", "project"),
    *("prune", "measure", "compare", "edit", "upgrade", "info", "app", "demo", "data"),
]
WITHOUT_TENSORS = [
    "--version",
    "info",
    "info --json",
    "info CHECKPOINT",
    "info CHECKPOINT --json",
    "train --dry-run",
    "train --dry-run --json -c planted-cbc -s training.seed=3",
    "train --dry-run -s schedule.warm_epoch=1",
    "train -c planted-protopnt",
    "train -d NOWHERE",
    "explain NOWHERE bird.jpg",
    "explain CHECKPOINT NOWHERE",
    "measure CHECKPOINT -d NOWHERE",
    "evaluate CHECKPOINT -d NOWHERE",
    "compare CHECKPOINT NOWHERE",
    "report CHECKPOINT NOWHERE",
    "report CHECKPOINT -d NOWHERE",
    "data check NOWHERE",
    "--show-completion",
    "expl TAB",
    "explain CHECKPOINT --rand TAB",
    *(f"{command} --help" for command in ["", *COMMANDS, "data draw", "data check"]),
]
SCRIPT = """
import contextlib, io, os, sys
from protoexplain.cli import main as entry
checkpoint, image, *commands = sys.argv[1:]
texts, heavy = {}, {}
for command in commands:
    words = ["protoexplain", *command.replace("CHECKPOINT", checkpoint).split()]
    os.environ.pop("_PROTOEXPLAIN_COMPLETE", None)
    if command.endswith("TAB"):
        asked = words[:-1]
        os.environ |= {"_PROTOEXPLAIN_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(asked)}
        os.environ["COMP_CWORD"] = str(len(asked) - 1)
    sys.argv = words
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.suppress(SystemExit):
        entry.main()
    texts[command] = out.getvalue() + err.getvalue()
    heavy[command] = sorted(HEAVY & set(sys.modules))
import protoexplain
model = protoexplain.load(checkpoint, device="cpu")
answer = model.explain(image).predicted.name
print([texts, heavy, answer, sorted(VAIN & set(sys.modules))])
"""
VAIN = {
    "matplotlib",
    "gradio",
    "scipy",
    "sklearn",
    "skimage",
    "pandas",
    "lightning_fabric",
    "torchmetrics",
    "captum",
    "torchvision.transforms.v2",
    "protoexplain.training.run",
    "protoexplain.metrics.runner",
}
"""Not needed to load a model and to explain an image."""
HEAVY = {"torch", "torchvision", "timm", "cv2", *VAIN}


@pytest.fixture(scope="module")
def started():
    """What a process of its own printed for each command, had imported after it, and imported to explain an image."""
    checkpoint = shipped_checkpoints() / "planted-protopnet"
    picture = next((checkpoint / THUMBS).glob("image-*.jpg"))
    script = SCRIPT.replace("HEAVY", repr(HEAVY)).replace("VAIN", repr(VAIN))
    words = [sys.executable, "-c", script, checkpoint, picture, *WITHOUT_TENSORS]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return ast.literal_eval(done.stdout)


def test_commands_import_nothing_heavy_where_no_tensor_is_needed(started):
    _, heavy, _, _ = started
    assert heavy == {command: [] for command in WITHOUT_TENSORS}


def test_they_say_what_they_are_asked(started):
    texts, _, _, _ = started
    assert texts["--version"] == f"protoexplain {protoexplain.__version__}\n"
    assert all("Usage" in text for command, text in texts.items() if command.endswith("--help"))
    assert all(command in texts[" --help"] for command in COMMANDS)
    assert "planted-cbc" in texts["info"]
    assert len(json.loads(texts["info CHECKPOINT --json"])["classes"]) == 20
    assert "stages that follow" in texts["train --dry-run"]
    assert json.loads(texts["train --dry-run --json -c planted-cbc -s training.seed=3"])["training"]["seed"] == 3
    assert texts["expl TAB"].split() == ["explain"]
    assert texts["explain CHECKPOINT --rand TAB"].split() == ["--random-boxes"]
    mistakes = [command for command in WITHOUT_TENSORS if "NOWHERE" in command or "planted-protopnt" in command]
    assert len(mistakes) > 8
    assert all(texts[command].startswith("error: ") for command in mistakes), texts
    assert "where: NOWHERE" in texts["explain CHECKPOINT NOWHERE"]


def test_explaining_imports_nothing_in_vain(started):
    *_, answer, vain = started
    assert answer in Checkpoint.load(shipped_checkpoints() / "planted-protopnet").classes
    assert vain == []
