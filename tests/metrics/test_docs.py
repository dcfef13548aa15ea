"""The example of the documentation is a metric that works, and the table names all metrics."""

import re
from pathlib import Path

import pytest
from metrics.observed import observe

from protoexplain.metrics.base import Metric
from protoexplain.metrics.registry import list_metrics

TEXT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_example():
    code = next(block for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if "METRIC =" in block)
    content = {}
    exec(compile(code, "docs/metrics.md", "exec"), content)  # noqa: S102 - our own documentation
    metric = content["METRIC"]
    assert isinstance(metric, Metric)
    observed = observe((0, 0, 1, 1, 2, 3))
    result = metric.measure("centredness", observed, metric.settings())
    expected = [(abs(y - 32), abs(x - 32)) for y, x in observed.peaks[0].tolist()]
    assert 0 <= result.score.low <= result.score.value <= result.score.high <= 0.5
    both = observed.peaks[1].tolist()
    first = [(max(one) + max(abs(y - 32), abs(x - 32))) / 2 / 64 for one, (y, x) in zip(expected, both, strict=True)]
    assert result.score.per_prototype[:3] == pytest.approx(first)


def test_all_metrics_are_described():
    described = re.findall(r"`(\w+)`", "".join(line for line in TEXT.splitlines() if line.startswith("| `")))
    assert sorted(described) == list_metrics()
