"""Similarities: the best patch is the best of the map, whatever shortcut finds it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pretended_device import DEVICE, pretended_device
from torch import Tensor

from protoexplain.models import similarity as module
from protoexplain.models.similarity import (
    ChannelAxes,
    Cosine,
    DotProduct,
    NegativeSquaredL2,
    Similarity,
    gather_patches,
    map_size,
)

PATCHED: list[Similarity] = [NegativeSquaredL2(), DotProduct(), Cosine()]


def naive(similarity: Similarity, z: Tensor, prototypes: Tensor) -> Tensor:
    """One patch and one prototype at a time."""
    height, width = prototypes.shape[2:]
    rows, columns = map_size(z, prototypes)
    out = z.new_empty(len(z), len(prototypes), rows, columns)
    for b in range(len(z)):
        for p, prototype in enumerate(prototypes.flatten(1)):
            for y in range(rows):
                for x in range(columns):
                    patch = z[b, :, y : y + height, x : x + width].flatten()
                    if isinstance(similarity, NegativeSquaredL2):
                        out[b, p, y, x] = -(patch - prototype).square().sum()
                    else:
                        length = prototype.norm() * (patch.norm() if isinstance(similarity, Cosine) else 1)
                        out[b, p, y, x] = patch @ prototype / length
    return out


@st.composite
def latent(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """A map and prototypes no larger than it."""
    size = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    extra = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    batch, depth, count = draw(st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 6)))
    torch.manual_seed(draw(st.integers(0, 1000)))
    z = torch.randn(batch, depth, size[0] + extra[0], size[1] + extra[1], dtype=torch.float64)
    return z, torch.randn(count, depth, *size, dtype=torch.float64)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 3), st.integers(1, 50), st.integers(1, 4), st.integers(0, 1000))
def test_first_smallest_of_many_ties(batch, length, count, seed):
    values = torch.randint(0, 3, (batch, length, count), generator=torch.Generator().manual_seed(seed)).float()
    expected = torch.tensor([[column.index(min(column)) for column in image.T.tolist()] for image in values])
    assert torch.equal(module._first_smallest(values), expected)


@pytest.mark.parametrize("similarity", PATCHED)
@settings(max_examples=25, deadline=None)
@given(case=latent())
def test_maps_follow_the_definition_and_best_is_their_maximum(similarity, case):
    z, prototypes = case
    maps = similarity.maps(z, prototypes)
    torch.testing.assert_close(maps, naive(similarity, z, prototypes))
    best, cells = similarity.best(z, prototypes)
    torch.testing.assert_close(best, maps.flatten(2).amax(2))
    torch.testing.assert_close(maps.flatten(2).gather(2, cells[:, :, None])[:, :, 0], best)


@pytest.mark.parametrize("similarity", PATCHED)
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (2, 3)])
def test_gradients(similarity, size):
    torch.manual_seed(0)
    z = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    prototypes = torch.randn(4, 3, *size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z, p: similarity.best(z, p)[0], (z, prototypes))
    assert torch.autograd.gradcheck(similarity.maps, (z, prototypes))


def test_gradient_of_a_patch_that_several_prototypes_choose():
    z = torch.randn(1, 3, 1, 1, dtype=torch.float64, requires_grad=True)
    prototypes = torch.randn(5, 3, 1, 1, dtype=torch.float64)
    NegativeSquaredL2().best(z, prototypes)[0].sum().backward()
    torch.testing.assert_close(z.grad, -2 * (z.detach() - prototypes).sum(0, keepdim=True))


def test_small_chunks_find_the_same_patches(monkeypatch):
    torch.manual_seed(0)
    z, prototypes = torch.randn(5, 4, 6, 6), torch.randn(7, 4, 2, 2)
    whole = NegativeSquaredL2().best(z, prototypes)
    monkeypatch.setattr(module, "CHUNK_ELEMENTS", 200)
    parts = NegativeSquaredL2().best(z, prototypes)
    assert torch.equal(whole[0], parts[0])
    assert torch.equal(whole[1], parts[1])


def test_distance_to_a_copied_patch_is_zero_in_float32():
    torch.manual_seed(0)
    z = torch.rand(2, 512, 7, 7)
    prototypes = torch.stack([z[0, :, 2, 3], z[1, :, 6, 0]])[:, :, None, None]
    best, cells = NegativeSquaredL2().best(z, prototypes)
    assert best.diagonal().tolist() == [0.0, 0.0]
    assert cells.diagonal().tolist() == [2 * 7 + 3, 6 * 7]
    assert NegativeSquaredL2().maps(z, prototypes)[0, 0, 2, 3] > -1e-9


def test_gathered_patches_are_the_winning_ones():
    torch.manual_seed(0)
    z, prototypes = torch.randn(3, 4, 5, 6), torch.randn(2, 4, 2, 3)
    best, cells = NegativeSquaredL2().best(z, prototypes)
    patches = gather_patches(z, prototypes, cells)
    torch.testing.assert_close(-(patches - prototypes.flatten(1)).square().sum(2), best)


@pytest.mark.parametrize("similarity", [DotProduct(), Cosine()])
def test_direction_similarities_write_unit_patches_and_ignore_the_length_of_prototypes(similarity):
    z, prototypes = torch.randn(2, 4, 3, 3), torch.randn(5, 4, 1, 1)
    torch.testing.assert_close(similarity.maps(z, 7 * prototypes), similarity.maps(z, prototypes))
    torch.testing.assert_close(similarity.prototypes_from(torch.randn(5, 4)).norm(dim=1), torch.ones(5))


def test_negative_squared_distance_writes_the_patch_itself():
    patches = torch.randn(3, 8)
    assert torch.equal(NegativeSquaredL2().prototypes_from(patches), patches)


class TestChannelAxes:
    z = torch.randn(2, 6, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def test_chosen_channels_of_the_softmax(self):
        channels = torch.tensor([4.0, 1.0]).view(2, 1, 1, 1)
        expected = self.z.exp() / self.z.exp().sum(1, keepdim=True)
        torch.testing.assert_close(ChannelAxes().maps(self.z, channels), expected[:, [4, 1]])
        best, cells = ChannelAxes().best(self.z, channels)
        torch.testing.assert_close(best, expected[:, [4, 1]].flatten(2).amax(2))
        assert cells.tolist() == expected[:, [4, 1]].flatten(2).argmax(2).tolist()

    def test_all_channels(self):
        channels = torch.arange(6.0).view(6, 1, 1, 1)
        torch.testing.assert_close(ChannelAxes().maps(self.z, channels).sum(1), torch.ones_like(self.z[:, 0]))

    def test_it_is_a_normalised_gaussian_of_the_distance_to_the_axes(self):
        axes = torch.eye(6, dtype=torch.float64)
        squared = (self.z[:, None] - axes[None, :, :, None, None]).square().sum(2)
        kernels = torch.exp(-squared / 2)
        channels = torch.arange(6.0).view(6, 1, 1, 1)
        torch.testing.assert_close(ChannelAxes().maps(self.z, channels), kernels / kernels.sum(1, keepdim=True))

    def test_gradient(self):
        z = self.z.clone().requires_grad_()
        channels = torch.tensor([0.0, 5.0, 2.0]).view(3, 1, 1, 1)
        assert torch.autograd.gradcheck(lambda z: ChannelAxes().best(z, channels)[0], (z,))


class TestMixedPrecision:
    """Autocast halves the precision of products, and with it that of the choice of the nearest cell."""

    @staticmethod
    def latent(correlated: bool) -> tuple[Tensor, Tensor]:
        """Rectified maps in half precision, as autocast leaves them, and prototypes."""
        generator = torch.Generator().manual_seed(0)
        z = torch.rand(8, 64, 7, 7, generator=generator)
        if correlated:
            z = z.mean((2, 3), keepdim=True) + 0.1 * z
        return z.bfloat16(), torch.rand(20, 64, 1, 1, generator=generator)

    @pytest.mark.parametrize("correlated", [False, True])
    @pytest.mark.parametrize("similarity", PATCHED)
    def test_cells_are_those_of_float32(self, similarity, correlated):
        z, prototypes = self.latent(correlated)
        values, cells = similarity.best(z.float(), prototypes)
        maps = similarity.maps(z.float(), prototypes)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(similarity.best(z, prototypes)[1], cells)
            assert torch.equal(similarity.best(z, prototypes)[0], values)
            assert torch.equal(similarity.maps(z, prototypes), maps)

    def test_channels_of_half_precision_are_compared_in_float32(self):
        z, channels = self.latent(False)[0], torch.arange(64.0).view(64, 1, 1, 1)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(ChannelAxes().maps(z, channels), z.float().softmax(1))

    @pytest.mark.parametrize("similarity", PATCHED)
    def test_gradients_flow_into_the_cells_of_float32(self, similarity):
        z, prototypes = self.latent(True)
        gradients = []
        for half in (True, False):
            leaf = z.float().requires_grad_()
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                best = similarity.best(leaf, prototypes)[0].sum()
            best.backward()
            gradients.append(leaf.grad)
        torch.testing.assert_close(*gradients)


class TestAccelerators:
    """Squared distances without float64."""

    def maps(self, z: Tensor, prototypes: Tensor) -> Tensor:
        with pretended_device():
            return NegativeSquaredL2().maps(z.to(DEVICE), prototypes.to(DEVICE)).cpu()

    @pytest.mark.parametrize("chunk", [1 << 23, 500])
    def test_they_are_those_of_the_cpu(self, chunk, monkeypatch):
        monkeypatch.setattr(module, "CHUNK_ELEMENTS", chunk)
        torch.manual_seed(0)
        z, prototypes = torch.rand(3, 4, 5, 6), torch.rand(7, 4, 2, 1)
        torch.testing.assert_close(self.maps(z, prototypes), NegativeSquaredL2().maps(z, prototypes))

    def test_nothing_cancels_where_a_patch_is_the_prototype(self):
        torch.manual_seed(0)
        z = 100 + torch.rand(1, 128, 7, 7)
        prototypes = z[:, :, 2, 3].view(1, 128, 1, 1)
        assert float(self.maps(z, prototypes)[0, 0, 2, 3]) == 0
        near = prototypes + 1e-3
        assert float(self.maps(z, near)[0, 0, 2, 3]) == pytest.approx(-128e-6, rel=0.1)
