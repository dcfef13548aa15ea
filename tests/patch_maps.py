"""What the activation maps of a checkpoint's prototypes have to give."""

from protoexplain.regions.box_rules import DEFAULT
from protoexplain.regions.patch_boxes import MarkedRecords


def marked(checkpoint, rule=DEFAULT):
    """The records with boxes by a rule; the rule of projection by default."""
    size = checkpoint.config.data.image_size
    return tuple(MarkedRecords(checkpoint.prototypes, checkpoint.prototype_maps(), rule, size))


def assert_maps_fit(checkpoint):
    """Every prototype with a training image has its map, and the rule of projection gives the recorded boxes again."""
    for record, found in zip(checkpoint.prototypes, checkpoint.prototype_maps(), strict=True):
        assert (found is None) == (record.image_id is None)
    assert marked(checkpoint) == checkpoint.prototypes
