"""python one_of_each.py DATA OUT: train a tiny model of every family, and print the hash of each one's weights."""

import sys
from pathlib import Path

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.models.registry import family_names
from tests.tiny_runs import tiny_train

for family in family_names():
    out = Path(sys.argv[2]) / family
    tiny_train(family, Path(sys.argv[1]), out, training={"threads": 1})
    kept = sorted(path.name for path in out.iterdir() if path.name in ("best", "last"))
    print(family, [Checkpoint.load(out / name).weights_sha256 for name in kept])
