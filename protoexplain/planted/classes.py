"""Which birds there are: every class a bundle of attributes per region, classes in twins that differ in one.

Class 2k and class 2k+1 (counted from 0) are twins: they share all attributes of all regions but one, and the
kind of that one cycles through hue, shape, texture, contrast and saturation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Region = Literal["crown", "throat", "breast", "belly", "back", "wing", "tail", "beak", "legs", "eye"]
Attribute = Literal["hue", "shape", "texture", "contrast", "saturation"]

PARTS: Final = (
    "back", "beak", "belly", "breast", "crown", "forehead", "left eye", "left leg", "left wing", "nape",
    "right eye", "right leg", "right wing", "tail", "throat",
)  # fmt: skip
REGION_PARTS: Final[dict[Region, tuple[str, ...]]] = {
    "crown": ("crown", "forehead"),
    "throat": ("throat",),
    "breast": ("breast",),
    "belly": ("belly",),
    "back": ("back", "nape"),
    "wing": ("left wing", "right wing"),
    "tail": ("tail",),
    "beak": ("beak",),
    "legs": ("left leg", "right leg"),
    "eye": ("left eye", "right eye"),
}
REGIONS: Final[tuple[Region, ...]] = tuple(REGION_PARTS)
SHAPES: Final[dict[Region, tuple[str, ...]]] = {
    "crown": ("smooth", "crest", "tuft"),
    "wing": ("pointed", "rounded"),
    "tail": ("forked", "fan", "pointed", "square"),
    "beak": ("cone", "long", "hooked", "spatula"),
    "eye": ("plain", "ring", "stripe"),
}
TEXTURES: Final = ("plain", "bars", "spots", "scales", "streaks", "checks")
ATTRIBUTES: Final[tuple[Attribute, ...]] = ("hue", "shape", "texture", "contrast", "saturation")

_PLANTED_ON: Final[dict[Attribute, tuple[Region, ...]]] = {
    "hue": ("breast", "crown", "wing", "tail", "belly"),
    "shape": ("tail", "beak", "crown", "wing"),
    "texture": ("wing", "breast"),
    "contrast": ("breast", "wing", "belly"),
    "saturation": ("wing", "belly", "breast", "tail"),
}
_UNLIKE_TEXTURES: Final = (
    ("bars", "spots"),
    ("streaks", "bars"),
    ("spots", "streaks"),
    ("checks", "streaks"),
)
_UNLIKE_SHAPES: Final[dict[Region, tuple[tuple[str, str], ...]]] = {
    "tail": (("forked", "fan"), ("pointed", "fan"), ("square", "forked")),
    "beak": (("cone", "long"), ("spatula", "cone"), ("hooked", "long")),
    "crown": (("smooth", "crest"), ("tuft", "smooth")),
    "wing": (("pointed", "rounded"),),
}
_CANDIDATES: Final = 16

_FIRST_NAMES: Final = (
    "Amber", "Alder", "Aurora", "Bramble", "Briar", "Cedar", "Clover", "Copper", "Coral", "Cypress",
    "Dapple", "Dawn", "Ember", "Fable", "Fern", "Garnet", "Harbor", "Hazel", "Heather", "Indigo",
    "Island", "Ivory", "Jasper", "Juniper", "Lagoon", "Laurel", "Linden", "Lunar", "Maple", "Marsh",
    "Meadow", "Mirage", "Misty", "Moor", "Myrtle", "Oak", "Opal", "Orchard", "Pearl", "Pine", "Quartz",
    "Reed", "River", "Rowan", "Rustic", "Sable", "Saffron", "Sage", "Shadow", "Sierra", "Solar", "Spruce",
    "Summit", "Thistle", "Tundra", "Valley", "Velvet", "Willow", "Winter", "Zephyr",
)  # fmt: skip
_FAMILIES: Final = (
    "Warbler", "Finch", "Bunting", "Tanager", "Thrush", "Sparrow", "Flycatcher", "Vireo", "Oriole",
    "Grosbeak", "Wren", "Waxwing", "Siskin", "Robin", "Starling", "Pipit", "Kinglet", "Martin", "Shrike",
    "Jay", "Catbird", "Cardinal", "Towhee", "Redstart", "Chat", "Nuthatch", "Lark", "Swallow", "Bluebird",
    "Crossbill",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Appearance:
    """How one region looks.

    Args:
        hue: Degrees in OKLCh, 0 to 360 (29 red, 110 yellow, 142 green, 195 cyan, 264 blue, 328 magenta).
        saturation: Chroma relative to the largest possible, 0 to 1.
        lightness: 0 black to 1 white.
        texture: One of `TEXTURES`.
        contrast: Strength of the texture around the same mean colour, 0 to 1.
        shape: One of `SHAPES` of the region, or "" where a region has only one shape.
    """

    hue: float
    saturation: float
    lightness: float
    texture: str
    contrast: float
    shape: str = ""


@dataclass(frozen=True, slots=True)
class BirdClass:
    """One class: its name and a look for every region, in the order of `REGIONS`."""

    name: str
    appearances: tuple[Appearance, ...]

    def appearance(self, region: Region) -> Appearance:
        return self.appearances[REGIONS.index(region)]

    def with_appearance(self, region: Region, appearance: Appearance) -> BirdClass:
        at = REGIONS.index(region)
        return replace(self, appearances=(*self.appearances[:at], appearance, *self.appearances[at + 1 :]))


@dataclass(frozen=True, slots=True)
class Twins:
    """Two classes and the one thing in which they differ.

    Args:
        classes: Indices from 0.
        region: Where the difference lies.
        attribute: What differs.
        values: The attribute's value in either class.
    """

    classes: tuple[int, int]
    region: Region
    attribute: Attribute
    values: tuple[float | str, float | str]


@dataclass(frozen=True, slots=True)
class Plan:
    """All classes and all twins of a data set; the plan for fewer classes begins the plan for more."""

    birds: tuple[BirdClass, ...]
    twins: tuple[Twins, ...]


def plan(classes: int, seed: int) -> Plan:
    """Invent `classes` (even) birds: twins that differ in one attribute, pairs that differ in many."""
    birds: list[BirdClass] = []
    twins: list[Twins] = []
    seen: list[NDArray[np.float64]] = []
    names = _names(classes, seed)
    for pair in range(classes // 2):
        rng = np.random.default_rng([seed, 1, pair])
        attribute = ATTRIBUTES[pair % len(ATTRIBUTES)]
        regions = _PLANTED_ON[attribute]
        region = regions[pair // len(ATTRIBUTES) % len(regions)]
        appearances = _most_unlike([_random_appearances(rng) for _ in range(_CANDIDATES)], seen)
        seen.append(_vector(appearances))
        first, second = _plant(appearances[REGIONS.index(region)], region, attribute, rng)
        base = BirdClass("", appearances)
        birds.append(replace(base.with_appearance(region, first), name=names[2 * pair]))
        birds.append(replace(base.with_appearance(region, second), name=names[2 * pair + 1]))
        values = (getattr(first, attribute), getattr(second, attribute))
        twins.append(Twins((2 * pair, 2 * pair + 1), region, attribute, values))
    return Plan(tuple(birds), tuple(twins))


def _names(classes: int, seed: int) -> list[str]:
    """Unique names that say nothing about the appearances; twins share the family name."""
    rng = np.random.default_rng([seed, 2])
    families, firsts = rng.permutation(_FAMILIES), rng.permutation(_FIRST_NAMES)
    names = []
    for index in range(classes):
        turn, family = divmod(index // 2, len(families))
        words, rest = [str(families[family])], 2 * turn + index % 2
        while True:
            rest, first = divmod(rest, len(firsts))
            words.insert(0, str(firsts[(first + 7 * family) % len(firsts)]))
            if rest == 0:
                break
            rest -= 1
        names.append("_".join(words))
    return names


def _random_appearances(rng: np.random.Generator) -> tuple[Appearance, ...]:
    """One bird: a few scheme hues, dark above and light below, two vivid patches."""
    main = rng.uniform(0, 360)
    accent = main + rng.choice([-150, -100, 100, 150, 180])
    vivid = set(rng.choice(["crown", "throat", "breast", "belly", "wing"], size=2, replace=False))
    above = rng.uniform(0.34, 0.56)
    appearances = []
    for region in REGIONS:
        texture, contrast = "plain", rng.uniform(0.2, 0.4)
        if region in ("breast", "belly", "wing", "tail", "back") and rng.random() < 0.4:
            texture, contrast = str(rng.choice(TEXTURES[1:])), rng.uniform(0.35, 0.7)
        if region in ("beak", "legs"):
            warm = rng.random() < 0.5
            hue, saturation = rng.uniform(40, 85), rng.uniform(0.6, 0.95) if warm else rng.uniform(0.05, 0.3)
            lightness = rng.uniform(0.6, 0.75) if warm else rng.uniform(0.28, 0.45)
        elif region == "eye":
            hue, saturation, lightness = rng.uniform(20, 110), rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.7)
        elif region in vivid:
            hue = rng.choice([main, accent, accent + 60]) + rng.normal(0, 15)
            saturation, lightness = rng.uniform(0.8, 1.0), rng.uniform(0.55, 0.72)
        elif region in ("crown", "back", "wing", "tail"):
            hue, saturation = main + rng.normal(0, 22), rng.uniform(0.2, 0.65)
            lightness = above + rng.normal(0, 0.05)
        else:
            hue, saturation = accent + rng.normal(0, 22), rng.uniform(0.1, 0.5)
            lightness = rng.uniform(0.66, 0.88)
        shape = str(rng.choice(SHAPES[region])) if region in SHAPES else ""
        values = (round(float(hue % 360), 1), round(float(saturation), 2), round(float(lightness), 2))
        appearances.append(Appearance(*values, texture, round(float(contrast), 2), shape))
    return tuple(appearances)


def _plant(
    appearance: Appearance, region: Region, attribute: Attribute, rng: np.random.Generator
) -> tuple[Appearance, Appearance]:
    """Two versions of a region's look that differ in one attribute, strongly enough to be learnt."""
    turn = bool(rng.random() < 0.5)
    if attribute == "shape":
        pair = _UNLIKE_SHAPES[region][rng.integers(len(_UNLIKE_SHAPES[region]))]
        first, second = replace(appearance, shape=pair[0]), replace(appearance, shape=pair[1])
    elif attribute == "texture":
        appearance = replace(appearance, saturation=0.35, lightness=0.6, contrast=0.85)
        pair = _UNLIKE_TEXTURES[rng.integers(len(_UNLIKE_TEXTURES))]
        first, second = replace(appearance, texture=pair[0]), replace(appearance, texture=pair[1])
    elif attribute == "contrast":
        texture = appearance.texture if appearance.texture != "plain" else str(rng.choice(TEXTURES[1:]))
        appearance = replace(appearance, saturation=0.35, lightness=0.6, texture=texture)
        first, second = replace(appearance, contrast=0.1), replace(appearance, contrast=0.95)
    elif attribute == "saturation":
        appearance = replace(appearance, lightness=0.64, texture="plain", contrast=0.3)
        first, second = replace(appearance, saturation=0.1), replace(appearance, saturation=0.95)
    else:
        appearance = replace(appearance, saturation=0.9, lightness=0.64, texture="plain", contrast=0.3)
        other = round(float((appearance.hue + rng.uniform(120, 180)) % 360), 1)
        first, second = appearance, replace(appearance, hue=other)
    return (second, first) if turn else (first, second)


def _vector(appearances: tuple[Appearance, ...]) -> NDArray[np.float64]:
    """A point whose distance to another says how different two birds look."""
    values: list[float] = []
    for region, appearance in zip(REGIONS, appearances, strict=True):
        weight = 0.3 if region in ("eye", "legs", "beak") else 1.0
        angle = np.radians(appearance.hue)
        values += [weight * appearance.saturation * np.cos(angle), weight * appearance.saturation * np.sin(angle)]
        values += [weight * appearance.lightness]
        values += [0.6 * appearance.contrast * (appearance.texture == texture) for texture in TEXTURES[1:]]
        values += [0.3 * (appearance.shape == shape) for shape in SHAPES.get(region, ())]
    return np.array(values)


def _most_unlike(candidates: list[tuple[Appearance, ...]], seen: list[NDArray[np.float64]]) -> tuple[Appearance, ...]:
    """The candidate whose nearest neighbour among the birds seen so far is farthest away."""
    if not seen:
        return candidates[0]
    known = np.stack(seen)
    nearest = [np.linalg.norm(known - _vector(appearances), axis=1).min() for appearances in candidates]
    return candidates[int(np.argmax(nearest))]
