"""Which networks of timm can stand below prototypes: the smallest of every module of timm, at three sizes of pictures.

Each is made as a backbone of a small ProtoPNet with random weights, checked as `train --dry-run` does, trained for two
steps, and asked for its maps.  It works, or it is refused before training with a reason, or this computer is too small
for it; anything else is a fault.

python -m benchmarks.backbone_sweep --out sweep.jsonl [--modules resnet,beit]    # goes on where it stopped
python -m benchmarks.backbone_sweep --out sweep.jsonl --table
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import resource
import signal
import time
import warnings
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import timm
import torch

from protoexplain.config import RunConfig, parse
from protoexplain.errors import UserError
from protoexplain.models.base import PrototypeModel
from protoexplain.models.registry import get_family
from protoexplain.training.engine import outputs
from protoexplain.training.model_check import check_model

FAMILY, CLASSES, BATCH, STEPS = "protopnet", 2, 2, 2
SIZES = (160, 224)
"""Beside each network's own."""
STRIDE = 16
"""The coarsest features that are taken where there are several."""
LONG, MEMORY = 900, 8 << 30
"""Seconds for one network at one size, and bytes of the process."""
_SMALL = ("atto", "femto", "pico", "nano", "micro", "xxs", "tiny", "_xs", "mini", "small", "_s", "b0", "18")
_LARGE = ("base", "large", "huge", "giant", "gigantic", "enormous", "so400m", "so150m", "xlarge")
_OF_TESTS = "test_"
_CANDIDATES = 5
WORKS, REFUSED, TOO_LARGE, FAULT = "works", "refused", "too large", "fault"


@dataclass(frozen=True)
class Outcome:
    """Of one network at one size.

    Args:
        kind: `WORKS`, `REFUSED`, `TOO_LARGE` for the memory that it may have, or `FAULT`.
        reason: What was wrong; empty where it works.
    """

    module: str
    name: str
    size: int
    native: bool
    kind: str
    reason: str
    seconds: float


def modules() -> list[str]:
    """Of timm itself, without those whose networks are registered with it."""
    return [name for name in timm.list_modules() if importlib.util.find_spec(f"timm.models.{name}")]


def smallest(module: str) -> str:
    """The network of a module with the fewest parameters, among the few that are small by their names; none of those
    made for timm's own tests.
    """
    names = [name for name in timm.list_models(module=module) if not name.startswith(_OF_TESTS)]
    return min(sorted(names, key=_by_name)[:_CANDIDATES], key=lambda name: (_parameters(name), name))


def _by_name(name: str) -> tuple[bool, int, int]:
    small = next((place for place, word in enumerate(_SMALL) if word in name), len(_SMALL))
    return any(word in name for word in _LARGE), small, len(name)


def _parameters(name: str) -> int:
    return sum(parameter.numel() for parameter in _sketch(name).parameters())


def _sketch(name: str) -> Any:
    """A network without numbers, where that can be made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with torch.device("meta"):
                return timm.create_model(name)
        except (RuntimeError, NotImplementedError, TypeError):  # it computes with its weights when it is made
            return timm.create_model(name)


def native_size(name: str) -> int:
    """Side of the pictures that it was made for."""
    return int(timm.get_pretrained_cfg(name).input_size[-1])


def configuration(name: str, size: int) -> RunConfig:
    """Of a small model on this network, without a sigmoid, which is flat where random weights are large."""
    info = getattr(_sketch(name), "feature_info", None) or [{"reduction": STRIDE}]
    strides = {level["reduction"] for level in (info if isinstance(info, list) else info.info)}
    stride = max((one for one in strides if one <= STRIDE), default=min(strides))
    backbone = {"name": name, "stride": stride, "weights": "none"}
    model = {"backbone": backbone, **get_family(FAMILY).tiny, "addon": "linear"}
    return parse({"family": FAMILY, "model": model, "data": {"image_size": size}})


def attempt(name: str, size: int) -> tuple[str, str]:
    """Kind and reason of an outcome."""
    torch.manual_seed(0)
    try:
        config = configuration(name, size)
        model = get_family(FAMILY).build(config.model, CLASSES, load_weights=False)
        check_model(config, model)
    except UserError as error:
        return REFUSED, f"{error.what} [{error.fix}]"
    try:
        _use(model, size)
    except Exception as error:
        if "can't allocate memory" in str(error):
            return TOO_LARGE, f"more than {MEMORY >> 30} GiB of memory"
        return FAULT, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    return WORKS, ""


def _use(model: PrototypeModel, size: int) -> None:
    """Two training steps, then maps; raises where anything is wrong."""
    names = frozenset({"cross_entropy", "cluster", "separation"})
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    pictures, labels = torch.rand(BATCH, 3, size, size), torch.arange(BATCH) % CLASSES
    model.train()
    for _ in range(STEPS):
        optimizer.zero_grad()
        terms = model.loss_terms(outputs(model, "images", pictures, names=names), labels, names)
        sum(terms.values()).backward()
        optimizer.step()
    grads = [parameter.grad for parameter in model.backbone.parameters() if parameter.grad is not None]
    if not any(float(grad.abs().sum()) > 0 for grad in grads):
        raise ValueError("no gradient reaches the backbone")
    model.eval()
    with torch.no_grad():
        features = model.backbone(pictures)
        (maps,), activations = model.activation_maps(features), model.activations(features)
    if not (maps.isfinite().all() and torch.allclose(maps.amax((2, 3)), activations, rtol=1e-3, atol=1e-3)):
        raise ValueError("maps are not finite, or their maxima are not the activations")


@contextmanager
def _at_most(seconds: int):
    def stop(*given):
        raise TimeoutError(f"more than {seconds} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def sweep(module: str) -> list[Outcome]:
    """The outcomes of one module, at each size once."""
    name = smallest(module)
    native = native_size(name)
    found = []
    for size in dict.fromkeys((native, *SIZES)):
        start = time.perf_counter()
        try:
            with _at_most(LONG), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                kind, reason = attempt(name, size)
        except TimeoutError as error:
            kind, reason = FAULT, str(error)
        found.append(Outcome(module, name, size, size == native, kind, reason, time.perf_counter() - start))
        gc.collect()
    return found


def table(found: list[Outcome]) -> str:
    """Markdown: how many of each kind by size, then what does not work."""
    lines = ["| pictures | works | refused before training | too large | fault |", "|---|---:|---:|---:|---:|"]
    groups = {"own size": [one for one in found if one.native]}
    groups |= {f"{size} px": [one for one in found if one.size == size] for size in SIZES}
    for title, group in groups.items():
        counts = [sum(one.kind == kind for one in group) for kind in (WORKS, REFUSED, TOO_LARGE, FAULT)]
        lines.append(f"| {title} | {' | '.join(map(str, counts))} |")
    lines += ["", "| module | network | pixels | what happens |", "|---|---|---|---|"]
    for one in found:
        if one.kind != WORKS:
            lines.append(f"| {one.module} | `{one.name}` | {one.size} | {one.kind}: {one.reason} |")
    return "\n".join(lines)


def read(path: Path) -> list[Outcome]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Outcome(**json.loads(line)) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON lines; modules that are there are left out")
    parser.add_argument("--modules", default="", help="with commas; all by default")
    parser.add_argument("--table", action="store_true", help="print what was found, and run nothing")
    given = parser.parse_args()
    if given.table:
        print(table(read(given.out)))
        return
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, resource.RLIM_INFINITY))
    torch.set_num_threads(1)
    done = {one.module for one in read(given.out)}
    for module in given.modules.split(",") if given.modules else modules():
        if module not in done:
            found = sweep(module)
            with given.out.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(asdict(one)) + "\n" for one in found)
            print(*(f"{one.name} {one.size}: {one.kind} {one.reason}" for one in found), sep="\n", flush=True)


if __name__ == "__main__":
    main()
