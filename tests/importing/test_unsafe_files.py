"""Files that would run something, hide something or are damaged end in one documented error, and nothing is run."""

import os
import pickle
import zipfile
from contextlib import suppress

import pytest
import torch
from fuzzing import fuzz, many
from hypothesis import given
from hypothesis import strategies as st
from official import PPNet, save_state, save_whole
from safetensors.torch import save_file

import protoexplain as px
from protoexplain.errors import UserError
from protoexplain.importing.foreign import read_foreign
from protoexplain.importing.known_classes import is_known_class
from protoexplain.importing.model import imported_model
from protoexplain.io.pickled import StandIn
from protoexplain.models.backbone_config import BackboneConfig
from protoexplain.models.backbones import Backbone

TINY = ["model.backbone.name=test_efficientnet", "model.backbone.stride=16"]


def refused(path, **options):
    with pytest.raises(UserError) as caught:
        px.load(path, "cpu", **options)
    return str(caught.value)


class Payload:
    """Leaves a marker when unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def marker(tmp_path):
    yield tmp_path / "executed"
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".pkl", ".safetensors"])
def test_payloads_are_refused_and_never_run(tmp_path, marker, suffix):
    for name, content in {
        "alone": Payload(marker),
        "beside": {"prototype_vectors": torch.zeros(2), "more": Payload(marker)},
        "wrapped": {"state_dict": {"prototype_vectors": Payload(marker)}},
    }.items():
        torch.save(content, tmp_path / f"{name}{suffix}")
        said = refused(tmp_path / f"{name}{suffix}")
        assert suffix == ".safetensors" or "posix.mkdir" in said or "nt.mkdir" in said
    (tmp_path / f"plain{suffix}").write_bytes(pickle.dumps(Payload(marker)))
    assert refused(tmp_path / f"plain{suffix}")


def test_a_payload_in_a_whole_model_is_refused_by_name(tmp_path, marker):
    model = PPNet()
    model.prototype_activation_function = Payload(marker)
    assert "mkdir" in refused(save_whole(model, tmp_path / "whole.pth"))
    model.prototype_activation_function = len
    assert "builtins.len" in refused(save_whole(model, tmp_path / "whole.pth"))
    model.prototype_activation_function = Foreign()
    said = refused(save_whole(model, tmp_path / "whole.pth"))
    assert "Foreign" in said
    assert "state_dict" in said


class Foreign:
    """A class of nobody's official code."""


def test_payloads_in_a_folder_of_cabrnet(tmp_path, marker):
    torch.save({"classifier.prototypes": Payload(marker)}, tmp_path / "model_state.pth")
    (tmp_path / "model_arch.yml").write_text("classifier: {name: ProtoPNetClassifier}")
    assert "mkdir" in refused(tmp_path)
    (tmp_path / "model_arch.yml").write_text("!!python/object/apply:os.mkdir [executed]")
    assert "not a plain YAML file" in refused(tmp_path)


def test_stand_ins_hold_state_and_nothing_else():
    inert = type("Conv2d", (StandIn,), {})(1, 2, kernel_size=3)
    assert vars(inert) == {}
    assert {name for name in vars(StandIn) if callable(getattr(StandIn, name))} == {"__new__", "__init__"}


@pytest.mark.parametrize(
    "name", ["os.system", "posix.mkdir", "builtins.exec", "model.run", "torch.hub.load", "torch.nn.functional.relu",
             "torch.nn.modules.module.register_module_forward_hook", "evil.PPNet", "PPNet"],
)  # fmt: skip
def test_names_that_are_no_known_classes(name):
    assert not is_known_class(name)


def test_tensors_that_claim_more_than_the_file_holds(tmp_path):
    state = PPNet().state_dict()
    for name, bad in {
        "expanded": torch.zeros(1).expand(10**10),
        "sparse": torch.zeros(4, 4).to_sparse(),
        "without data": torch.zeros(4, device="meta"),
        "complex": torch.zeros(4, dtype=torch.complex64),
    }.items():
        torch.save({**state, "prototype_vectors": bad}, tmp_path / name)
        assert "prototype_vectors" in refused(tmp_path / name)


def test_archives_that_are_compressed_or_programs(tmp_path):
    save_state(PPNet(), tmp_path / "weights.pth")
    with zipfile.ZipFile(tmp_path / "weights.pth") as good, zipfile.ZipFile(tmp_path / "bomb.pth", "w") as packed:
        for name in good.namelist():
            packed.writestr(name, good.read(name), zipfile.ZIP_DEFLATED)
    assert "compressed" in refused(tmp_path / "bomb.pth")
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), tmp_path / "program.pt")
    assert "program" in refused(tmp_path / "program.pt")


def test_other_contents_are_refused(tmp_path):
    for name, content in {
        "list": [torch.zeros(2)],
        "number": 3,
        "tensor": torch.zeros(2),
        "nothing": {},
        "texts": {"state_dict": {"a": "b"}},
        "numbers as names": {1: torch.zeros(2)},
    }.items():
        torch.save(content, tmp_path / f"{name}.pth")
        assert refused(tmp_path / f"{name}.pth")
    (tmp_path / "empty.pth").touch()
    assert refused(tmp_path / "empty.pth")
    assert "no such" in refused(tmp_path / "absent.pth")
    loop = PPNet()
    with pytest.raises(KeyError):
        loop.add_module("", loop)
    loop._modules["again"] = loop
    assert "without end" in refused(save_whole(loop, tmp_path / "loop.pth"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A state dict, a whole model without backbone and a safetensors file; the model alone cannot be imported."""
    folder = tmp_path_factory.mktemp("fuzz")
    net = Backbone(BackboneConfig(name="test_efficientnet", weights="none"), load_weights=False)
    layers = {name: t for name, t in PPNet(per_class=1, depth=2).state_dict().items() if "features" not in name}
    layers["add_on_layers.0.weight"] = torch.rand(2, net.channels, 1, 1)
    state = {**layers, **{f"features.{name.removeprefix('net.')}": t for name, t in net.state_dict().items()}}
    torch.save(state, folder / "state")
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "safe.safetensors")
    save_whole(PPNet(per_class=1, depth=2, features=torch.nn.Identity()), folder / "whole")
    for name in ("state", "safe.safetensors"):
        assert imported_model(read_foreign(folder / name), None, None, TINY).model.num_prototypes == 4
    return folder


def mutated(content, data):
    """Up to four bytes near the beginning are others, or the end is missing."""
    content = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(len(content), 6000) - 1))
        content[place] = data.draw(st.integers(0, 255))
    if data.draw(st.integers(0, 3)) == 0:
        del content[data.draw(st.integers(0, len(content))) :]
    return bytes(content)


def with_mutated_pickle(source, target, data):
    """The same archive, whose checksums are right, with another pickle."""
    with zipfile.ZipFile(source) as good, zipfile.ZipFile(target, "w") as bad:
        for name in good.namelist():
            content = good.read(name)
            bad.writestr(name, mutated(content, data) if name.endswith("data.pkl") else content)


@fuzz
@many
@given(data=st.data())
def test_mutated_files_give_a_model_or_an_error_that_is_documented(small, data):
    kind = data.draw(st.sampled_from(["state", "whole", "safe.safetensors", "pickle of state", "pickle of whole"]))
    path = small / f"mutated-{kind}"
    if kind.startswith("pickle"):
        with_mutated_pickle(small / kind.split()[-1], path, data)
    else:
        path.write_bytes(mutated((small / kind).read_bytes(), data))
    with suppress(UserError):
        imported_model(read_foreign(path), None, None, TINY)
