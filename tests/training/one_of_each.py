"""python one_of_each.py DATA OUT: train a tiny model of every family, and print the hash of each one's weights."""

import sys
from pathlib import Path

from tiny_runs import tiny_train

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.models.registry import family_names


def weights_of(run):
    """The hashes of the weights of a run's checkpoints."""
    kept = sorted(path.name for path in run.iterdir() if path.name in ("best", "last"))
    return [Checkpoint.load(run / name).weights_sha256 for name in kept]


if __name__ == "__main__":
    for family in family_names():
        out = Path(sys.argv[2]) / family
        tiny_train(family, Path(sys.argv[1]), out, training={"threads": 1})
        print(family, weights_of(out))
