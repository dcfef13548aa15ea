"""Which images the batches of an epoch hold."""

from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from protoexplain.training.epochs import _passes
from protoexplain.training.inputs import CachedInputs

LABELS = [0] * 12 + [1] * 3 + [2] * 3


def seen(balanced, start=0):
    """Labels of two passes over cached activations, from a step on."""
    training = SimpleNamespace(seed=0, balanced=balanced)
    trainer = SimpleNamespace(
        config=SimpleNamespace(training=training),
        fabric=SimpleNamespace(global_rank=0, world_size=1),
        state=SimpleNamespace(sums=SimpleNamespace(steps=start)),
        data=SimpleNamespace(train=[SimpleNamespace(label=label) for label in LABELS]),
    )
    inputs = CachedInputs("activations", (torch.rand(1, len(LABELS), 4),), torch.tensor(LABELS))
    return [batch.labels.tolist() for batch in _passes(trainer, inputs, 0, 2, 4)]


@pytest.mark.parametrize(("balanced", "counts"), [(False, [24, 6, 6]), (True, [12, 12, 12])])
def test_balanced_passes_show_all_classes_equally_often(balanced, counts):
    batches = seen(balanced)
    shown = Counter(label for batch in batches for label in batch)
    assert [shown[label] for label in range(3)] == counts
    assert seen(balanced, start=3) == batches[3:], "a resumed epoch goes on with the same images"
