"""Exported files give what the model gives, in programs that know nothing of it; what cannot be exported is refused."""

import io
import json
import sys

import onnxruntime
import pytest
import torch
from tiny_runs import tiny_config
from two_sizes import TwoSizes

import protoexplain as px
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.exporting import formats, run
from protoexplain.exporting.network import ExportedNetwork
from protoexplain.models.backbones import Backbone
from protoexplain.models.registry import family_names


def expected(model, images):
    """Output -> numbers, as the model gives them."""
    with torch.no_grad():
        output, maps = model(images), model.activation_maps(model.backbone(images))
    names = [name for name, _ in model.named_branches()]
    named = dict(zip(["maps"] if len(names) == 1 else [f"maps_{name}" for name in names], maps, strict=True))
    scores = {"logits": output.logits, "probabilities": model.probabilities(output.logits)}
    return {**scores, "activations": output.activations, **named}


@pytest.mark.parametrize("family", family_names())
def test_onnx_gives_what_the_model_gives(family, tiny_checkpoint, tmp_path):
    checkpoint, file = Checkpoint.load(tiny_checkpoint(family)), tmp_path / "model.onnx"
    assert px.export(checkpoint, file) == file
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    size = checkpoint.config.data.image_size
    assert [(one.name, one.shape) for one in session.get_inputs()] == [("images", ["batch", 3, size, size])]
    model = checkpoint.model()
    for count in (1, 5):
        images = torch.rand(count, 3, size, size)
        outputs = session.run(None, {"images": images.numpy()})
        wanted = expected(model, images)
        assert [one.name for one in session.get_outputs()] == list(wanted)
        for found, numbers in zip(outputs, wanted.values(), strict=True):
            torch.testing.assert_close(torch.from_numpy(found), numbers, rtol=1e-4, atol=1e-4)
    told = session.get_modelmeta().custom_metadata_map
    assert told["checkpoint_sha256"] == checkpoint.sha256
    assert json.loads(told["classes"]) == list(checkpoint.classes)
    assert json.loads(told["image_size"]) == [size, size]
    normalised = [getattr(model.backbone, name, torch.empty(0)).flatten() for name in ("mean", "std")]
    for name, numbers in zip(("mean", "std"), normalised, strict=True):
        assert json.loads(told[name]) == pytest.approx(numbers.tolist())


@pytest.mark.parametrize("family", ["protopnet", "st_protopnet"])
def test_exported_programs_of_torch(family, tiny_checkpoint, tmp_path):
    checkpoint, file = Checkpoint.load(tiny_checkpoint(family)), tmp_path / "model.pt2"
    px.export(checkpoint, file)
    extra = {formats.ABOUT: ""}
    program = torch.export.load(io.BytesIO(file.read_bytes()), extra_files=extra).module()
    told, images = json.loads(extra[formats.ABOUT]), torch.rand(4, 3, 64, 64)
    wanted = expected(checkpoint.model(), images)
    assert json.loads(told["outputs"]) == list(wanted)
    assert told["checkpoint_sha256"] == checkpoint.sha256
    with torch.no_grad():
        torch.testing.assert_close(list(program(images)), list(wanted.values()), rtol=1e-4, atol=1e-4)


def test_branches_with_maps_of_several_sizes():
    config = tiny_config("protopnet").model
    backbone = Backbone(config.backbone)
    network = ExportedNetwork(TwoSizes(config, 4, backbone, backbone.channels).eval())
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(images), network.expected(images))
    assert len({maps.shape[2:] for maps in network(images)[3:]}) == 2


class TestCommand:
    def test_it_tells_what_was_written(self, cli, tiny_checkpoint, tmp_path):
        folder, file = tiny_checkpoint("protopnet"), tmp_path / "model.pt2"
        code, out, _ = cli("export", folder, "--to", file, "--json")
        assert code == 0
        told = json.loads(out)
        assert told["file"] == str(file)
        assert told["outputs"]["logits"] == ["batch", 4]
        assert told["difference"] <= run.TOLERANCE
        code, _, err = cli("export", folder, "--to", file)
        assert code == 2
        assert "exists already" in err

    def test_a_place_within_a_checkpoint_is_refused_before_the_work(self, cli, tiny_checkpoint, monkeypatch):
        monkeypatch.setattr(run, "_traced", lambda *_: pytest.fail("it was traced"))
        folder = tiny_checkpoint("protopnet")
        code, _, err = cli("export", folder, "--to", folder / "model.pt2")
        assert code == 2
        assert "would lie within a checkpoint" in err

    def test_a_file_that_appears_meanwhile_stays(self, cli, tiny_checkpoint, tmp_path, monkeypatch):
        file = tmp_path / "model.pt2"
        made = formats.Format("ours", (), write=lambda *_: b"ours", run=lambda *_: file.write_bytes(b"mine"))
        monkeypatch.setattr(run, "format_of", lambda _: made)
        monkeypatch.setattr(run, "_traced", lambda *_: None)
        monkeypatch.setattr(run, "_difference", lambda *_: 0.0)
        code, _, err = cli("export", tiny_checkpoint("protopnet"), "--to", file)
        assert (code, file.read_bytes()) == (2, b"mine")
        assert "there is something under this name already" in err

    @pytest.mark.parametrize(("name", "told"), [("model.h5", "unknown format '.h5'"), ("model", ".onnx or .pt2")])
    def test_formats_are_known_by_the_suffix(self, cli, tiny_checkpoint, tmp_path, name, told):
        code, _, err = cli("export", tiny_checkpoint("protopnet"), "--to", tmp_path / name)
        assert code == 2
        assert told in err

    def test_missing_packages_are_named_with_the_command_that_installs_them(
        self, cli, tiny_checkpoint, tmp_path, monkeypatch
    ):
        for name in ("onnx", "onnxruntime"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        find = formats.importlib.util.find_spec
        monkeypatch.setattr(
            formats.importlib.util, "find_spec", lambda name: None if name.startswith("onnx") else find(name)
        )
        code, _, err = cli("export", tiny_checkpoint("protopnet"), "--to", tmp_path / "model.onnx")
        assert code == 2
        assert "onnx, onnxscript, onnxruntime, which are not installed" in err
        assert "pip install 'protoexplain[export]'" in err


class TestRefusals:
    @pytest.fixture
    def checkpoint(self, tiny_checkpoint):
        return Checkpoint.load(tiny_checkpoint("protopnet"))

    @pytest.mark.parametrize("name", ["model.onnx", "model.pt2"])
    def test_a_network_whose_way_depends_on_the_numbers(self, checkpoint, tmp_path, monkeypatch, name):
        def forward(network, images):
            return images if float(images.mean()) > 0.5 else -images

        monkeypatch.setattr(ExportedNetwork, "forward", forward)
        with pytest.raises(px.UserError, match="test_efficientnet cannot be written as") as caught:
            px.export(checkpoint, tmp_path / name)
        assert caught.value.where == str(tmp_path / name)
        assert list(tmp_path.iterdir()) == []

    def test_other_numbers_than_the_models(self, checkpoint, tmp_path, monkeypatch):
        forward = ExportedNetwork.forward

        def shifted(network, images):
            logits, *others = forward(network, images)
            return logits + 0.01, *others

        monkeypatch.setattr(ExportedNetwork, "forward", shifted)
        with pytest.raises(px.UserError, match="gives other numbers than the model"):
            px.export(checkpoint, tmp_path / "model.pt2")
        assert list(tmp_path.iterdir()) == []

    def test_what_is_no_number_is_never_near(self):
        zeros, none = torch.zeros(2), torch.full((2,), float("nan"))
        for found in ([none, zeros], [zeros, none]):
            assert not run._difference(found, (zeros, zeros)) <= run.TOLERANCE

    def test_weights_that_were_changed_since(self, checkpoint, tmp_path):
        model = px.load(checkpoint, device="cpu")
        with torch.no_grad():
            next(model.model.parameters()).add_(1)
        with pytest.raises(px.UserError, match="changed"):
            px.export(model, tmp_path / "model.pt2")
