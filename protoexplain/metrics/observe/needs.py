"""What data and checkpoint do not have, and what would provide it."""

from __future__ import annotations

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.metrics.base import Need
from protoexplain.metrics.observe.images import Images
from protoexplain.models.family import FamilyConfig


def missing_needs(checkpoint: Checkpoint, images: Images, foreign: Images | None) -> dict[Need, tuple[str, str]]:
    """Unmet need -> (what is missing, what would provide it)."""
    found: dict[Need, bool] = {
        "parts": images.has_parts,
        "regions": images.has_regions,
        "training_regions": images.has_training_regions,
        "projection": any(record.projected for record in checkpoint.prototypes)
        and bool(checkpoint.before_projection()),
        "foreign": foreign is not None,
        "interventions": images.interventions is not None,
        "training_images": bool(images.training),
        "certificate": isinstance(checkpoint.config.model, FamilyConfig) and checkpoint.config.model.certified,
        "places": not checkpoint.prototypes
        or any((r.map_height, r.map_width) != (1, 1) for r in checkpoint.prototypes),
    }
    unknown = "come without masks" + (", cut to their boxes" if images.crop == "box" else " or boxes")
    mend = "use a data set with segmentations/ as in CUB-200-2011" + (
        "" if images.crop == "box" else ", or with bounding boxes"
    )
    reasons: dict[Need, tuple[str, str]] = {
        "parts": (
            f"part locations, and the data set {images.name} has none",
            "use a data set with parts/parts.txt and parts/part_locs.txt as in CUB-200-2011;"
            " augmentation_consistency and augmentation_stability need no parts",
        ),
        "regions": (
            f"to know where the object is, and the test images of {images.name} {unknown}",
            mend,
        ),
        "training_regions": (
            f"to know where the object is in training images, and those of {images.name} {unknown}",
            mend,
        ),
        "projection": (
            "prototypes from before projection, and this checkpoint holds none",
            "measure a checkpoint of a family that projects, kept after a projection",
        ),
        "places": (
            "prototypes that are found at places of an image, and those of this model are whole pictures",
            "measure a model whose prototypes are parts of pictures",
        ),
        "certificate": (
            "a model that knows how far pictures may move, and this one does not",
            "measure a model of the family shallow_cbc without an encoder, whose detection is a kernel of a distance",
        ),
        "foreign": ("images of things that the model does not know", "add --foreign FOLDER"),
        "training_images": (
            f"training images, and the data set {images.name} has none",
            "measure on the data set that the model was trained on",
        ),
        "interventions": (
            f"images without parts of the object, and the data set {images.name} has none",
            "use FunnyBirds with test_interventions/, or planted birds",
        ),
    }
    return {need: reasons[need] for need, there in found.items() if not there}
