"""Pictures of explanations: their size, what stays visible, where boxes are drawn."""

import io
from dataclasses import replace

import numpy as np
import pytest
from explained_pictures import explain
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_runs import tiny_config, tiny_model

from protoexplain.data.geometry import Box, Geometry
from protoexplain.explanations.attribution.methods import Attribution
from protoexplain.explanations.evidence.occlusion_test import BoxOcclusionTest
from protoexplain.explanations.network_input import as_picture
from protoexplain.explanations.overlays import (
    AGAINST_COLOUR,
    FOR_COLOUR,
    attribution_overlay,
    draw_box,
    effect_overlay,
    heat_level,
    heat_overlay,
    input_region,
    match_heat,
    png,
)
from protoexplain.models.registry import family_names
from protoexplain.view.build import explanation_view
from protoexplain.view.page import Page
from protoexplain.view.sentences import LEAST
from protoexplain.view.sheet import SheetPictures, sheet


def grey(height, width, level=128):
    return np.full((height, width, 3), level, dtype=np.uint8)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def explained(family, size=(64, 64), box=None, name="bird.jpg"):
    """An explanation and its image of noise."""
    rgb = noise(size[1], size[0])
    picture = as_picture(noise(64, 64))
    geometry = Geometry.of(size, box, 64)
    names = ("Wren", "<b>$Robin$</b>", "Crow_" * 30, "Tit")
    return explain(tiny_model(tiny_config(family)), picture, geometry, names, image=name), rgb


def nothing(prototype):
    return None


def drawn_sheet(explanation, rgb, patch=nothing, heat=None, titles=None, **said):
    pictures = SheetPictures(explanation, rgb, patch, patch, heat)
    return decoded(sheet(explanation_view(explanation, pictures, **said), pictures.arrays, titles))


def with_rows(explanation, rows):
    """The same with fewer prototypes in its first class."""
    shown = explanation.classes[0]
    return replace(explanation, classes=(replace(shown, found=shown.found[:rows]),))


def decoded(content):
    image = Image.open(io.BytesIO(content))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("family", family_names())
def test_sheet_of_every_family(family):
    explanation, rgb = explained(family)
    patches = {match.prototype: noise(9, 12, match.prototype) for match in explanation.classes[0].found[::2]}
    picture = drawn_sheet(with_rows(explanation, 4), rgb, patches.get)
    assert 1200 <= picture.shape[1] <= 1500
    drawn = sum(abs(match.presence) >= LEAST for match in explanation.classes[0].found[:4])
    assert 180 * drawn <= picture.shape[0] <= 800 + 250 * drawn
    assert (picture[0] == 255).all(), "a white margin"
    assert (picture < 255).any(2).mean() > 0.1, "something is drawn"


def test_sheet_grows_with_its_rows_and_needs_none():
    explanation, rgb = explained("protopnet")
    heights = []
    for rows in (0, 1, 3):
        heights.append(drawn_sheet(with_rows(explanation, rows), rgb).shape[0])
    assert heights[0] <= heights[1] < heights[2]


def test_sheet_takes_names_as_they_are():
    """Dollar signs are no formula."""
    explanation, rgb = explained("protopnet", name="$x^{$.jpg")
    shown = explanation.classes[0]
    assert drawn_sheet(replace(explanation, classes=(replace(shown, name="$\\bad{$ Robin"),)), rgb).size


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), opacity=st.floats(0.1, 1))
def test_heat_covers_hot_places_and_keeps_cold_ones(seed, opacity):
    rgb = noise(20, 30, seed)
    heat = np.random.default_rng(seed).normal(size=(20, 30)).astype(np.float32)
    covered = heat_overlay(rgb, heat, opacity)
    cold = np.unravel_index(heat.argmin(), heat.shape)
    hot = np.unravel_index(heat.argmax(), heat.shape)
    assert covered.dtype == np.uint8
    assert (covered[cold] == rgb[cold]).all()
    expected = rgb[hot] * (1 - opacity) + np.array([252, 255, 164]) * opacity
    assert np.abs(covered[hot].astype(float) - expected).max() <= 1.5


def test_a_weak_match_looks_weak_on_the_scale_of_its_prototype():
    heat = np.linspace(0, 0.3, 64, dtype=np.float32).reshape(8, 8)
    assert heat_level(heat).max() == 1
    assert heat_level(heat, (0, 1)).max() == pytest.approx(0.3)
    assert heat_level(heat, (0.1, 0.2)).tolist() == np.clip((heat - 0.1) / 0.1, 0, 1).tolist()
    assert not heat_level(heat, (0.2, 0.2)).any()
    rgb = noise(8, 8)
    change = [np.abs(heat_overlay(rgb, heat, ends=ends).astype(int) - rgb).sum() for ends in (None, (0, 1))]
    assert change[1] < 0.5 * change[0]


def test_the_heat_map_of_a_match_is_drawn_on_the_range_of_its_prototype():
    explanation, rgb = explained("protopnet")
    match = explanation.classes[0].found[0]
    heat = explanation.heat(match.prototype, rgb.shape[1], rgb.shape[0])
    assert np.array_equal(match_heat(explanation, match, rgb), heat_overlay(rgb, heat))
    ranged = replace(match, heat_range=(0.0, 9.0))
    assert np.array_equal(match_heat(explanation, ranged, rgb), heat_overlay(rgb, heat, ends=(0.0, 9.0)))


def test_flat_heat_leaves_the_image_alone():
    rgb = noise(8, 8)
    assert (heat_overlay(rgb, np.full((8, 8), 3.0, dtype=np.float32)) == rgb).all()


def test_box_is_drawn_at_its_edges_and_nowhere_else():
    rgb = grey(100, 120)
    assert np.array_equal(draw_box(rgb, Box(0, 0, rgb.shape[1], rgb.shape[0])), rgb), "all of it needs no frame"
    drawn = draw_box(rgb, Box(30, 20, 90, 70))
    assert (rgb == 128).all(), "the image itself stays"
    changed = (drawn != 128).any(2)
    rows, columns = changed.any(1).nonzero()[0], changed.any(0).nonzero()[0]
    assert abs(rows[0] - 20) <= 3
    assert abs(rows[-1] - 69) <= 3
    assert abs(columns[0] - 30) <= 3
    assert abs(columns[-1] - 89) <= 3
    assert not changed[26:64, 36:84].any()


def test_seen_region_and_heat_lie_over_the_crop():
    explanation, rgb = explained("protopnet", size=(120, 90), box=Box(20, 10, 100, 70))
    assert (input_region(explanation, rgb) == rgb[10:70, 20:100]).all()
    assert match_heat(explanation, explanation.classes[0].found[0], rgb).shape == (60, 80, 3)


def test_png_keeps_every_pixel():
    rgb = noise(7, 9)
    assert (decoded(png(rgb)) == rgb).all()


def colour(name):
    return np.array([int(name[i : i + 2], 16) for i in (1, 3, 5)])


def test_effects_have_two_colours_over_pale_grey():
    rgb, effects = noise(10, 10), np.zeros((10, 10), dtype=np.float32)
    effects[2, 3], effects[5, 6], effects[7, 7] = 2.0, -2.0, 1.0
    drawn, pale = effect_overlay(rgb, effects, opacity=1.0), effect_overlay(rgb, np.zeros_like(effects))
    assert (drawn[2, 3] == colour(FOR_COLOUR)).all()
    assert (drawn[5, 6] == colour(AGAINST_COLOUR)).all()
    untouched = effects == 0
    assert (drawn[untouched] == pale[untouched]).all()
    assert (pale == pale[..., :1]).all(), "grey"
    brightness = rgb @ np.array([0.299, 0.587, 0.114])
    assert np.abs(pale[..., 0] - (85 + brightness * 2 / 3)).max() <= 1
    halfway = 0.5 * pale[7, 7] + 0.5 * colour(FOR_COLOUR)
    assert np.abs(drawn[7, 7] - halfway).max() <= 1.5


def test_single_pixels_do_not_outshine_an_attribution():
    rgb = grey(40, 40)
    heat = np.full((40, 40), 1.0, dtype=np.float32)
    heat[:20] = 0
    heat[30, 30] = 1000
    drawn = attribution_overlay(rgb, Attribution(heat, signed=False)).astype(int)
    assert np.abs(drawn[25, 5] - 128).max() > 50, "what is 1 stays visible beside 1000"
    assert (drawn[:20] == 128).all()


def test_sheet_tells_of_blanked_boxes_and_notes():
    explanation, rgb = explained("cbc")
    found = explanation.classes[0].found
    tests = {m.prototype: BoxOcclusionTest(m.prototype, m.box, 0.9, 1.0, -0.1, (0.2, 0.1)) for m in found}
    few = with_rows(explanation, 3)
    plain = drawn_sheet(few, rgb)
    more = drawn_sheet(few, rgb, occlusion=tests, sentences=["$a sentence$ " * 30, "another"])
    assert more.shape[0] > plain.shape[0]
    orange, before = (
        (np.abs(picture[:, 850:].astype(int) - colour(AGAINST_COLOUR)).sum(2) < 30).sum() for picture in (more, plain)
    )
    assert orange > before, "beside the pictures, whose heat maps have such colours, too"


def test_pictures_of_large_images_are_drawn_from_smaller_ones():
    """At most 1024 pixels a side, marked at the same places."""
    explanation, rgb = explained("protopnet", size=(2048, 512), box=Box(1024, 0, 2048, 512))
    match = explanation.classes[0].found[0]
    pictures = SheetPictures(explanation, np.full_like(rgb, 128), nothing, nothing)
    pictures.part(replace(match, box=(1200, 100, 1600, 300)), 0)
    pictures.heat(match)
    marked = pictures.arrays["part/0"]
    assert marked.shape == (256, 1024, 3)
    rows, columns = (marked != 128).any(2).nonzero()
    assert (columns.min(), rows.min()) == pytest.approx((600, 50), abs=3)
    assert (columns.max(), rows.max()) == pytest.approx((800, 150), abs=3)
    assert pictures.arrays[f"heat/{match.prototype}"].shape == (256, 512, 3)


def test_a_picture_that_is_a_line_is_drawn_a_pixel_high():
    explanation, rgb = explained("protopnet", size=(4096, 1), box=Box(0, 0, 4096, 1))
    pictures = SheetPictures(explanation, rgb, nothing, nothing)
    match = explanation.classes[0].found[0]
    pictures.heat(match)
    assert pictures.arrays[f"heat/{match.prototype}"].shape == (1, 1024, 3)


def test_text_stands_below_its_place_and_pictures_in_the_middle_of_theirs():
    page = Page(4, 2)
    page.text("Hill\nHill", 1, 0.5, size=36, spacing=1.2)
    rows, columns = (page.pixels() < 128).any(2).nonzero()
    assert 100 <= columns.min() < 110
    assert 50 <= rows.min() < 55
    assert rows.max() == pytest.approx(50 + 50 * (0.76 + 1.2), abs=2)
    page = Page(4, 2)
    page.text("Hill", 2, 0.5, size=36, centred=True)
    page.rectangle(3.5, 1, 0.001, 0.5, "#0000ff")
    across = (page.pixels()[:, :350] < 128).any((0, 2)).nonzero()[0]
    assert (across.min() + across.max()) / 2 == pytest.approx(200, abs=2)
    assert (page.pixels()[100:150, 350] == (0, 0, 255)).all()
    page = Page(4, 2)
    page.picture(grey(10, 20, 0), 1, 0, 2, 2)
    rows, columns = (page.pixels() < 128).any(2).nonzero()
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (100, 299, 50, 149)


def test_sheet_takes_other_heat_maps():
    explanation, rgb = explained("protopnet")
    asked = []

    def heat(match):
        asked.append(match.prototype)
        return grey(20, 20, 0)

    few = with_rows(explanation, 4)
    drawn_sheet(few, rgb, heat=heat, titles=("image", "LIME", "patch", "source"))
    assert sorted(asked) == sorted(match.prototype for match in few.classes[0].found if abs(match.presence) >= LEAST)
