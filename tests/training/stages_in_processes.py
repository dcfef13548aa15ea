"""Go through all stages in several processes, and write down whether they agree."""

import json
from pathlib import Path

import several_processes
import torch
from tiny_runs import open_run, tiny_config, with_train

from protoexplain.models.registry import get_family
from protoexplain.models.transport import moved_by_sums, moved_prototypes
from protoexplain.progress import Silent
from protoexplain.training.stage_inputs import make_inputs
from protoexplain.training.train_stage import train_stage

FAMILIES = ("protopnet", "st_protopnet", "evalprotopnet", "cbc", "prototypedl", "nonparametric")


def differences(fabric, model):
    """Tensors of the model that are not the same in all processes."""
    return [
        name
        for name, tensor in model.state_dict().items()
        if not all(torch.equal(other, tensor) for other in fabric.all_gather(tensor))
    ]


def same_patches(run, alone):
    """Whether several processes find the same patches as one, and write the same numbers."""
    together = run.find_patches()
    run.fabric = alone
    return [
        {name: bool(torch.equal(getattr(one, name), getattr(two, name))) for name in ("image", "row", "column")}
        | {"patch": bool(torch.allclose(one.patch, two.patch, rtol=1e-5, atol=1e-6))}
        for one, two in zip(together, run.find_patches(), strict=True)
    ]


class Counting(Silent):
    """A watcher that knows how many images were asked for."""

    def __init__(self):
        self.totals = []

    def progress(self, what, done, total):
        self.totals.append(total)


def same_caches(run, alone, kind, few):
    """Whether each process computes a part of a cache, and all see what one process computes of all."""
    together, shares = run.fabric, Counting()
    run.model.eval()
    whole, run.callbacks.watcher = run.data, shares
    run.data = with_train(whole, whole.train[:1]) if few else whole
    shared = torch.cat(make_inputs(run, kind, run.data.train, True, "x", 9).shards, 1)
    run.callbacks.watcher, run.fabric = Silent(), alone
    (expected,) = make_inputs(run, kind, run.data.train, True, "x", 9).shards
    equal = float(torch.allclose(shared, expected, rtol=1e-3, atol=1e-3))
    run.fabric, run.data = together, whole
    counts = together.all_gather(torch.tensor([max(shares.totals, default=0), equal]))
    return {"images": len(expected[0]), "shares": counts[:, 0].tolist(), "equal": counts[:, 1].tolist()}


def moved_together(fabric):
    """Whether prototypes that follow patches follow those of all processes, by their mean and by their sum."""
    generator = torch.Generator().manual_seed(0)
    prototypes, patches = torch.randn(3, 4, generator=generator), torch.randn(10, 4, generator=generator)
    assigned, own = torch.arange(10) % 3, slice(fabric.global_rank, None, fabric.world_size)
    sums = torch.zeros(3, 4).index_add(0, assigned, patches)
    by_mean = moved_prototypes(prototypes, patches[own], assigned[own], 0.5)
    by_sum = moved_by_sums(prototypes, patches[own], assigned[own], 0.5, torch.ones(3, dtype=torch.bool))
    found, expected = torch.stack([by_mean, by_sum]), torch.stack([sums / assigned.bincount()[:, None], sums])
    return torch.allclose(found, 0.5 * prototypes + 0.5 * expected)


def go_through(fabric, family, data, scratch):
    run = open_run(tiny_config(family, data={"validation": 0.2}), data, scratch)
    run.data = with_train(run.data, run.data.train[:-1])
    alone, run.fabric = run.fabric, fabric
    rows = []
    for stage in get_family(family).stages(run.config.schedule):
        train_stage(run, stage)
        run.end_stage()
        rows.append({"stage": stage.name, "differ": differences(fabric, run.model)})
    caches = [same_caches(run, alone, kind, few) for kind in ("features", "activations") for few in (False, True)]
    accuracy = run.evaluate(run.data.train)
    patches = same_patches(run, alone)
    return {
        "stages": rows,
        "caches": caches,
        "patches": patches,
        "images": len(run.data.train),
        "accuracy": [accuracy, run.evaluate(run.data.train)],
    }


def main(fabric, data, out):
    told = {"moved together": moved_together(fabric)}
    for family in FAMILIES:
        scratch = Path(out) / f"{family}-{fabric.global_rank}"
        told[family] = go_through(fabric, family, Path(data), scratch)
    if fabric.global_rank == 0:
        (Path(out) / "told.json").write_text(json.dumps(told))


def launch(data, out):
    """What the processes found is in OUT/told.json."""
    several_processes.launch(main, data, out, find_unused_parameters=True)
