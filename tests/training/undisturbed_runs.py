"""A run that nothing interrupts, in a process whose sets have another order than those of the process that asks."""

import itertools

from tiny_runs import tiny_train


def main(family, planted, out, changes):
    """Train; print the hash of a word, which shows the order of sets, and how often the run asked to be interrupted."""
    ticks = itertools.count()

    def interrupted():
        next(ticks)
        return False

    tiny_train(family, planted, out, options={"interrupted": interrupted}, **changes)
    print(hash("order"), next(ticks))
