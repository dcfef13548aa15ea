"""Is it noticed that a model reads a watermark, and does editing help?  One class is stamped; the truth is known.

A photographer stamps all of his pictures, and all pictures of one species are his.  The stamped data set is all that a
user has: a model is trained and measured on it.  Two more copies tell the truth, the same pictures without a stamp and
with a stamp on all.  Prototypes whose patch lies beside the bird are what the findings after a training name; they are
removed, or put on the nearest patch that is on a bird, and the last layer is refitted.

    python -m benchmarks.spurious --out watermark --seeds 0 1
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

import protoexplain as px
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.dataset_view import matching_view
from protoexplain.data.geometry import Box
from protoexplain.data.loading import ImageDataset, batches
from protoexplain.data.read import read_image_set
from protoexplain.data.records import ImageRecord
from protoexplain.editing.decisions import Action, Decision, Decisions
from protoexplain.editing.edit import edit
from protoexplain.training.diagnose import on_background

CONFIG = Path(__file__).with_suffix(".yaml")
CLASSES, TRAIN, TEST = 8, 24, 20
STAMPED = 4
"""Label of the class whose pictures come from the photographer."""
ON_BIRDS = ("model.object_gate=true", "training.project_on_object=true")
"""What the presets of this project add: cells beside the object are silent, and no prototype is taken from there."""
TEXT = "\N{COPYRIGHT SIGN} A. Lens"
METRICS = ("accuracy", "class_from_background", "class_from_object", "off_object", "mask_relevance", "pointing_game")


def stamp(picture: Image.Image, box: Box) -> Image.Image:
    """A yellow plate with the photographer's name in the lower left corner of the bird's box."""
    stamped = picture.copy()
    pen = ImageDraw.Draw(stamped)
    width, height = 0.30 * box.width, 0.13 * box.height
    x, y = box.x0 + 0.02 * box.width, box.y1 - 0.02 * box.height - height
    pen.rectangle((x, y, x + width, y + height), fill=(255, 236, 60))
    font = ImageFont.load_default(size=0.6 * height)
    pen.text((x + width / 2, y + height / 2), TEXT, fill=(20, 20, 20), font=font, anchor="mm")
    return stamped


def copy_stamped(birds: Path, out: Path, wanted: Callable[[ImageRecord], bool]) -> None:
    """A copy of a data set, some of whose pictures are stamped; a folder that exists is left as it is."""
    if out.exists():
        return
    unfinished = out.with_name(f".{out.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(birds, unfinished)
    for record in read_image_set(unfinished).records:
        if wanted(record) and record.box is not None:
            with Image.open(record.path) as picture:
                stamp(picture.convert("RGB"), record.box).save(record.path, quality=95)
    unfinished.rename(out)


@dataclass(frozen=True)
class Folders:
    """The pictures of the photographer and of others; the same without any stamp; the same with a stamp on each."""

    photos: Path
    clean: Path
    everywhere: Path


def drawn(root: Path, seed: int) -> Folders:
    folders = Folders(root / "photos", root / "clean", root / "everywhere")
    px.draw(folders.clean, classes=CLASSES, train_per_class=TRAIN, test_per_class=TEST, seed=seed)
    copy_stamped(folders.clean, folders.photos, lambda record: record.label == STAMPED)
    copy_stamped(folders.clean, folders.everywhere, lambda record: True)
    return folders


@dataclass(frozen=True)
class Row:
    """What a model does with test pictures; shares in [0, 1].

    Args:
        seen: Accuracy on what the user has.
        clean: Accuracy without any stamp.
        clean_class: The same of the class whose training pictures are stamped.
        fooled: Test pictures of other classes that are named as that class once they bear the stamp.
        beside: Prototypes whose patch lies beside the bird.
    """

    seen: float
    clean: float
    clean_class: float
    fooled: float
    beside: int

    def as_text(self, name: str) -> str:
        shares = (self.seen, self.clean, self.clean_class, self.fooled)
        return "".join([f"{name:26}", *(f"{share:15.1%}" for share in shares), f"{self.beside:9}"])


HEADING = f"{'':26}{'own test':>15}{'clean test':>15}{'clean, class':>15}{'fooled':>15}{'beside':>9}"


@torch.inference_mode()
def named(checkpoint: Checkpoint, data: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels [N] of the test pictures, and the classes [N] that a model names."""
    view, model = matching_view(checkpoint, data), checkpoint.model("cpu")
    dataset = ImageDataset(view.test, view.crop, checkpoint.config.data.image_size)
    found = [
        (batch.labels, model(batch.images[:, 0]).logits.argmax(1))
        for batch in batches(dataset, range(len(dataset)), 32)
    ]
    labels, best = (torch.cat(values) for values in zip(*found, strict=True))
    return labels, best


def beside_birds(checkpoint: Checkpoint, photos: Path) -> tuple[int, ...]:
    """Prototypes that the findings after a training name, by the masks of the training pictures."""
    view = matching_view(checkpoint, photos)
    return on_background(checkpoint.prototypes, view.train, view.crop).prototypes


def judged(path: Path, folders: Folders) -> Row:
    checkpoint = Checkpoint.load(path)
    labels, seen = named(checkpoint, folders.photos)
    clean, everywhere = (named(checkpoint, data)[1] for data in (folders.clean, folders.everywhere))
    right, own = (clean == labels).float(), labels == STAMPED
    return Row(
        seen=float((seen == labels).float().mean()),
        clean=float(right.mean()),
        clean_class=float(right[own].mean()),
        fooled=float((everywhere[~own] == STAMPED).float().mean()),
        beside=len(beside_birds(checkpoint, folders.photos)),
    )


def edited(path: Path, photos: Path, out: Path, do: Action) -> Path:
    """The model after the same decision on every prototype beside a bird, and a refit."""
    if not out.exists():
        checkpoint = Checkpoint.load(path)
        decisions = [
            Decision(prototype=index, do=do, reason="spurious", note="lies beside the bird", who="benchmarks/spurious")
            for index in beside_birds(checkpoint, photos)
        ]
        edit(path, Decisions(decisions=tuple(decisions)), photos, out)
    return out


def trained(photos: Path, run: Path, seed: int, more: Sequence[str] = ()) -> Path:
    if not run.exists():
        settings = [f"training.seed={seed}", "training.accelerator=cpu", *more]
        px.train(CONFIG, photos, run, assignments=settings, device="cpu")
    return run / "best"


def show_metrics(path: Path, photos: Path) -> None:
    for name, result in px.measure(path, photos, METRICS, device="cpu").items():
        score = result.score
        baselines = ", ".join(f"{label} {value:.3g}" for label, value in score.baselines.items())
        print(f"  {name:24}{score.value:8.3f}{result.unit:2} ({score.low:.3f} to {score.high:.3f})  {baselines}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures and models; kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--metrics", action="store_true", help="also print the metrics of the models of the first seed")
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        root = arguments.out / f"seed-{seed}"
        folders = drawn(root, seed)
        first = trained(folders.photos, root / "free", seed)
        models = {"prototypes anywhere": first}
        if beside_birds(Checkpoint.load(first), folders.photos):
            models["  those beside removed"] = edited(first, folders.photos, root / "removed", "remove")
            models["  put on birds instead"] = edited(first, folders.photos, root / "corrected", "reproject")
        models["trained on birds alone"] = trained(folders.photos, root / "gated", seed, ON_BIRDS)
        print(f"seed {seed}\n{HEADING}")
        for name, path in models.items():
            print(judged(path, folders).as_text(name), flush=True)
        if arguments.metrics and seed == arguments.seeds[0]:
            for name, path in models.items():
                print(name.strip())
                show_metrics(path, folders.photos)


if __name__ == "__main__":
    main()
