"""ST-ProtoPNet, cwangrun/ST-ProtoPNet: two of all after the backbone; crops and whole images differ."""

from __future__ import annotations

from torch import Tensor

from protoexplain.importing.code import Converted, OfficialCode, Tensors, input_settings
from protoexplain.importing.foreign import ForeignModel

_TITLE = "ST-ProtoPNet (Wang et al. 2023)"
_BRANCHES = ("trivial", "support")


def convert(model: ForeignModel, classes: int | None) -> Converted:
    tensors = Tensors(model, _TITLE)
    cropped = model.has("add_on_layers_trivial.0.weight")
    backbone = tensors.under("features.")
    upsampled = not cropped and "features.0.weight" not in backbone
    convolutions = _convolutions(cropped, upsampled)
    weights: dict[str, Tensor] = {}
    for branch in _BRANCHES:
        prototypes = tensors.take(f"prototype_vectors_{branch}", None, None, 1, 1)
        head = tensors.take(f"last_layer_{branch}.weight", None, len(prototypes))
        weights |= {f"branches.{branch}.prototypes": prototypes, f"branches.{branch}.head.weight": head}
        for there, here in convolutions.items():
            layer, place = f"add_on_layers_{branch}.{there}", f"branches.{branch}.addon.{here}"
            weights[f"{place}.weight"] = tensors.take(f"{layer}.weight", None, None, 1, 1)
            weights[f"{place}.bias"] = tensors.take(f"{layer}.bias", None)
    tensors.skip("ones")
    tensors.end()
    count, found = len(prototypes), len(head)
    if count % found:
        raise tensors.refusal(f"{count} prototypes for {found} classes; pruned models have lost their owners")
    data, assumed = input_settings(model)
    return Converted(
        family="st_protopnet",
        model={
            "variant": "cropped" if cropped else "full",
            "prototypes_per_class": count // found,
            "prototype_channels": prototypes.shape[1],
            "upsample": upsampled,
        },
        weights=weights,
        backbone=backbone,
        classes=found,
        data=data if cropped else {**data, "crop": "full"},
        assumed=assumed,
    )


def _convolutions(cropped: bool, upsampled: bool) -> dict[int, int]:
    """Place of each convolution in the add-on there -> here.

    On crops tanh stands between them; on whole images a layer before them doubles the map or, for VGG, does nothing,
    and is left out here.
    """
    if cropped:
        return {0: 0, 2: 2}
    return {1: 1, 2: 2} if upsampled else {1: 0, 2: 1}


CODE = OfficialCode(
    title=_TITLE,
    recognises=lambda model: model.has("prototype_vectors_trivial", "prototype_vectors_support"),
    convert=convert,
)
