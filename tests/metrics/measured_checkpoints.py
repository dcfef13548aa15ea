"""Checkpoints of tiny models on planted birds, kept without training."""

import torch
from tiny_runs import open_run, tiny_config, tiny_model

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.read import read_image_set
from protoexplain.training import projection


def keep_checkpoint(family, planted, path, seed=0, **changes):
    """A checkpoint with projected prototypes and moved head weights; its small files and tensors are real."""
    config = tiny_config(family, **changes)
    model = tiny_model(config, len(read_image_set(planted).classes), seed)
    run = open_run(config, planted, path.parent, model=model)
    with torch.no_grad():
        for _, branch in run.model.named_branches():
            for parameter in branch.head.parameters():
                parameter.add_(torch.rand(parameter.shape, generator=torch.Generator().manual_seed(seed)))
    before_projection = {name: branch.prototypes.detach().clone() for name, branch in run.model.named_branches()}
    found = run.find_patches()
    if run.model.prototype_source.projected:
        projection.replace_prototypes(run.model, found)
    written = run.model.prototype_source.projected
    run.save(path, run.origin_of(found, written), before_projection if written else {}, {}, "")
    return Checkpoint.load(path)


class RecordingWatcher:
    """A watcher that remembers."""

    def __init__(self):
        self.lines, self.steps = [], []

    def progress(self, what, done, total):
        self.steps.append((what, done, total))

    def line(self, text):
        self.lines.append(text)
