"""PrototypeDL: the whole autoencoder, its losses, and elastic deformations.

The published classifier multiplies distances D with weights V; ours multiplies -D with -V.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_vectors import Vectors, close
from torch import Tensor, nn

from protoexplain.data import warps
from protoexplain.models.autoencoder import ConvDecoder, ConvEncoder
from protoexplain.models.base import BranchOutput, PrototypeOutput
from protoexplain.models.families.prototypedl import PrototypeDLConfig, PrototypeDLLosses
from protoexplain.models.families.prototypedl.network import PrototypeDL
from protoexplain.models.similarity import NegativeSquaredL2

pytestmark = pytest.mark.golden
LAYERS = 4


def filters(v: Vectors, name: str) -> Tensor:
    """(h, w, in, out) of a convolution or (h, w, out, in) of a transposed one, as both are stored here."""
    return v.tensor(name).permute(3, 2, 0, 1).contiguous()


def as_map(rows: Tensor, depth: int) -> Tensor:
    """Flattened by row, column, channel -> [N,D,H,W]."""
    side = round((rows.shape[1] / depth) ** 0.5)
    return rows.view(len(rows), side, side, depth).permute(0, 3, 1, 2).contiguous()


def flat(maps: Tensor) -> Tensor:
    return maps.permute(0, 2, 3, 1).flatten(1)


def square(rows: Tensor) -> Tensor:
    """Pixels [N,S*S] -> [N,1,S,S]."""
    side = round(rows.shape[1] ** 0.5)
    return rows.view(len(rows), 1, side, side)


def autoencoder(v: Vectors) -> PrototypeDL:
    maps = [v[f"w_enc_f{number}"].shape[3] for number in range(1, LAYERS + 1)]
    prototypes, side = v["prototypes"], square(v.tensor("images")).shape[2]
    config = PrototypeDLConfig(image_size=side, prototypes=len(prototypes), picture_channels=1)
    model = PrototypeDL(config, v["last_layer_w"].shape[1], ConvEncoder(maps, channels=1), maps[-1])
    for number, layer in enumerate(model.backbone.layers, 1):
        layer[0].weight.data, layer[0].bias.data = filters(v, f"w_enc_f{number}"), v.tensor(f"b_enc_b{number}")
    for number, layer in zip(range(LAYERS, 0, -1), model.decoder.layers, strict=True):
        layer.weight.data, layer.bias.data = filters(v, f"w_dec_f{number}"), v.tensor(f"b_dec_b{number}")
    ((_, branch),) = model.named_branches()
    branch.prototypes.data = as_map(v.tensor("prototypes"), maps[-1])
    branch.head.weight.data = -v.tensor("last_layer_w").T
    return model


def losses_of(v: Vectors) -> tuple[PrototypeDLLosses, dict[str, str]]:
    """Weights of the terms, and the published names of the terms."""
    numbers = dict(zip(("cross_entropy", "reconstruction", "r1", "r2"), v["lambdas_class_ae_1_2"], strict=True))
    names = {"cross_entropy": "class_error", "reconstruction": "ae_error", "r1": "error_1", "r2": "error_2"}
    return PrototypeDLLosses(**numbers), names


def test_published_weights_are_the_default(golden):
    assert losses_of(golden("prototypedl_model"))[0] == PrototypeDLLosses()


def test_autoencoder(golden):
    v = golden("prototypedl_model")
    model, tolerance = autoencoder(v), {"atol": 1e-5, "rtol": 1e-4}
    output = model(square(v.tensor("images")))
    out = output.branches["main"]
    close(flat(out.latent), v["features"], **tolerance)
    close(-out.activations, v["prototype_distances"], **tolerance)
    close(-out.activations.T, v["feature_distances"], **tolerance)
    close(output.logits, v["logits"], **tolerance)
    close(model.probabilities(output.logits), v["probabilities"], **tolerance)
    close(model.decoder(out.latent).flatten(1), v["reconstruction"], **tolerance)
    close(model.decoder(model.named_branches()[0][1].prototypes).flatten(1), v["decoded_prototypes"], **tolerance)
    shown = model.decoded_prototypes()
    close(shown.mean(1).flatten(1), v["decoded_prototypes"], **tolerance)
    assert shown.shape[1] == 3
    assert (output.logits.argmax(1) == v.tensor("labels")).double().mean() == v.number("accuracy")


def test_layers_of_the_autoencoder(golden):
    v = golden("prototypedl_model")
    model = autoencoder(v)
    encoded = model.backbone.forward_intermediates(square(v.tensor("images")), range(LAYERS))
    for number, maps in enumerate(encoded, 1):
        count, depth, height, width = maps.shape
        assert [count, height, width, depth] == v[f"act_el{number}_shape"].tolist()
    close(encoded[0][0].permute(1, 2, 0), v["act_el1_sample0"], atol=1e-5, rtol=1e-4)
    for number in range(LAYERS, 1, -1):
        _, height, width, depth = v[f"act_dl{number}_shape"].tolist()
        place = LAYERS - number
        assert model.decoder.sides[place] == height == width
        assert model.decoder.layers[place].out_channels == depth
    first = ConvDecoder(encoded[-1].shape[1], v["act_dl4_sample0"].shape[2], model.decoder.sides[0], 1)
    first.layers[0].load_state_dict(model.decoder.layers[0].state_dict())
    close(
        first.double()(encoded[-1].double())[0].logit().relu().permute(1, 2, 0),
        v["act_dl4_sample0"],
        atol=1e-5,
        rtol=1e-4,
    )


def test_losses_of_the_autoencoder(golden):
    v = golden("prototypedl_model")
    model, (weights, names) = autoencoder(v), losses_of(v)
    output = model(square(v.tensor("images")))
    terms = model.loss_terms(output, v.tensor("labels"), frozenset(names))
    for name, published in names.items():
        close(terms[name], v.number(published), atol=1e-5, rtol=1e-4)
    total = sum(getattr(weights, name) * term for name, term in terms.items())
    close(total, v.number("total_error"), atol=1e-5, rtol=1e-4)
    total.backward()
    ((_, branch),) = model.named_branches()
    close(flat(branch.prototypes.grad), v["grad_prototypes"], atol=1e-3, rtol=1e-4)
    close(-branch.head.weight.grad.T, v["grad_last_layer_w"], atol=1e-3, rtol=1e-4)
    last_filters, first_filters = model.backbone.layers[-1][0].weight.grad, model.decoder.layers[-1].weight.grad
    close(last_filters.permute(2, 3, 1, 0), v["grad_w_enc_f4"], atol=1e-3, rtol=1e-4)
    close(first_filters.permute(2, 3, 1, 0), v["grad_w_dec_f1"], atol=1e-3, rtol=1e-4)


def test_losses_on_free_tensors(golden):
    """Latent vectors, reconstruction and pictures come from nowhere; the decoder gives what it is told."""
    v = golden("prototypedl_losses")
    leaves = {name: v.tensor(name, torch.float64).requires_grad_() for name in ("features", "prototypes")}
    depth, (weights, names) = v["features"].shape[1], losses_of(v)
    config = PrototypeDLConfig(prototypes=len(v["prototypes"]))
    model = PrototypeDL(config, v["last_layer_w"].shape[1], nn.Identity(), depth).double()
    model.decoder = _Told(v.tensor("reconstruction", torch.float64)[:, :, None, None])
    ((_, branch),) = model.named_branches()
    branch.head.weight.data = -v.tensor("last_layer_w", torch.float64).T
    latent, prototypes = (leaves[name][:, :, None, None] for name in ("features", "prototypes"))
    similarity, cells = NegativeSquaredL2().best(latent, prototypes)
    logits = branch.head(similarity)
    close(-similarity, v["prototype_distances"], atol=1e-6, rtol=1e-5)
    close(-similarity.T, v["feature_distances"], atol=1e-6, rtol=1e-5)
    close(logits, v["logits"], atol=1e-6, rtol=1e-5)
    pictures = v.tensor("images", torch.float64)[:, :, None, None]
    branches = {"main": BranchOutput(similarity, logits, similarity, cells, latent=latent)}
    terms = model.loss_terms(PrototypeOutput(logits, branches, pictures), v.tensor("labels"), frozenset(names))
    for name, published in names.items():
        close(terms[name], v.number(published), atol=1e-6, rtol=1e-5)
    total = sum(getattr(weights, name) * term for name, term in terms.items())
    close(total, v.number("total_error"), atol=1e-6, rtol=1e-5)
    total.backward()
    close(leaves["features"].grad, v["grad_features"], atol=1e-6, rtol=1e-5)
    close(leaves["prototypes"].grad, v["grad_prototypes"], atol=1e-6, rtol=1e-5)
    close(-branch.head.weight.grad.T, v["grad_last_layer_w"], atol=1e-6, rtol=1e-5)


class _Told(nn.Module):
    def __init__(self, pictures: Tensor) -> None:
        super().__init__()
        self.pictures = pictures

    def forward(self, _: Tensor) -> Tensor:
        return self.pictures


def test_elastic_deformation(golden):
    v = golden("prototypedl_elastic")
    pictures, wanted = square(v.tensor("images"))[:, 0].numpy(), square(v.tensor("output"))[:, 0].numpy()
    for picture, drawn, expected in zip(pictures, v["uniform_fields"], wanted, strict=True):
        shifts = warps.elastic(2 * drawn - 1, v.number("sigma"), v.number("alpha"))
        np.testing.assert_allclose(warps.shifted(picture[..., None], shifts)[..., 0], expected, atol=1e-5)
    shifts = warps.elastic(2 * v["uniform_fields"][0] - 1, v.number("sigma"), v.number("alpha"))
    np.testing.assert_allclose(shifts, v["displacement0"], atol=1e-5)
