"""Explanations of pictures that lie in no file."""

from protoexplain.explanations.evidence.local import explain_forward_pass
from protoexplain.explanations.forward_pass import run_forward


def explain(model, picture, geometry, class_names, *, records=(), **options):
    """The explanation of a picture [3,S,S] by a model."""
    return explain_forward_pass(run_forward(model, picture, geometry, class_names, records), **options)
