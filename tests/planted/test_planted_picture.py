import cv2
import numpy as np
import pytest

from protoexplain.planted import plan, render
from protoexplain.planted.anatomy import Pose

BIRDS = plan(8, 0).birds


def features(image, keep):
    """What the pixels in `keep` say: their mean colour over a 4 x 4 grid and their colour histogram."""
    values = image[keep].astype(float)
    overall = values.mean(axis=0)
    cells = []
    for rows in np.array_split(np.arange(image.shape[0]), 4):
        for columns in np.array_split(np.arange(image.shape[1]), 4):
            own = keep[np.ix_(rows, columns)]
            inside = image[np.ix_(rows, columns)][own]
            cells.append(inside.mean(axis=0) if len(inside) >= 8 else overall)
    histogram = np.histogramdd(values, bins=(4, 4, 4), range=((0, 256),) * 3)[0].ravel() / len(values)
    return np.concatenate([np.ravel(cells) / 64, 12 * histogram])


def accuracy(train, train_labels, test, test_labels):
    """Share of test rows that ridge regression on one-hot labels gets right."""
    mean, scale = train.mean(axis=0), train.std(axis=0) + 1e-3
    x, z = (train - mean) / scale, (test - mean) / scale
    targets = np.eye(len(BIRDS))[train_labels] - 1 / len(BIRDS)
    weights = np.linalg.solve(x.T @ x + 30 * np.eye(x.shape[1]), x.T @ targets)
    return float(np.mean(np.argmax(z @ weights, axis=1) == test_labels))


def test_only_the_bird_tells_the_class():
    """Background alone stays at chance (1 in 8); the bird alone does not."""
    behind, birds, labels = [], [], []
    for label, bird in enumerate(BIRDS):
        for number in range(60):
            picture = render(bird, [9, label, number], 64)
            grown = cv2.dilate(picture.mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
            behind.append(features(picture.image, ~grown))
            birds.append(features(picture.image, picture.mask))
            labels.append(label)
    behind, birds, labels = np.array(behind), np.array(birds), np.array(labels)
    test = np.tile(np.arange(60) >= 35, len(BIRDS))
    count, chance = int(test.sum()), 1 / len(BIRDS)
    bound = chance + 3 * np.sqrt(chance * (1 - chance) / count)
    assert accuracy(behind[~test], labels[~test], behind[test], labels[test]) < bound
    assert accuracy(birds[~test], labels[~test], birds[test], labels[test]) > 2 * bound


def test_surroundings_do_not_depend_on_the_class():
    for seed in range(6):
        pictures = [render(bird, seed, 96) for bird in BIRDS]
        bird = np.any([picture.mask for picture in pictures], axis=0).astype(np.uint8)
        outside = cv2.dilate(bird, np.ones((7, 7), np.uint8)) == 0
        assert outside.mean() > 0.3
        for picture in pictures[1:]:
            difference = np.abs(picture.image.astype(int) - pictures[0].image).max(axis=2)
            assert np.mean(difference[outside] > 2) < 1e-3  # a bird may gleam through the edge of a leaf


def test_equal_seeds_give_equal_pictures():
    first, second = render(BIRDS[0], (1, 2), 64), render(BIRDS[0], (1, 2), 64)
    assert np.array_equal(first.image, second.image)
    assert first.parts == second.parts
    assert not np.array_equal(first.image, render(BIRDS[0], (1, 3), 64).image)


@pytest.mark.parametrize("size", [32, 97, 224, 400])
def test_any_size(size):
    picture = render(BIRDS[2], 4, size)
    assert picture.image.shape == (size, size, 3)
    assert picture.image.dtype == np.uint8
    assert picture.mask.shape == picture.regions.shape == (size, size)
    assert picture.mask.any()
    assert 0 <= picture.box.x0 < picture.box.x1 <= size
    assert 0 <= picture.box.y0 < picture.box.y1 <= size


def test_parts_keep_their_place_in_the_bird_at_every_size():
    small, large = render(BIRDS[2], 4, 100), render(BIRDS[2], 4, 200)
    for part in ("back", "belly", "tail", "crown"):
        if small.parts[part] and large.parts[part]:
            assert np.allclose(np.array(small.parts[part]) * 2, large.parts[part])


def test_mirroring_swaps_left_and_right():
    camera = np.eye(3)
    pose = Pose.drawn(np.random.default_rng(0))
    facing = {
        mirrored: Pose(**{name: getattr(pose, name) for name in Pose.__slots__} | {"mirrored": mirrored})
        for mirrored in (False, True)
    }
    right, left = facing[False].landmarks(camera), facing[True].landmarks(camera)
    assert right["right eye"] == left["left eye"]
    assert right["right wing"] == left["left wing"]
    assert right["right leg"] == left["left leg"]
    assert right["left eye"] is right["left wing"] is left["right eye"] is left["right wing"] is None
    assert facing[False].camera(100)[0, 0] > 0 > facing[True].camera(100)[0, 0]


def test_poses_and_scenes_vary():
    pictures = [render(BIRDS[0], seed, 48) for seed in range(40)]
    widths = [picture.box.width / 48 for picture in pictures]
    assert 0.35 < min(widths) < 0.6 < max(widths) <= 1
    sides = {"left": 0, "right": 0}
    for picture in pictures:
        for side in sides:
            sides[side] += picture.parts[f"{side} eye"] is not None
    assert min(sides.values()) >= 8
    brightness = [picture.image[~picture.mask].mean() for picture in pictures]
    assert np.std(brightness) > 15
    assert any(picture.parts[part] is None for picture in pictures for part in ("belly", "breast", "tail"))
