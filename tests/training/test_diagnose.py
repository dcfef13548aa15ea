"""Each question about the prototypes finds what was put there."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import SIZE, fresh, project, run_data

from protoexplain.checkpoint.prototypes import PrototypeRecord
from protoexplain.data.geometry import Box
from protoexplain.data.records import ImageRecord
from protoexplain.models.contract import Detection
from protoexplain.training import diagnose as module
from protoexplain.training.diagnose import diagnose
from protoexplain.training.provenance import provenance


def at(index, image, row=0, column=0, label=0, **more):
    return PrototypeRecord(
        index, "main", label, index, image_id=image, row=row, column=column, map_height=4, map_width=4,
        source_size=(80, 40), similarity=0.5, **more,
    )  # fmt: skip


def image(name, path, label=0, **more):
    return ImageRecord(name, path / name, label, "train", **more)


def test_unprojected():
    finding = module.unprojected([at(0, "a"), PrototypeRecord(1, "main", 0, 1), at(2, "b")])
    assert finding.prototypes == (1,)
    assert finding.sentence.startswith("1 of 3 prototypes")


def test_repeated_counts_class_branch_image_and_cell():
    records = [
        at(0, "a"), at(1, "a"), at(2, "a", column=1), at(3, "b"), at(4, "a", label=1),
        replace(at(5, "a"), branch="other"),
        at(6, "b"), at(7, "a"), PrototypeRecord(8, "main", 0, 8), PrototypeRecord(9, "main", 0, 9),
    ]  # fmt: skip
    finding = module.repeated(records)
    assert finding.groups == ((0, 1, 7), (3, 6))
    assert finding.prototypes == (0, 1, 3, 6, 7)
    assert "5 of 10 prototypes share their patch with another one (2 patches)" in finding.sentence


def test_background_by_mask(tmp_path):
    mask = np.zeros((40, 80), np.uint8)
    mask[:, :40] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    known = [image("a", tmp_path, mask=tmp_path / "mask.png")]
    finding = module.on_background([at(0, "a", column=1), at(1, "a", column=2)], known, "full")
    assert finding.judged
    assert finding.prototypes == (1,)


def test_background_by_mask_within_a_crop(tmp_path):
    mask = np.zeros((40, 80), np.uint8)
    mask[:, :40] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    known = [image("a", tmp_path, mask=tmp_path / "mask.png", box=Box(0, 0, 48, 40))]
    records = [at(0, "a", column=2), at(1, "a", column=3)]
    assert module.on_background(records, known, "box").prototypes == (1,)


def test_background_by_box_on_whole_images_only(tmp_path):
    known = [image("a", tmp_path, box=Box(0, 0, 80, 20))]
    records = [at(0, "a", row=1), at(1, "a", row=2)]
    assert module.on_background(records, known, "full").prototypes == (1,)
    unknown = module.on_background(records, known, "box")
    assert not unknown.judged
    assert unknown.prototypes == ()
    assert "cannot be judged" in unknown.sentence


def test_masks_that_cannot_be_used_are_no_verdict(tmp_path):
    Image.new("L", (10, 10)).save(tmp_path / "small.png")
    known = [image("a", tmp_path, mask=tmp_path / "small.png"), image("b", tmp_path, mask=tmp_path / "none.png")]
    assert not module.on_background([at(0, "a"), at(1, "b")], known, "full").judged


def test_other_classes_counts_what_a_small_class_could_have(tmp_path):
    images = [image(f"a{i}", tmp_path, 0) for i in range(8)] + [image("b", tmp_path, 1), image("c", tmp_path, 1)]
    records = [at(0, "a0"), at(1, "a0"), at(2, "b", label=1), at(3, "b", label=1)]
    nearest = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    assert module.for_other_classes(records, nearest, images).prototypes == (1, 3)


def test_silent_and_classes_that_rely_on_them():
    records = [replace(at(i, "a", label=-1), similarity=s) for i, s in enumerate([0.9, 0.05, None, 0.11])]
    quiet = module.silent(records, Detection(0.1))
    assert quiet.prototypes == (1, 2)
    weights = torch.tensor(
        [[0.7, 0.1, 0.1, 0.1], [0.0, 0.9, 0.1, 0.0], [-0.5, 0.0, 0.0, 0.9], [0.25, 0.25, 0.25, 0.25]]
    )
    finding = module.without_prototypes(weights, quiet.prototypes)
    assert finding.classes == (1, 3)
    assert finding.sentence.startswith("2 of 4 classes")


@pytest.mark.parametrize(
    ("family", "kinds"),
    [
        ("protopnet", ["unprojected", "repeated", "background", "other classes"]),
        ("cbc", ["unprojected", "repeated", "background", "silent", "classes without prototypes"]),
    ],
)
def test_all_questions_of_a_model(tmp_path, family, kinds):
    data = run_data(tmp_path, "full")
    config, model = fresh(family)
    patches, _ = project(config, model, data)
    records = provenance(model, patches, data.train, data.crop, SIZE, True).records
    nearest = torch.zeros(len(records), 6, dtype=torch.long)
    findings = diagnose(model, records, data.train, data.crop, nearest)
    assert [finding.kind for finding in findings] == kinds
    assert all(finding.judged for finding in findings)
    if family == "protopnet":
        assert findings[-1].prototypes == tuple(r.index for r in records if r.label != 0)
        assert len(diagnose(model, records, data.train, data.crop)) == 3
