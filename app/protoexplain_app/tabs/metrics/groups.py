"""Metrics in groups that each answer a question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "Can its answers be trusted?": (
        "accuracy",
        "accuracy_under_noise",
        "certified_accuracy",
        "calibration_error",
        "abstention",
        "foreign_accepted",
        "foreign_auroc",
        "projection_gap",
    ),
    "Does each prototype look for one thing?": (
        "consistency",
        "part_consistency",
        "stability",
        "conditioned_consistency",
        "conditioned_stability",
        "stability_pixel_noise",
        "purity",
        "purity_most_often",
        "prototype_score",
        "augmentation_consistency",
        "augmentation_stability",
    ),
    "Do its heat maps lie on the object?": (
        "pointing_game",
        "content_heatmap",
        "outside_inside_ratio",
        "heatmap_iou",
        "energy_relevance",
        "mask_relevance",
    ),
    "Does it know the object, or what is around it?": (
        "class_from_background",
        "class_from_object",
        "off_object",
        "swapped_prototypes",
    ),
    "Do its heat maps show what counts?": ("deletion", "insertion"),
    "Does only what is in the box count?": (
        "misalignment_pac",
        "misalignment_plc",
        "misalignment_prc",
        "misalignment_ac",
        "quanproto_vlc",
        "quanproto_vac",
        "quanproto_plc",
        "quanproto_psc",
        "quanproto_prc",
        "quanproto_palc",
        "quanproto_pac",
    ),
    "What if a part is taken away?": (
        "funnybirds_overall",
        "funnybirds_completeness",
        "funnybirds_controlled_check",
        "funnybirds_preservation_check",
        "funnybirds_deletion_check",
        "funnybirds_distractibility",
        "funnybirds_correctness",
        "funnybirds_contrastivity",
        "funnybirds_background_independence",
    ),
    "Are its explanations short and varied?": (
        "compactness",
        "explanation_size",
        "explanation_size_all_classes",
        "active_prototypes",
        "used_prototypes",
        "weight_sparsity",
        "distinctness",
        "part_distinctiveness",
        "part_comprehensiveness",
        "redundancy",
        "repeated_patches",
        "prototype_sparsity",
    ),
}
OTHERS: Final = "Further metrics"


def grouped(names: Iterable[str]) -> dict[str, list[str]]:
    """Question -> metrics, in the order of `GROUPS`."""
    left = dict.fromkeys(names)
    found = {question: [name for name in members if name in left] for question, members in GROUPS.items()}
    rest = [name for name in left if not any(name in members for members in GROUPS.values())]
    return {question: members for question, members in {**found, OTHERS: rest}.items() if members}
