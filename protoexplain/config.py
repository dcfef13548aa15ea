"""The configuration of a run: preset < YAML file < --set, checked against one schema.

Unknown keys are refused with the nearest name, and all mistakes are told at once.
"""

from __future__ import annotations

import math
import typing
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError
from yaml.composer import Composer

from protoexplain.errors import UserError, nearest_name
from protoexplain.io.json_values import flat
from protoexplain.io.manifest import read_limited

MAX_YAML_BYTES = 1_000_000
_DEEPEST = 50
"""Tables and lists in each other."""
_MOST = 2**32
"""Counting so far would never end."""
_LONGEST_NUMBER = 64
"""Characters of a whole number."""


class DataConfig(BaseModel):
    """Which images, and how they become network inputs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = ""
    """Folder of the data set; empty takes the embedded planted birds."""
    source: str = "auto"
    """Layout: auto, cub, cars, dogs, funnybirds, table, shards or folder."""
    crop: Literal["auto", "box", "full"] = "auto"
    """Bounding-box crops, whole images, or `auto`: crops where every image has a box."""
    image_size: int = Field(224, ge=16, le=2048)
    """Side of the square network input, in pixels."""
    augmentation: str = "light"
    """Named pipeline of random changes to training images."""
    validation: float = Field(0.1, ge=0, lt=1)
    """Share of the training images held out, class by class, to choose the best checkpoint; 0 takes the last one."""
    split_seed: int = Field(0, ge=0)
    """Chooses the images that are held out, and the test images of folders without a published split."""
    alpha_masks: bool = False
    """The alpha channel of pictures shows where the object is, as masks do; pictures with masks keep these."""
    workers: int = Field(0, ge=0)
    """Processes that load images."""


class FineTuningConfig(BaseModel):
    """Adapt the backbone to the data with another classifier on top before the family's schedule begins."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(0, ge=0)
    """0 begins with the schedule, as published with backbones that know the kind of images already."""
    min_steps: int = Field(0, ge=0)
    """Where the images are too few for so many steps in all, an epoch shows each of them several times, and learning
    rates are divided by how often."""
    min_images: int = Field(0, ge=0)
    """With fewer training images the backbone stays as it is, and only what lies on top is trained."""
    lr: float = Field(1e-3, gt=0)
    """Of the backbone; falls to nothing by a cosine."""
    lr_head: float = Field(3e-3, gt=0)
    """Of the layers on top, which are thrown away afterwards."""
    parts: int = Field(0, ge=0, le=64)
    """Each class gets a prototype of so many parts of the object; 0: a plain classifier."""
    regions: int = Field(0, ge=0, le=64)
    """The object is divided into so many regions, of which those become parts whose look differs most between classes;
    0: as many as parts."""
    steady: float = Field(0, ge=0, le=1)
    """Prototypes that are found in one region of the object in a smaller share of the images of their class are
    dropped, but for the steadiest two thirds of each class; averaged over several divisions of the object."""
    part_weight: float = Field(0.5, ge=0)
    """Of the cost that keeps every cell most similar to the prototype of its part, or of the background."""


class TrainingConfig(BaseModel):
    """How the schedule is carried out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(0, ge=0, lt=2**32)
    batch_size: int = Field(32, ge=1)
    accelerator: str = "auto"
    """Device of the training: auto (the best there is), cpu, cuda, cuda:1 or mps."""
    devices: int = Field(1, ge=1)
    """Processes on each computer, each on a device of its own unless that is the CPU (DDP where more than one); they
    share a batch."""
    nodes: int = Field(1, ge=1)
    """Computers that train together, with `devices` processes each; torchrun or SLURM starts them."""
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    """Mixed: features are computed in half precision where gradients flow; what only observes pictures, projection and
    evaluation compute in float32."""
    threads: int | None = Field(None, ge=1, le=1024)
    """CPU threads; None takes what is fastest in a short test before a training, at most torch's default."""
    deterministic: bool = True
    """A run that is repeated on a CPU with as many threads gives the same weights bit for bit; on an accelerator torch
    takes its repeatable algorithms where it has some, and weights come out nearly the same."""
    gradient_clip: float | None = Field(None, gt=0)
    """Largest gradient norm; None does not clip."""
    epochs: int | None = Field(None, ge=1)
    """Of all stages that train the network together, each in proportion and at least one; None as scheduled.  What
    trains the last layer alone takes seconds and stays as it is."""
    passes: int = Field(1, ge=1)
    """Times that an epoch shows each image, each time augmented anew; the published sets held 30 or 40 copies."""
    balanced: bool = False
    """Each pass shows all classes equally often, for data with many images of some classes and few of others; images
    of small classes repeat."""
    cached_views: int = Field(1, ge=0)
    """Augmented views of each image whose features are kept for stages with a frozen backbone; 0 recomputes."""
    fine_tuning: FineTuningConfig = FineTuningConfig()
    project_on_object: bool = False
    """Prototypes are taken from cells on the object only, where masks tell, or boxes on whole images."""
    merge: float | None = Field(None, gt=0, le=1)
    """Prototypes whose activations over the training images are correlated at least so highly become one, which their
    classes share, before the last projection; None merges none, as published."""
    projections_without_gain: int | None = Field(None, ge=1)
    """After so many projections in a row, before and after which the validation accuracy was no better than ever, only
    the last layer is still trained (cosine ProtoPNet: 2); None goes through the whole schedule."""
    published_batch_norm: bool = False
    """Batch-norm statistics of frozen layers go on moving, as published; projected prototypes then drift."""
    idle_branch_updates: bool = False
    """The optimizer also moves the branch that a step did not train, as ST-ProtoPNet's published environment did."""


class RunConfig(BaseModel):
    """Everything that determines a run: the family, its model and schedule, data and training.

    It cannot be changed; `resolve` makes one from a preset or a file and checks all keys and values.

    Raises:
        pydantic.ValidationError: Unknown keys or ill values.

    Example:
        >>> import protoexplain as px
        >>> config = px.resolve("planted-protopnet")
        >>> isinstance(config, px.RunConfig)
        True
        >>> config.family, config.data.image_size
        ('protopnet', 160)
        >>> config.to_yaml().splitlines()[0]
        'family: protopnet'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str
    about: str = ""
    model: SerializeAsAny[BaseModel]
    schedule: SerializeAsAny[BaseModel]
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()

    def to_yaml(self) -> str:
        return as_yaml(self.model_dump(mode="json"))


def with_training(config: RunConfig, **changes: int | None) -> RunConfig:
    """The same run with other settings of its training, which are not checked again."""
    return config.model_copy(update={"training": config.training.model_copy(update=changes)})


def as_yaml(content: object) -> str:
    """Plain data as YAML, with keys in the given order."""
    return yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)


class _Loader(Composer, yaml.CSafeLoader):
    """Plain data only, without aliases (which can blow up a small file), each key once, and no deeper than anybody
    writes.

    The text is parsed by libyaml, five times as fast; nodes are made here, one by one.
    """

    depth = 0

    def __init__(self, text: str) -> None:
        yaml.CSafeLoader.__init__(self, text)
        Composer.__init__(self)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        if self.depth > _DEEPEST:
            raise yaml.YAMLError("nested too deeply")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def whole_number(self, node: yaml.ScalarNode) -> int:
        """Not longer than anybody writes: thousands of digits cannot even be told in an error."""
        if len(node.value) > _LONGEST_NUMBER:
            raise yaml.YAMLError(f"a whole number of {len(node.value)} characters")
        return self.construct_yaml_int(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        often = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if twice := next((key for key, times in often.items() if times > 1), None):
            raise yaml.YAMLError(f"the key '{twice}' comes twice in a table")
        return super().construct_mapping(node, deep)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.whole_number)


def read_yaml(text: str, where: str) -> Any:  # noqa: ANN401
    """Parse plain YAML.

    Raises:
        UserError: Too large, not YAML, or with tags or aliases.
    """
    if len(text) > MAX_YAML_BYTES:
        raise UserError(f"{len(text):,} characters are too many for a configuration", where, "keep it below 1 MB")
    try:
        return yaml.load(text, _Loader)  # noqa: S506
    except (yaml.YAMLError, ValueError) as error:  # such as dates that are none
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"not a plain YAML file: {reason}", where, "use keys, lists, numbers and text only") from error


def read_yaml_file(path: Path) -> Any:  # noqa: ANN401
    """Parse a file of plain YAML.

    Raises:
        UserError: As `read_yaml`; or it cannot be read, or is no text.
    """
    try:
        text = read_limited(path, MAX_YAML_BYTES).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"the file is no text in UTF-8: {error.reason}", str(path), "save it as UTF-8") from error
    return read_yaml(text, str(path))


def preset_names() -> list[str]:
    folder = files("protoexplain") / "presets"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read_preset(name: str) -> dict[str, Any]:
    """A preset with everything that it extends."""
    if name not in preset_names():
        raise UserError(f"unknown preset '{name}'", "extends", nearest_name(name, preset_names()))
    text = (files("protoexplain") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
    raw: dict[str, Any] = read_yaml(text, f"preset {name}")
    return _extended(raw)


def _extended(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with the preset that it names under `extends`."""
    own = {key: value for key, value in raw.items() if key != "extends"}
    return merged(read_preset(str(raw["extends"])), own) if raw.get("extends") else own


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings join key by key; everything else is replaced."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def parse_assignment(text: str) -> dict[str, Any]:
    """`schedule.warm_epochs=3` -> {"schedule": {"warm_epochs": 3}}."""
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise UserError(f"cannot read '{text}'", "--set", "write key=value, for example --set data.image_size=160")
    result: Any = read_yaml(value, f"--set {key}")
    for name in reversed(key.strip().split(".")):
        result = {name: result}
    return dict(result)


def resolve(source: str | Path, assignments: Sequence[str] = ()) -> RunConfig:
    """Preset < file < assignments, checked.

    Args:
        source: Name of a preset, or a YAML file; it may name the preset that it changes under `extends`.
        assignments: Changes such as ``schedule.warm_epochs=3``.

    Raises:
        UserError: Neither a preset nor a file, an unreadable file, unknown or ill-valued keys.

    Example:
        >>> import protoexplain as px
        >>> px.resolve("planted-protopnet", ["training.seed=3"]).training.seed
        3
        >>> px.resolve("planted-protopnt")
        Traceback (most recent call last):
        protoexplain.errors.UserError: 'planted-protopnt' is neither a preset nor a file
        ...
    """
    raw = read_preset(str(source)) if str(source) in preset_names() else _read_file(Path(source))
    return assigned(raw, assignments)


def assigned(raw: Mapping[str, Any], assignments: Sequence[str]) -> RunConfig:
    """A plain configuration with changes such as ``schedule.warm_epochs=3``, checked.

    Raises:
        UserError: Unknown or ill-valued keys.
    """
    for assignment in assignments:
        raw = merged(raw, parse_assignment(assignment))
    return parse(raw)


def _read_file(path: Path) -> dict[str, Any]:
    """A configuration file with the preset that it extends."""
    if not path.is_file():
        if path.suffix in (".yaml", ".yml"):
            raise UserError(
                f"no configuration file {path}", "configuration", "give a YAML file, or the name of a preset"
            )
        fix = nearest_name(str(path), preset_names())
        raise UserError(f"'{path}' is neither a preset nor a file", "configuration", fix)
    raw = read_yaml_file(path) or {}
    if not isinstance(raw, dict):
        raise UserError("the configuration is not a table of keys", str(path), "write 'key: value' lines")
    return _extended(raw)


def parse(raw: Mapping[str, Any]) -> RunConfig:
    """Check a plain configuration.

    Raises:
        UserError: All mistakes at once, each with its key.
    """
    from protoexplain.models.registry import get_family

    family = get_family(str(raw.get("family", "")))
    mistakes: list[str] = []
    parts: dict[str, BaseModel] = {}
    for key, schema in (("model", family.config), ("schedule", family.schedule)):
        try:
            parts[key] = schema.model_validate(raw.get(key) or {})
        except ValidationError as error:
            mistakes += mistakes_in(error, schema, (key,))
            parts[key] = schema()
    try:
        config = RunConfig.model_validate({**raw, **parts})
    except ValidationError as error:
        mistakes += mistakes_in(error, RunConfig, ())
    if not mistakes:
        mistakes += _not_usable(config.model_dump())
    if mistakes:
        raise UserError("; ".join(mistakes), "configuration", "correct the named keys; --dry-run prints all of them")
    return config


def _not_usable(settings: Mapping[str, Any]) -> list[str]:
    """Numbers that are not finite, and whole ones that nothing can count to."""
    listed = [(key, value if isinstance(value, list | tuple) else [value]) for key, value in flat(settings)]
    numbers = [(key, value) for key, values in listed for value in values if isinstance(value, int | float)]
    bad = [(key, value) for key, value in numbers if not abs(value) < (math.inf if isinstance(value, float) else _MOST)]
    return [f"{key}: input should be finite, and below {_MOST:,} where whole, got {value}" for key, value in bad]


def mistakes_in(error: ValidationError, schema: type[BaseModel], prefix: tuple[str, ...]) -> list[str]:
    """Each mistake with its key; unknown keys with the nearest known one."""
    lines = []
    for item in error.errors():
        path = ".".join(str(part) for part in (*prefix, *item["loc"]))
        if item["type"] == "extra_forbidden":
            known = _fields_at(schema, item["loc"][:-1])
            lines.append(f"unknown key '{path}' ({nearest_name(str(item['loc'][-1]), known)})")
        else:
            lines.append(f"{path}: {item['msg'].lower()}, got {item['input']!r}")
    return lines


def _fields_at(schema: type[BaseModel], path: Sequence[object]) -> list[str]:
    """Names of the fields that may stand at a place of the schema."""
    current: Any = schema
    for part in path:
        field = getattr(current, "model_fields", {}).get(part)
        annotation = field.annotation if field else current
        options = [annotation, *typing.get_args(annotation)]
        models = [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
        current = models[0] if models else current
    return list(getattr(current, "model_fields", {}))
