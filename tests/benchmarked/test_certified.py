"""Certified accuracy beside attacks, and the folders of small grey pictures."""

import gzip
import struct

import numpy as np
import torch
from PIL import Image

from benchmarks.certified import Attacked, attack, report
from benchmarks.grey_pictures import CLOTHES, write_digits, write_fashion
from protoexplain.models.families.shallow_cbc import FAMILY, ShallowCBCConfig

INF = torch.inf


def test_attack_finds_others_beyond_the_certified_radius_alone():
    torch.manual_seed(0)
    config = ShallowCBCConfig(image_size=6, picture_channels=1, components=6, sigma=2.0)
    model = FAMILY.build(config, 3).eval()
    with torch.no_grad():
        model.branch.prototypes.copy_(torch.rand(6, 1, 6, 6))
        model.branch.head.joint_logits.copy_(8 * torch.rand(12, 6))
        pictures = torch.rand(20, 1, 6, 6)
        labels = model(pictures.expand(-1, 3, -1, -1)).logits.argmax(1)
    labels[0] = (labels[0] + 1) % 3
    found = attack(model, pictures, labels, (0.0, 0.1, 3.0))
    assert found.nearest[0] == 0 > found.certified[0], "wrong without any move"
    assert found.violations == 0
    assert found.nearest.isfinite().float().mean() > 0.5
    assert "20 images, 0 flipped within their certified radius" in report(found, (0.0, 0.5))


def test_a_flip_within_the_radius_is_a_violation():
    found = Attacked(torch.tensor([0.5, 0.5, -0.2, 1.0]), torch.tensor([0.4, INF, 0.0, 1.5]))
    assert found.violations == 1
    assert found.row(0.0) == (0.75, 0.75)
    assert found.row(0.6) == (0.25, 0.5)


def test_digits_and_clothes_become_folders_of_grey_pictures(tmp_path):
    write_digits(tmp_path / "digits", 50)
    files = sorted((tmp_path / "digits").rglob("*.png"))
    assert len(files) == 50
    assert Image.open(files[0]).size == (28, 28)
    pictures = np.arange(40 * 784, dtype=np.uint32).astype(np.uint8).reshape(40, 28, 28)
    labels = (np.arange(40) % 10).astype(np.uint8)
    for prefix in ("train", "t10k"):
        for kind, head, values in (("images-idx3", ">4i", pictures), ("labels-idx1", ">2i", labels)):
            with gzip.open(tmp_path / f"{prefix}-{kind}-ubyte.gz", "wb") as file:
                file.write(struct.pack(head, *[0] * int(head[1])) + values.tobytes())
    write_fashion(tmp_path / "clothes", 3, None, tmp_path)
    assert {path.name for path in (tmp_path / "clothes" / "train").iterdir()} == set(CLOTHES)
    assert len(list((tmp_path / "clothes" / "train").rglob("*.png"))) == 30
    assert len(list((tmp_path / "clothes" / "test").rglob("*.png"))) == 40
    dress = np.asarray(Image.open(tmp_path / "clothes" / "test" / "dress" / "00013.png"))
    assert np.array_equal(dress, pictures[13])
