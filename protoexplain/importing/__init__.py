"""Models that other programs trained: read without running anything, and made to checkpoints of our own."""
