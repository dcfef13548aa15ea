"""What checkpoints say is usual, against a pass over the training images."""

import torch

from protoexplain.training.journal import Silent
from protoexplain.training.upgrade import training_statistics


def knows_its_images(checkpoint, planted):
    """The statistics are those of the prototypes where they lie now."""
    found, expected = checkpoint.model().statistics, training_statistics(checkpoint, planted, Silent())
    for name, values in vars(expected).items():
        torch.testing.assert_close(getattr(found, name), values, rtol=1e-3, atol=1e-3, msg=name)
