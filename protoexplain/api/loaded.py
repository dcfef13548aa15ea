"""A trained model that is loaded from its checkpoint: a torch module that also knows its classes and its images."""

from __future__ import annotations

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
from protoexplain.io.atomic import write_folder
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
        write_folder(target, self.checkpoint.copy_files)

    def save_pretrained(self, folder: str | Path, *, licence: str | None = None) -> None:
        """As `save`, with a model card that begins with what the Hugging Face Hub reads, ready to be uploaded.

        Args:
            folder: New folder.
            licence: Identifier that the Hub knows, such as ``mit``; the card is silent where it is None.

        Raises:
            UserError: As `save`.
        """
        from protoexplain.api.hub import save_for_hub

        self.require_unchanged(Path(folder))
        save_for_hub(self.checkpoint, Path(folder), Path(folder).name, licence)

    @classmethod
    def from_pretrained(
        cls, place: str | Path, *, revision: str | None = None, token: str | None = None, device: str = "auto"
    ) -> LoadedModel:
        """Load a checkpoint from the Hugging Face Hub, or from a folder; nothing in it is executed.

        Every file is compared with the SHA-256 in the manifest that came with it, which tells damage, not who wrote it.

        Args:
            place: ``user/name``, which is downloaded once into the Hub's cache; or a folder that exists.
            revision: Branch, tag or commit on the Hub.
            token: For private models; by default the one of ``hf auth login``.
            device: ``auto``, ``cpu``, ``cuda`` ...

        Raises:
            UserError: The Hub cannot be reached and its cache does not have the model, or it is no checkpoint.
        """
        if Path(place).is_dir():
            return cls(place, device)
        from protoexplain.api.hub import fetch

        return cls(fetch(str(place), revision, token), device)

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

    def push_to_hub(
        self, repository: str, *, token: str | None = None, private: bool = False, licence: str | None = None
    ) -> str:
        """Upload the checkpoint to the Hugging Face Hub, as `save_pretrained` writes it.

        Args:
            repository: ``user/name``; made where it does not exist.
            token: Of the account; by default the one of ``hf auth login``.
            private: Whether a new repository is private.
            licence: Identifier that the Hub knows, such as ``mit``; the card is silent where it is None.

        Returns:
            Address of the model.

        Raises:
            UserError: The Hub cannot be reached, or refuses; or weights were changed since the model was loaded.
        """
        from protoexplain.api.hub import push

        self.require_unchanged(Path(repository))
        return push(self.checkpoint, repository, token, private, licence)
