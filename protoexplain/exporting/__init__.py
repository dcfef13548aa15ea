"""Checkpoints as files that other programs run: ONNX, and torch's exported programs."""
