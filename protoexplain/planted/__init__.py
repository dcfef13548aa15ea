"""Planted birds: a drawn data set in the CUB-200-2011 layout whose classes differ for known reasons.

Every class gives every region of the bird (crown, throat, breast, belly, back, wing, tail, beak, legs, eye)
a hue, saturation, lightness, texture, contrast and shape.  Classes come in twins that differ in one attribute
of one region, so the right answer to "why this class and not its twin?" is known.  Pose, light, surroundings
and occlusion are drawn from the same distribution for every class.

Besides the files of the CUB layout there are

* ``class_attributes.json``::

    {"regions": {region: [CUB part, ...]},
     "classes": [{"id": 1, "name": "001.Name", "regions": {region: {
                   "hue": degrees, "saturation": 0..1, "lightness": 0..1,
                   "texture": name, "contrast": 0..1, "shape": name or ""}}}, ...],
     "pairs": [{"classes": [a, b], "region": region, "part": CUB part, "parts": [CUB part, ...],
                "attribute": "hue" | "shape" | "texture" | "contrast" | "saturation",
                "values": [value of a, value of b]}, ...]}

  where class ids count from 1, ``parts`` are all CUB parts on the region and ``part`` is the first of them;
* ``planted.json``: the settings the set was drawn with;
* ``segmentations/``: masks as PNG, 255 where the bird shows.
"""

from protoexplain.planted.classes import Appearance, BirdClass, Plan, Twins, plan
from protoexplain.planted.picture import Rendering, render
from protoexplain.planted.writer import draw, image_seed

__all__ = ["Appearance", "BirdClass", "Plan", "Rendering", "Twins", "draw", "image_seed", "plan", "render"]
