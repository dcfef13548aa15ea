"""Configurations and runs of every family that train in about a second."""

import json
from dataclasses import replace
from pathlib import Path

import torch
from lightning_fabric import Fabric

from protoexplain.config import merged, parse
from protoexplain.data.dataset_view import view_of_run
from protoexplain.models.families.nonparametric.network import PatchEmbedding
from protoexplain.models.families.shallow_cbc.network import ComponentBranch
from protoexplain.models.registry import get_family
from protoexplain.models.trees import TreeHead
from protoexplain.training.callbacks import Callbacks
from protoexplain.training.run import train
from protoexplain.training.run_log import LOG_FILE
from protoexplain.training.trainer import Trainer

BACKBONE = {"name": "test_efficientnet", "stride": 16, "weights": "none"}
_COMPONENTS = {"pretrain_epochs": 1, "head_epochs": 2, "joint_epochs": 2}
SCHEDULES = {
    "protopnet": {"warm_epochs": 2, "projections": [3], "last_layer_epochs": 2},
    "st_protopnet": {"epochs": 4, "warm_epochs": 2, "projections": [3], "last_layer_epochs": 2},
    "tesnet": {"warm_epochs": 2, "projections": [3], "last_layer_epochs": 2},
    "evalprotopnet": {"warm_epochs": 2, "projections": [3], "last_layer_epochs": 2},
    "protopool": {"warm_epochs": 2, "projections": [3], "last_layer_epochs": 2, "anneal_epochs": 3},
    "prototree": {"warm_epochs": 1, "joint_epochs": 2},
    "cbc": _COMPONENTS,
    "rbf_net": _COMPONENTS,
    "pipnet": {**_COMPONENTS, "joint_epochs": 4, "lower_frozen_epochs": 2},
    "shallow_cbc": {"epochs": 3, "losses": {"robust": 0.5}},
    "nonparametric": {"prototype_epochs": 2, "tuning_epochs": 2},
    "prototypedl": {"epochs": 3, "last_layer_epochs": 2, "batch_size": 8},
}
"""Few epochs for each family; a family that is not named gets its own schedule."""


def tiny_raw(family, **changes):
    """A plain configuration; `changes` are merged into it."""
    base = {
        "family": family,
        "model": {"backbone": BACKBONE, **get_family(family).tiny},
        "schedule": SCHEDULES.get(family, {}),
        "data": {"image_size": 64, "validation": 0.2, "augmentation": "light_two_views"},
        "training": {"batch_size": 8, "accelerator": "cpu", "threads": 1},
    }
    return merged(base, changes)


def tiny_config(family, **changes):
    return parse(tiny_raw(family, **changes))


def tiny_model(config, classes=4, seed=0):
    """Random weights, leaves of trees that have learned something, components of several colours, added layers that do
    something; in eval mode."""
    torch.manual_seed(seed)
    model = get_family(config.family).build(config.model, classes, None, load_weights=False).eval()
    for _, branch in model.named_branches():
        if isinstance(branch.head, TreeHead):
            branch.head.counts = grown(*branch.head.counts.shape)
        if isinstance(branch, ComponentBranch):
            branch.pictures.data.copy_(torch.rand(len(branch.prototypes), 3, 1, 1))
        if isinstance(branch.addon, PatchEmbedding):
            torch.nn.init.normal_(branch.addon.added[-1].weight, std=0.1)
    return model


def grown(leaves, classes):
    """Numbers of images in leaves [L,C], each of which has seen one class most often."""
    return torch.rand(leaves, classes) + 2 * torch.nn.functional.one_hot(torch.arange(leaves) % classes, classes)


def tiny_train(family, planted, out, *, options=None, **changes):
    """Train, and return what `train` returns."""
    return train(tiny_config(family, **changes), out, data_path=planted, **(options or {}))


def open_run(config, planted, scratch, interrupted=lambda: False, model=None):
    """A run without a folder, to go through single stages."""
    data = view_of_run(config.data, planted)
    model = model or tiny_model(config, len(data.image_set.classes))
    fabric = Fabric(accelerator="cpu", devices=1)
    return Trainer(config, model, data, fabric, callbacks=Callbacks(interrupted=interrupted), scratch=Path(scratch))


def with_train(view, records):
    """A view of a data set with other training images, or the same in another order."""
    others = (record for record in view.image_set.records if view.split_ids.part_of[record.id] != "train")
    return replace(view, image_set=replace(view.image_set, records=(*records, *others)))


def pictures(run, count=None):
    """Clean pictures [N,3,S,S] and labels [N] of the training images."""
    dataset = run.dataset(run.data.train, augmented=False)
    rows = [dataset[i] for i in range(count or len(dataset))]
    return torch.stack([images[0] for images, _, _ in rows]), torch.tensor([label for _, label, _ in rows])


def maps_of(model, features):
    """Activation maps [B,P,H,W] of a model whose branches have maps of one size."""
    return torch.cat(model.activation_maps(features), 1)


def run_log(out):
    """The lines of metrics.jsonl without times."""
    lines = [json.loads(line) for line in (out / LOG_FILE).read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def same_tensors(one, other):
    """Whether two state dicts are equal bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
