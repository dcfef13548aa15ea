"""Explanations of images by a model's prototypes."""
