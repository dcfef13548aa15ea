"""Work in several processes on one CPU, two unless PROTOEXPLAIN_PROCESSES says how many."""

import os
import socket

from forked import start_command
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

COUNT = int(os.environ.get("PROTOEXPLAIN_PROCESSES", "2"))


def launch(work, *arguments, **options):
    """Call `work(fabric, *arguments)` in all processes; options are those of DDP."""
    strategy = DDPStrategy(start_method="fork", process_group_backend="gloo", **options)
    Fabric(accelerator="cpu", devices=COUNT, strategy=strategy).launch(work, *arguments)


def start_as_torchrun_does(*words, folder):
    """Start a command in all processes, with the environment that torchrun gives them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(COUNT):
        place = folder / f"process-{rank}"
        place.mkdir()
        env = {
            "TORCHELASTIC_RUN_ID": "test",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(COUNT),
            "LOCAL_WORLD_SIZE": str(COUNT),
        }
        started.append(start_command(*words, folder=place, env=env))
    return started
