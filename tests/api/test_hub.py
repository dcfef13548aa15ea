"""Checkpoints go to a hub and come back whole; without a connection it is said so."""

import huggingface_hub
import pytest
import yaml
from local_hub import TOKEN, local_hub

import protoexplain as px
from protoexplain.checkpoint.file_names import CARD

REPOSITORY = "me/birds"


def head(card):
    assert card.startswith("---\n")
    return yaml.safe_load(card.split("---\n")[1])


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with local_hub() as server:
        _point_to(monkeypatch, server.address, tmp_path)
        yield server


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A port at which nobody listens."""
    with local_hub() as server:
        address = server.address
    _point_to(monkeypatch, address, tmp_path)


def _point_to(monkeypatch, address, tmp_path):
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


def test_a_folder_for_the_hub_is_a_checkpoint_with_another_card(model, file, tmp_path):
    model.save_pretrained(tmp_path / "birds", licence="cc-by-4.0")
    again = px.LoadedModel.from_pretrained(tmp_path / "birds", device="cpu")
    assert again.checkpoint.weights_sha256 == model.checkpoint.weights_sha256
    assert px.explain(again, file).explanation == px.explain(model, file).explanation
    card = (tmp_path / "birds" / CARD).read_text()
    told = head(card)
    assert told["library_name"] == "protoexplain"
    assert told["pipeline_tag"] == "image-classification"
    assert "protopnet" in told["tags"]
    assert told["license"] == "cc-by-4.0"
    (result,) = told["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == model.checkpoint.metrics["test_accuracy"]
    assert "# ProtoPNet" in card
    assert "px.LoadedModel.from_pretrained('birds')" in card
    again.save_pretrained(tmp_path / "other", licence="cc-by-4.0")
    other = (tmp_path / "other" / CARD).read_text()
    assert other == card.replace("('birds')", "('other')").replace("- name: birds\n", "- name: other\n")
    with pytest.raises(px.UserError, match="already"):
        model.save_pretrained(tmp_path / "birds")


def test_the_head_is_not_shown(cli, model, tmp_path):
    model.save_pretrained(tmp_path / "birds")
    code, out, _ = cli("info", tmp_path / "birds")
    assert code == 0
    assert "library_name" not in out
    assert "ProtoPNet" in out


def test_up_and_down(model, file, hub):
    assert model.push_to_hub(REPOSITORY, token=TOKEN, private=True) == f"{hub.address}/{REPOSITORY}"
    assert hub.private[REPOSITORY]
    assert f"from_pretrained('{REPOSITORY}')" in hub.repositories[REPOSITORY][CARD].decode()
    assert not (model.checkpoint.path / CARD).read_text().startswith("---")
    again = px.LoadedModel.from_pretrained(REPOSITORY, token=TOKEN, device="cpu")
    assert px.explain(again, file).explanation == px.explain(model, file).explanation
    asked = len(hub.requests)
    px.LoadedModel.from_pretrained(REPOSITORY, token=TOKEN, device="cpu")
    assert not [path for method, path in hub.requests[asked:] if method == "GET" and "/resolve/" in path]


def test_what_was_changed_on_the_way_is_refused(model, hub):
    model.push_to_hub(REPOSITORY, token=TOKEN)
    hub.repositories[REPOSITORY]["config.yaml"] += b"\n"
    with pytest.raises(px.UserError, match=r"config\.yaml was changed"):
        px.LoadedModel.from_pretrained(REPOSITORY, device="cpu")


def test_a_wrong_token_and_an_unknown_name(model, hub):
    with pytest.raises(px.UserError, match=r"did not take the model.*Invalid username") as caught:
        model.push_to_hub(REPOSITORY, token=TOKEN[::-1])
    assert "hf auth login" in caught.value.fix
    with pytest.raises(px.UserError, match="could not be fetched") as caught:
        px.LoadedModel.from_pretrained("me/nothing")
    assert caught.value.where == "me/nothing"
    assert "check the name" in caught.value.fix


@pytest.mark.usefixtures("nowhere")
def test_without_a_connection(model):
    with pytest.raises(px.UserError, match="did not take the model") as caught:
        model.push_to_hub(REPOSITORY, token=TOKEN)
    assert "check the connection" in caught.value.fix
    with pytest.raises(px.UserError, match="could not be fetched"):
        px.LoadedModel.from_pretrained(REPOSITORY)


def test_changed_weights_are_not_uploaded(model, hub):
    import torch

    changed = px.load(model.checkpoint, device="cpu")
    with torch.no_grad():
        next(changed.model.parameters()).add_(1)
    with pytest.raises(px.UserError, match="changed"):
        changed.push_to_hub(REPOSITORY, token=TOKEN)
    assert hub.requests == []
