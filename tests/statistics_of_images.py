"""What checkpoints say is usual, against a pass over the training images."""

import torch

from protoexplain.data.dataset_view import view_of
from protoexplain.data.loading import batches
from protoexplain.models.activation_statistics import RunningStatistics


@torch.no_grad()
def knows_its_images(checkpoint, planted):
    """The statistics are those of the prototypes where they lie now."""
    model, view = checkpoint.model(), view_of(checkpoint, planted)
    running = RunningStatistics(len(view.train))
    dataset = view.dataset(view.train, checkpoint.config.data)
    for batch in batches(dataset, range(len(dataset)), 32):
        running.update(model.activation_maps(model.backbone(batch.images[:, 0])))
    for name, values in vars(running.statistics()).items():
        torch.testing.assert_close(getattr(model.statistics, name), values, rtol=1e-3, atol=1e-3, msg=name)
