"""A trained model that is loaded from its checkpoint: a torch module that also knows its classes and its images."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from protoexplain.api.explained import ImageExplanation
from protoexplain.api.image_explanations import ImageExplanations
from protoexplain.api.images import ImageLike, as_file
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.devices import resolve_device
from protoexplain.errors import UserError
from protoexplain.explanations.explainer import Explainer, ForwardResult
from protoexplain.explanations.network_input import read_input
from protoexplain.progress import Watcher


class LoadedModel(nn.Module):
    """A model from a checkpoint, in eval mode.

    Calling it gives class scores [B,C] of a batch [B,3,S,S] with values in [0, 1] (the network normalises by itself).

    Args:
        checkpoint: Folder, or loaded.
        device: ``auto``, ``cpu``, ``cuda`` ...

    Raises:
        UserError: The checkpoint is damaged, or there is no such device.

    Example:
        >>> import protoexplain as px
        >>> import torch
        >>> model = px.LoadedModel("checkpoints/planted-protopnet", device="cpu")
        >>> pictures = model.preprocess("bird.jpg")
        >>> pictures.shape
        torch.Size([1, 3, 160, 160])
        >>> with torch.no_grad():
        ...     model(pictures).shape
        torch.Size([1, 20])
    """

    def __init__(self, checkpoint: str | Path | Checkpoint, device: str = "auto") -> None:
        super().__init__()
        source = checkpoint if isinstance(checkpoint, Checkpoint) else Path(checkpoint)
        self.explainer = Explainer(source, resolve_device(device))
        self.model = self.explainer.model
        self.eval()

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that it was loaded from."""
        return self.explainer.checkpoint

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by label."""
        return self.checkpoint.classes

    @property
    def image_size(self) -> int:
        """Side S of the network's input in pixels."""
        return self.checkpoint.config.data.image_size

    def extra_repr(self) -> str:
        config, prototypes = self.checkpoint.config, len(self.checkpoint.prototypes)
        return (
            f"{self.explainer.title} on {self.checkpoint.data.name}, {config.model.backbone.name},"  # type: ignore[attr-defined]
            f" {len(self.classes)} classes, {prototypes} prototypes, input {self.image_size} x {self.image_size}"
        )

    def __repr__(self) -> str:
        return f"LoadedModel({self.extra_repr()})"

    def forward(self, images: Tensor) -> Tensor:
        """Class scores [B,C] of images [B,3,S,S] in [0, 1]."""
        logits: Tensor = self.model(images).logits
        return logits

    def preprocess(self, image: ImageLike) -> Tensor:
        """One image as the network takes it, float32 [1,3,S,S] in [0, 1] on the model's device.

        Raises:
            UserError: It cannot be read.
        """
        return read_input(as_file(image), self.image_size).picture[None].to(self.explainer.device)

    def run(self, image: ImageLike) -> ForwardResult:
        """One forward pass over an image.

        Raises:
            UserError: It cannot be read.
        """
        return self.explainer.forward(as_file(image))

    def explain(self, image: ImageLike, *, class_name: str | None = None, rows: int = 5) -> ImageExplanation:
        """Explain one image.

        Args:
            image: See `ImageLike`.
            class_name: The class to explain; the best one by default.
            rows: Prototypes at most.

        Raises:
            UserError: The image cannot be read, or the model has no such class.
        """
        labels = None if class_name is None else [self.explainer.label(class_name)]
        explained = self.explainer.explain(self.run(image), labels=labels, top_classes=1, rows=rows)
        return ImageExplanation(self.explainer, explained)

    def explain_many(
        self,
        images: Iterable[ImageLike] | Mapping[str, ImageLike],
        *,
        rows: int = 5,
        batch_size: int = 32,
        watcher: Watcher | None = None,
    ) -> ImageExplanations:
        """Explain many images in batches, each as `explain`.

        Args:
            images: To explain, or name -> image.
            rows: Prototypes at most, for each.
            batch_size: Images in one forward pass.
            watcher: Is shown the progress.

        Raises:
            UserError: The size of the batch is below 1.
        """
        return ImageExplanations(self.explainer, images, rows=rows, batch_size=batch_size, watcher=watcher)

    def save(self, folder: str | Path) -> None:
        """Write the checkpoint to a new folder, which `load` reads.

        Raises:
            UserError: The folder exists, or weights were changed since the model was loaded: such a model needs
                training, which writes checkpoints of its own.
        """
        target = Path(folder)
        if target.exists():
            raise UserError("the folder exists already", str(target), "choose a new one")
        self.require_unchanged(target)
        shutil.copytree(self.checkpoint.path, target)

    def require_unchanged(self, target: Path) -> None:
        """Refuse a model whose weights are no longer those of its checkpoint.

        Args:
            target: Where they were to be written.

        Raises:
            UserError: Says so.
        """
        stored = self.checkpoint.model().state_dict()
        if any(not torch.equal(value.cpu(), stored[name]) for name, value in self.model.state_dict().items()):
            raise UserError("weights were changed since the model was loaded", str(target), "train it with `train`")

    def push_to_hub(self, repository: str, *, token: str | None = None, private: bool = False) -> str:
        """Upload the checkpoint to the Hugging Face Hub; its README becomes the model card.

        Args:
            repository: ``user/name``; made where it does not exist.
            token: Of the account; by default the one of ``huggingface-cli login``.
            private: Whether a new repository is private.

        Returns:
            Address of the model.

        Raises:
            UserError: The Hub cannot be reached, or refuses.
        """
        import httpx
        from huggingface_hub import HfApi

        api = HfApi(token=token)
        try:
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(shutil.copytree(self.checkpoint.path, Path(scratch) / "model"))
                card = folder / "README.md"
                card.write_text(_CARD_HEAD + card.read_text(encoding="utf-8"), encoding="utf-8")
                address = api.create_repo(repository, private=private, exist_ok=True)
                api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Checkpoint of protoexplain")
        except (OSError, ValueError, RuntimeError, httpx.HTTPError) as error:
            fix = "check the connection and the token, and log in by `hf auth login`"
            raise UserError(f"the Hugging Face Hub did not take the model: {error}", repository, fix) from error
        return str(address)


_CARD_HEAD = """---
library_name: protoexplain
pipeline_tag: image-classification
tags: [interpretability, prototypes, protoexplain]
---
"""
