"""Statistics that several metrics share: from observations to means, intervals, hits and counts."""
