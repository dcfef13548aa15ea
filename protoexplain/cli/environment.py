"""What a bug report needs: versions, devices, caches, and how far a run is; read without torch, and with neither the
name of the user nor of the computer."""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from protoexplain.errors import UserError
from protoexplain.progress import in_words

PACKAGES = (
    "protoexplain",
    "torch",
    "torchvision",
    "timm",
    "lightning-fabric",
    "safetensors",
    "numpy",
    "pillow",
    "gradio",
)
STATE, LOG, OWNER = "state.pt", "metrics.jsonl", ".lock-owner.json"
CHECKPOINTS = ("best", "last")
LONGEST = 400
"""Characters of a line of a log."""
ANSWERS_WITHIN = 5.0
"""Seconds that the driver of a device gets."""

Facts = Mapping[str, str]


def environment() -> dict[str, Facts]:
    """Heading -> facts about this installation."""
    return {"versions": _versions(), "devices": _devices(), "caches": _caches()}


def state_of_run(folder: Path) -> Facts:
    """How far a run is, by what lies in its folder, whatever is wrong with that.

    Args:
        folder: Of the run.
    """
    from protoexplain.training.run_folder import CONFIG

    settings = _stored(folder / CONFIG)
    facts = {"folder": str(folder.absolute())}
    facts |= {key: str(settings[key]) for key in ("family", "trouble") if settings.get(key)}
    data = settings.get("data")
    if isinstance(data, Mapping):
        facts |= {f"data {key}": str(data[key]) for key in ("path", "source", "image_size") if data.get(key)}
    done = [name for name in CHECKPOINTS if (folder / name / "manifest.json").is_file()]
    facts["checkpoints"] = ", ".join(done) or "none"
    if (folder / STATE).is_file():
        facts["interrupted or under way"] = f"state saved {_ago((folder / STATE).stat().st_mtime)}"
    if (folder / OWNER).is_file():
        facts["has the folder"] = _owner(folder / OWNER)
    lines = _lines(folder / LOG)
    facts["lines in its log"] = str(len(lines))
    if lines:
        facts["last line"] = lines[-1][:LONGEST]
    unfinished = sorted(path.name for path in folder.glob("*.tmp-*"))
    if unfinished:
        facts["left unfinished"] = ", ".join(unfinished)
    return {key: private(text) for key, text in facts.items()}


def block(parts: Mapping[str, Facts]) -> str:
    """Facts as text that can be pasted as it is."""
    lines = []
    for heading, facts in parts.items():
        width = max(map(len, facts), default=0)
        lines += [heading, *(f"  {key:{width}}  {text}" for key, text in facts.items())]
    return "\n".join(lines)


def private(text: str) -> str:
    """A text without the path of the home folder and without the names of the user and of the computer."""
    with suppress(RuntimeError):
        home = str(Path.home())
        text = re.sub(rf"{re.escape(home)}(?=[/\\\s:\"']|$)", "~", text) if len(home) > 1 else text
    names = {"USER": "", "HOST": socket.gethostname()}
    with suppress(OSError, KeyError, ImportError):
        names["USER"] = getpass.getuser()
    for kind, name in names.items():
        text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", kind, text) if name else text
    return text


def _versions() -> Facts:
    found = {"python": f"{platform.python_version()} on {platform.system()} {platform.release()}, {platform.machine()}"}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _devices() -> Facts:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts = {"cpu": f"{cores} cores{_memory()}", "disk": f"{shutil.disk_usage('.').free / 1e9:.0f} GB free here"}
    facts |= {f"gpu {number}": line for number, line in enumerate(_gpus())}
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        facts["mps"] = "there is one"
    return facts


def _memory() -> str:
    try:
        return f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB of memory"
    except (AttributeError, ValueError, OSError):
        return ""


def _gpus() -> list[str]:
    """NVIDIA's devices as their driver tells them."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    words = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(words, capture_output=True, text=True, timeout=ANSWERS_WITHIN, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        return [f"nvidia-smi does not answer: {type(error).__name__}"]
    return told.stdout.strip().splitlines()


def _caches() -> Facts:
    from protoexplain.io.cache import cache_folder

    places = {
        "protoexplain": cache_folder(),
        "hugging face": Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface")),
        "torch": Path(os.environ.get("TORCH_HOME", Path.home() / ".cache" / "torch")),
    }
    return {name: private(f"{path}: {_size(path)}") for name, path in places.items()}


def _size(folder: Path) -> str:
    sizes = []
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                sizes.append(os.lstat(os.path.join(parent, name)).st_size)
    return f"{len(sizes)} files, {sum(sizes) / 1e6:.0f} MB" if sizes else "empty"


def _stored(path: Path) -> Mapping[str, object]:
    from protoexplain.config import read_yaml_file

    try:
        content = read_yaml_file(path)
    except UserError as error:
        return {"trouble": f"its settings cannot be read: {error.what}"}
    return content if isinstance(content, dict) else {}


def _owner(path: Path) -> str:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return f"process {int(told['process'])}, since {_ago(float(told['began']))}"
    except (OSError, ValueError, TypeError, KeyError):
        return "it cannot be read"


def _lines(path: Path) -> list[str]:
    """Whole lines; the last one of a run that was killed may be broken."""
    try:
        *whole, _ = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return []
    return whole


def _ago(moment: float) -> str:
    return f"{in_words(max(0.0, time.time() - moment))} ago"
