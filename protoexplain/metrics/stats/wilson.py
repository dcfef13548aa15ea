"""Interval of a share of counted successes (Wilson 1927)."""

from __future__ import annotations


def wilson(hits: int, total: int) -> tuple[float, float]:
    """95 % interval of the share ``hits / total``, within [0, 1]; (0, 1) where nothing was counted."""
    from scipy.stats import binomtest

    if total == 0:
        return 0.0, 1.0
    interval = binomtest(hits, total).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
