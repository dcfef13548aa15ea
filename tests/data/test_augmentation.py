import math
import pickle

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from protoexplain.data import warps
from protoexplain.data.augmentation import AUGMENTATIONS, find_augmentation
from protoexplain.errors import UserError

WIDTH, HEIGHT = 180, 120
CORNERS = np.array([[0, 0, 1], [WIDTH, 0, 1], [WIDTH, HEIGHT, 1], [0, HEIGHT, 1]], dtype=float)


def smooth(width=WIDTH, height=HEIGHT):
    """A picture whose pixels tell where they come from and that bears interpolation."""
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([60 + x, 60 + y, 128 + 60 * np.sin(x / 9) * np.cos(y / 7)], axis=-1)
    return rgb.clip(0, 255).astype(np.uint8)


def as_tensor(rgb):
    return torch.from_numpy(rgb).permute(2, 0, 1)


def full_size(warp, rgb):
    """The warped picture stretched back to the source's size."""
    picture = warps.sample(warps.shrunk(rgb, 2 * WIDTH), warp, 2 * WIDTH)
    return cv2.resize(picture, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_AREA)


def agree(one, other, margin=4, tolerance=3.0):
    difference = np.abs(one.astype(float) - other.astype(float))[margin:-margin, margin:-margin]
    return difference.mean() < tolerance


class Fixed:
    """A stand-in generator that gives prepared numbers."""

    def __init__(self, integers=(), randoms=(), uniforms=()):
        self.queues = {"integers": list(integers), "random": list(randoms), "uniform": list(uniforms)}

    def integers(self, *_, **__):
        return self.queues["integers"].pop(0)

    def random(self):
        return self.queues["random"].pop(0)

    def uniform(self, *_):
        return self.queues["uniform"].pop(0)


class TestContract:
    @pytest.mark.parametrize("name", AUGMENTATIONS)
    @pytest.mark.parametrize("shape", [(30, 40), (500, 375), (1, 1), (1, 300), (224, 224)])
    def test_shape_and_type(self, name, shape):
        image = torch.randint(0, 256, (3, *shape), dtype=torch.uint8)
        augmentation = find_augmentation(name)
        for seed in range(6):
            views = augmentation(image, 64, np.random.default_rng(seed))
            assert views.shape == (augmentation.views, 3, 64, 64)
            assert views.dtype == torch.uint8
            assert views.is_contiguous()

    @pytest.mark.parametrize("name", AUGMENTATIONS)
    def test_only_the_given_generator_matters(self, name):
        image, augmentation = as_tensor(smooth()), AUGMENTATIONS[name]
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        one = [augmentation(image, 56, np.random.default_rng(seed)) for seed in range(12)]
        two = [augmentation(image, 56, np.random.default_rng(seed)) for seed in range(12)]
        assert all(map(torch.equal, one, two))
        assert torch.equal(before[0], torch.get_rng_state())
        assert np.array_equal(before[1], np.random.get_state()[1])
        if name != "none":
            assert any(not torch.equal(one[0], other) for other in one[1:])

    @pytest.mark.parametrize("name", AUGMENTATIONS)
    def test_source_is_left_alone(self, name):
        image = as_tensor(smooth()).contiguous()
        copy = image.clone()
        for seed in range(8):
            AUGMENTATIONS[name](image, 56, np.random.default_rng(seed))
        assert torch.equal(image, copy)

    def test_unknown_name(self):
        with pytest.raises(UserError, match="did you mean 'protopnet'"):
            find_augmentation("protopnt")


class TestPlain:
    def test_none_is_torchvisions_resize(self):
        rgb = smooth()
        expected = v2.Resize((64, 64))(Image.fromarray(rgb))
        got = AUGMENTATIONS["none"](as_tensor(rgb), 64, np.random.default_rng(0))
        assert np.array_equal(got[0].permute(1, 2, 0).numpy(), np.asarray(expected))

    def test_flip_flips_half(self):
        image = as_tensor(smooth())
        plain = AUGMENTATIONS["none"](image, 32, np.random.default_rng(0))
        drawn = [AUGMENTATIONS["flip"](image, 32, np.random.default_rng(seed)) for seed in range(200)]
        flipped = sum(torch.equal(views, plain.flip(-1)) for views in drawn)
        assert flipped + sum(torch.equal(views, plain) for views in drawn) == 200
        assert 70 < flipped < 130


class TestAugmentor:
    """Against straightforward versions with Pillow, in the steps in which Augmentor does it."""

    @pytest.mark.parametrize("degrees", [-15, -7, 0, 3, 15])
    def test_rotation(self, degrees):
        rgb = smooth()
        turned = Image.fromarray(rgb).rotate(degrees, expand=True, resample=Image.Resampling.BICUBIC)
        tangent = math.tan(math.radians(abs(degrees)))
        left = tangent * (turned.height - turned.width * tangent)
        top = tangent * (turned.width - left)
        inner = turned.crop(tuple(map(round, (left, top, turned.width - left, turned.height - top))))
        expected = inner.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        rng = Fixed(integers=[abs(degrees)], randoms=[0.0 if degrees > 0 else 0.9])
        assert agree(full_size(warps.rotation(WIDTH, HEIGHT, rng), rgb), np.asarray(expected))

    @pytest.mark.parametrize("degrees", [-10, -4, 0, 4, 10])
    @pytest.mark.parametrize("along_x", [True, False])
    def test_shear(self, degrees, along_x):
        rgb = smooth()
        slope = math.tan(math.radians(degrees))
        lost = math.ceil(abs(slope) * (HEIGHT if along_x else WIDTH))
        offset = lost if slope > 0 else 0
        image = Image.fromarray(rgb)
        if along_x:
            wide = image.transform(
                (WIDTH + lost, HEIGHT),
                Image.Transform.AFFINE,
                (1, slope, -offset, 0, 1, 0),
                Image.Resampling.BICUBIC,
            )
            inner = wide.crop((lost, 0, WIDTH, HEIGHT))
        else:
            high = image.transform(
                (WIDTH, HEIGHT + lost),
                Image.Transform.AFFINE,
                (1, 0, 0, slope, 1, -offset),
                Image.Resampling.BICUBIC,
            )
            inner = high.crop((0, lost, WIDTH, HEIGHT))
        expected = inner.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        rng = Fixed(integers=[degrees], randoms=[0.0 if along_x else 0.9])
        assert agree(full_size(warps.shear(WIDTH, HEIGHT, rng), rgb), np.asarray(expected))

    @pytest.mark.parametrize("direction", range(4))
    def test_tilt_moves_one_side_outwards(self, direction):
        rng = Fixed(integers=[20, direction], randoms=[0.0])
        to_output = np.linalg.inv(warps.skew(WIDTH, HEIGHT, rng))
        moved = CORNERS @ to_output.T
        shift = moved[:, :2] / moved[:, 2:] - CORNERS[:, :2]
        assert np.allclose(sorted(np.abs(shift).ravel()), [0] * 6 + [20, 20], atol=1e-3)
        outside = [(x <= 1e-3 or x >= WIDTH - 1e-3) and (y <= 1e-3 or y >= HEIGHT - 1e-3)
                   for x, y in moved[:, :2] / moved[:, 2:]]  # fmt: skip
        assert all(outside)

    def test_skew_amount_and_kinds(self):
        kinds = {"tilt": 0, "corner": 0}
        rng = np.random.default_rng(0)
        for _ in range(400):
            moved = CORNERS @ np.linalg.inv(warps.skew(WIDTH, HEIGHT, rng)).T
            shift = np.abs(moved[:, :2] / moved[:, 2:] - CORNERS[:, :2])
            assert 1 - 1e-3 <= shift.max() <= 36 + 1e-3
            kinds["tilt" if (shift > 0.5).sum() == 2 else "corner"] += 1
        assert 60 < kinds["corner"] < 140

    def test_distortion_is_piecewise_as_a_mesh(self):
        rgb = smooth(200, 100)
        knots = warps.distortion(np.random.default_rng(1))
        assert np.abs(knots).max() <= 5
        assert not knots[[0, -1]].any()
        assert not knots[:, [0, -1]].any()
        mesh = []
        for row in range(10):
            for column in range(10):
                tile = (column * 20, row * 10, column * 20 + 20, row * 10 + 10)
                order = ((row, column), (row + 1, column), (row + 1, column + 1), (row, column + 1))
                quad = [v for r, c in order for v in (c * 20 + knots[r, c, 0], r * 10 + knots[r, c, 1])]
                mesh.append((tile, quad))
        expected = Image.fromarray(rgb).transform((200, 100), Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)
        frame = warps.shrunk(rgb, 400)
        picture = warps.sample(frame, np.eye(3), 400, knots=knots)
        got = cv2.resize(picture, (200, 100), interpolation=cv2.INTER_AREA)
        assert agree(got, np.asarray(expected), tolerance=2.0)
        assert not agree(rgb, np.asarray(expected), tolerance=2.0)

    @pytest.mark.parametrize("operation", [warps.rotation, warps.skew, warps.shear])
    def test_no_empty_corner_ever_shows(self, operation):
        rng = np.random.default_rng(2)
        for _ in range(200):
            shown = CORNERS @ operation(WIDTH, HEIGHT, rng).T
            shown = shown[:, :2] / shown[:, 2:]
            assert shown.min() > -1e-3
            assert (shown < np.array([WIDTH, HEIGHT]) + 1e-3).all()

    @pytest.mark.parametrize(("name", "operations"), [("protopnet", 3), ("st_cropped", 4)])
    def test_each_operation_is_drawn_as_often(self, name, operations, monkeypatch):
        drawn = {}
        for operation in ("rotation", "skew", "shear", "distortion"):
            original = getattr(warps, operation)

            def counted(*args, operation=operation, original=original):
                drawn[operation] = drawn.get(operation, 0) + 1
                return original(*args)

            monkeypatch.setattr(warps, operation, counted)
        rng = np.random.default_rng(0)
        for _ in range(400):
            AUGMENTATIONS[name](as_tensor(smooth(40, 30)), 16, rng)
        assert len(drawn) == operations
        assert all(abs(count - 400 / operations) < 50 for count in drawn.values())


class TestAffine:
    @pytest.mark.parametrize(("angle", "slant"), [(20, 0), (0, 12), (-20, 12), (13, -9)])
    def test_equals_torchvision(self, angle, slant):
        rgb = smooth(128, 128)
        warp = warps.affine(128, 128, Fixed(uniforms=[np.array([angle, slant, 0, 0, 0]) / (25, 15, 1, 1, 1)]), 25, 15)
        got = warps.sample(warps.shrunk(rgb, 128), warp, 128, cv2.BORDER_CONSTANT)
        expected = v2.functional.affine(
            as_tensor(rgb), angle, [0, 0], 1.0, [slant, 0.0], interpolation=v2.InterpolationMode.BILINEAR
        )
        assert agree(got, expected.permute(1, 2, 0).numpy(), tolerance=1.5)

    def test_zoom_and_shift(self):
        warp = warps.affine(100, 50, Fixed(uniforms=[np.array([0, 0, 1, 1, -1])]), 0, 0, scale=0.1, shift=0.2)
        corner = np.linalg.inv(warp) @ [100, 50, 1]
        assert np.allclose(corner, [50 + 55 + 20, 25 + 27.5 - 10, 1])


class TestTwoViews:
    def test_light_two_views_share_geometry_and_hue(self):
        rgb = smooth()
        for seed in range(10):
            one, two = AUGMENTATIONS["light_two_views"](as_tensor(rgb), 64, np.random.default_rng(seed)).float()
            assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.97
        grey = np.full((40, 40, 3), 90, dtype=np.uint8)
        views = AUGMENTATIONS["light_two_views"](as_tensor(grey), 32, np.random.default_rng(0))
        assert (views[:, 0] == views[:, 1]).all()
        assert (views[:, 1] == views[:, 2]).all()

    def test_light_keeps_colours(self):
        flat = np.full((50, 40, 3), (200, 30, 90), dtype=np.uint8)
        for seed in range(10):
            (view,) = AUGMENTATIONS["light"](as_tensor(flat), 32, np.random.default_rng(seed))
            assert view.flatten(1).unique(dim=1).T.tolist() == [[200, 30, 90]]

    def test_cbc_views_differ_by_little_shift(self):
        rgb = smooth(300, 300)
        shifted = False
        for seed in range(40):
            one, two = (
                AUGMENTATIONS["cbc"](as_tensor(rgb), 224, np.random.default_rng(seed)).permute(0, 2, 3, 1).numpy()
            )
            (dx, dy), response = cv2.phaseCorrelate(*(np.float32(v.mean(axis=2)) for v in (one, two)))
            shifted |= abs(dx) + abs(dy) > 0.5
            if response > 0.7:
                assert max(abs(dx), abs(dy)) <= 4.6
        assert shifted


def test_large_pictures_are_antialiased():
    checker = (np.indices((1024, 1024)).sum(axis=0) % 2 * 255).astype(np.uint8)
    image = as_tensor(np.repeat(checker[..., None], 3, axis=2))
    for name in ("none", "light", "protopnet", "st_cropped"):
        view = AUGMENTATIONS[name](image, 64, np.random.default_rng(0)).float()
        assert view.std() < 3, name
        assert abs(view.mean() - 127.5) < 3


class TestElastic:
    def test_no_noise_moves_nothing(self):
        shifts = warps.elastic(np.zeros((2, 20, 30)), 4, 20)
        assert np.array_equal(warps.shifted(smooth(30, 20), shifts), smooth(30, 20))

    @pytest.mark.parametrize("axis", [0, 1])
    def test_first_field_moves_rows_and_second_columns(self, axis):
        shifts = np.zeros((2, 20, 30))
        shifts[axis] = 2
        picture = smooth(30, 20)
        moved = np.moveaxis(warps.shifted(picture, shifts), axis, 0)
        assert np.array_equal(moved[:-2], np.moveaxis(picture, axis, 0)[2:])
        assert not moved[-1:].any(), "zero outside the picture"

    def test_deformation_grows_with_the_picture(self):
        """The largest shift is about the same share of the side at every size."""
        shares = []
        for size in (28, 112):
            scale = size / 28
            fields = np.random.default_rng(0).uniform(-1, 1, (20, 2, size, size))
            shares.append(np.mean([np.abs(warps.elastic(f, 4 * scale, 20 * scale**2)).max() / size for f in fields]))
        assert shares[1] == pytest.approx(shares[0], rel=0.25)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentation_comes_out_of_a_pickle_as_it_was(name):
    """Workers that are started afresh get what they need in a pickle, which holds no closure."""
    sent = pickle.loads(pickle.dumps(AUGMENTATIONS[name]))  # noqa: S301
    frame = sent.prepare(smooth(), 48)
    one, other = (a.apply(frame, 48, np.random.default_rng(4)) for a in (sent, AUGMENTATIONS[name]))
    assert torch.equal(one, other)
