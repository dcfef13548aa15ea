"""python two_processes.py CHECKPOINTS DATA OUT: measure in two processes; the first writes down what both got."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from protoexplain.metrics.runner import measure

SETTINGS = {"steps": 2, "draws": 2, "resamples": 100, "batch_size": 3, "part_rules": ["boxes"]}


def plain(results):
    return {name: result.to_dict() for name, result in results.items()}


def main(fabric, checkpoints, data, out):
    assert fabric.world_size == 2
    results_of = {}
    for path in sorted(Path(checkpoints).iterdir()):
        results = plain(measure(path, Path(data), None, SETTINGS, foreign=Path(data), fabric=fabric))
        assert all(other == results for other in fabric.broadcast([results], 0))
        results_of[path.name] = results
    if fabric.global_rank == 0:
        (Path(out) / "results.json").write_text(json.dumps(results_of))


if __name__ == "__main__":
    strategy = DDPStrategy(start_method="fork", process_group_backend="gloo")
    Fabric(accelerator="cpu", devices=2, strategy=strategy).launch(main, *sys.argv[1:])
