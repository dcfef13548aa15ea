"""Checkpoints on the Hugging Face Hub: folders with a model card as it reads it, up and down."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.file_names import CARD
from protoexplain.checkpoint.model_card import without_head
from protoexplain.config import as_yaml
from protoexplain.errors import UserError
from protoexplain.io.atomic import write_folder

_OF_THE_HUB = [".git*"]
"""What the Hub adds to a folder."""
_USE = "## How to use it"


def save_for_hub(checkpoint: Checkpoint, target: Path, name: str, licence: str | None) -> None:
    """Write a copy of a checkpoint whose model card begins with what the Hub reads.

    Args:
        checkpoint: Of which all files but the card stay as they are.
        target: New folder.
        name: By which the card says it is loaded.
        licence: Identifier that the Hub knows, such as ``mit``; the card is silent where it is None.

    Raises:
        UserError: The folder exists, or cannot be written.
    """

    def fill(folder: Path) -> None:
        checkpoint.copy_files(folder)
        card = folder / CARD
        card.write_text(
            _card(checkpoint, card.read_text(encoding="utf-8"), name, licence), encoding="utf-8", newline="\n"
        )

    write_folder(target, fill)


def _card(checkpoint: Checkpoint, card: str, name: str, licence: str | None) -> str:
    """A model card with the block that the Hub reads before it, and how the model is loaded behind it."""
    head = as_yaml(_head(checkpoint, name, licence))
    body = without_head(card).partition(_USE)[0].rstrip()
    load = f"model = px.LoadedModel.from_pretrained({name!r})"
    use = f"```python\nimport protoexplain as px\n\n{load}\nprint(px.explain(model, 'picture.jpg').predicted)\n```"
    return f"---\n{head}---\n\n{body}\n\n{_USE}\n\n{use}\n"


def _head(checkpoint: Checkpoint, name: str, licence: str | None) -> dict[str, Any]:
    head: dict[str, Any] = {
        "library_name": "protoexplain",
        "pipeline_tag": "image-classification",
        "tags": ["interpretability", "prototypes", "protoexplain", checkpoint.config.family],
    }
    if licence:
        head["license"] = licence
    accuracy = checkpoint.metrics.get("test_accuracy")
    if isinstance(accuracy, float):
        data = checkpoint.data.name
        result = {
            "task": {"type": "image-classification"},
            "dataset": {"name": data, "type": re.sub(r"[^a-z0-9]+", "-", data.lower()).strip("-") or "images"},
            "metrics": [{"type": "accuracy", "name": "test accuracy", "value": accuracy}],
        }
        head["model-index"] = [{"name": name.rpartition("/")[2], "results": [result]}]
    return head


def push(checkpoint: Checkpoint, repository: str, token: str | None, private: bool, licence: str | None) -> str:
    """Upload a checkpoint in one commit, and return its address.

    Raises:
        UserError: The Hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        save_for_hub(checkpoint, folder, repository, licence)
        fix = "check the connection and the token, and log in by `hf auth login`"
        with _as_user_error("the Hugging Face Hub did not take the model", repository, fix):
            address = api.create_repo(repository, private=private, exist_ok=True)
            api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Checkpoint of protoexplain")
    return str(address)


def fetch(repository: str, revision: str | None, token: str | None) -> Path:
    """The folder of a checkpoint in the Hub's cache, downloaded where it is not there.

    Raises:
        UserError: There is no such repository, or the Hub cannot be reached and the cache does not have it.
    """
    from huggingface_hub import snapshot_download

    fix = "check the name, the connection and, for private models, the token; or give a folder"
    with _as_user_error("the model could not be fetched from the Hugging Face Hub", repository, fix):
        return Path(snapshot_download(repository, revision=revision, token=token, ignore_patterns=_OF_THE_HUB))


@contextmanager
def _as_user_error(what: str, repository: str, fix: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the classes of its HTTP library change with the Hub's client
        raise UserError(f"{what}: {' '.join(str(error).split())[:300]}", repository, fix) from error
