"""Tissue in an overview: whatever its stain, and nothing else."""

import functools
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.edge.errors import ConfigError
from parfocal.edge.tissue.mask import tissue_mask
from parfocal.edge.tissue.overview import Landmark, placed, tissue_area
from tests.stains import ihc

UM_PER_PX = 50.0
SHAPE = (300, 600)  # 15 x 30 mm
STAINS = {
    "H&E": (0.25, 0.75, 0.35),
    "IHC, brown": (0.30, 0.55, 0.80),
    "Giemsa, blue": (0.70, 0.45, 0.20),
    "pale": (0.10, 0.16, 0.12),
}
PENS = {"blue": (40, 60, 170), "green": (30, 140, 60), "black": (35, 35, 40), "red": (190, 40, 50)}

Pixels = NDArray[np.uint8]


def glass() -> NDArray[np.float32]:
    """Empty glass under a light that falls off by a tenth, with noise."""
    pixels: NDArray[np.float32] = drawn_glass().copy()
    return pixels


@functools.cache
def drawn_glass() -> NDArray[np.float32]:
    rows, columns = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    light = 236.0 * (1.0 - 0.05 * (rows**2 + columns**2))
    noise = np.random.default_rng(2).normal(0.0, 1.0, (*SHAPE, 3))
    return np.asarray(light[..., None] + noise, np.float32)


@functools.cache
def islands() -> NDArray[np.uint8]:
    """Where the sections lie, (h, w)."""
    mask = np.zeros(SHAPE, np.uint8)
    cv2.ellipse(mask, (200, 150), (90, 60), 20, 0, 360, 1, -1)
    cv2.ellipse(mask, (420, 140), (60, 80), 0, 0, 360, 1, -1)
    cv2.circle(mask, (420, 140), 20, 0, -1)
    mask.flags.writeable = False
    return mask


@functools.cache
def overview(density: tuple[float, float, float], extras: bool = False) -> Pixels:
    """A picture of two sections; with `extras` also dust, marks of pens and a dark rim."""
    rng = np.random.default_rng(5)
    texture = cv2.GaussianBlur(rng.normal(1.0, 1.6, SHAPE).astype(np.float32), (0, 0), 1.0)
    stain = islands()[..., None] * np.clip(texture, 0.3, None)[..., None] * np.array(density)
    pixels = glass() * np.exp(-stain)
    if extras:
        pixels = with_extras(pixels)
    shown: Pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    shown.flags.writeable = False
    return shown


def with_extras(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    canvas = np.ascontiguousarray(pixels)
    for k, colour in enumerate(PENS.values()):
        cv2.line(canvas, (40 + 130 * k, 270), (110 + 130 * k, 280), colour, 7, cv2.LINE_AA)
    rng = np.random.default_rng(9)
    for column, row in rng.integers(20, (580, 240), (40, 2)):
        cv2.circle(canvas, (int(column), int(row)), 1, (70, 65, 60), -1)
    canvas[:6] *= 0.5
    canvas[:, :8] *= 0.6
    return canvas


@pytest.mark.parametrize("stain", STAINS)
@pytest.mark.parametrize("extras", [False, True])
def test_tissue_of_every_stain_is_found_and_nothing_else(stain: str, extras: bool) -> None:
    found = tissue_mask(overview(STAINS[stain], extras), UM_PER_PX).mask
    truth = islands() > 0
    missed, wrong = (truth & ~found).sum() / truth.sum(), (found & ~truth).sum() / truth.sum()
    assert missed < 0.02
    assert wrong < 0.12  # the outline is drawn a little outside
    far = cv2.dilate(truth.astype(np.uint8), np.ones((15, 15), np.uint8)) == 0
    assert not (found & far).any()


def ringed(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """A ring drawn around the sections by a pen, and a large flake of dirt."""
    cv2.ellipse(pixels, (310, 150), (250, 125), 0, 0, 360, PENS["blue"], 6, cv2.LINE_AA)
    cv2.ellipse(pixels, (40, 40), (6, 4), 30, 0, 360, (75, 68, 60), -1, cv2.LINE_AA)
    return pixels


def lined(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The edge of the cover glass, an air bubble and scratches."""
    cv2.rectangle(pixels, (25, 15), (575, 285), (120, 120, 120), 2)
    cv2.circle(pixels, (545, 240), 30, (60, 60, 60), 2, cv2.LINE_AA)
    cv2.line(pixels, (80, 22), (560, 30), (190, 190, 190), 1, cv2.LINE_AA)
    return cv2.GaussianBlur(pixels, (0, 0), 0.6).astype(np.float32, copy=False)


def frosted(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """A frosted end."""
    grain = np.random.default_rng(3).normal(0.0, 4.0, (SHAPE[0], 60, 1))
    pixels[:, :60] = 0.8 * pixels[:, :60] + grain
    return pixels


def vignetted(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Light that falls off by a third towards the corners."""
    rows, columns = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    return np.asarray(pixels * (1.0 - 0.17 * (rows**2 + columns**2))[..., None], np.float32)


def lit_from_one_side(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Light that falls by a third from left to right."""
    return np.asarray(pixels * np.linspace(1.0, 0.66, SHAPE[1])[:, None], np.float32)


def written(pixels: NDArray[np.float32], paper: float) -> NDArray[np.float32]:
    """A label of paper with bold letters, print, a bar code and a square one. `paper`: its brightness over glass."""
    shown = np.clip(pixels, 0, 255)
    shown[:, :70] *= paper
    canvas = np.ascontiguousarray(np.clip(np.rint(shown), 0, 255).astype(np.uint8))
    cv2.putText(canvas, "A12", (2, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (25, 25, 30), 7, cv2.LINE_AA)
    cv2.putText(canvas, "S-1234", (4, 70), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (30, 30, 30), 1, cv2.LINE_AA)
    rng, row = np.random.default_rng(1), 90
    while row < 180:
        high = int(rng.integers(1, 5))
        canvas[row : row + high, 8:62] = 30
        row += high + int(rng.integers(1, 5))
    square = cv2.resize(
        rng.integers(0, 2, (25, 25)).astype(np.uint8), (50, 50), interpolation=cv2.INTER_NEAREST
    )
    canvas[210:260, 10:60][square > 0] = 30
    return cv2.GaussianBlur(canvas, (0, 0), 0.6).astype(np.float32)


def labelled(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """A label as bright as glass."""
    return written(pixels, 1.0)


def labelled_brighter(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """A label brighter than glass: glass beside it must not look dark."""
    return written(pixels, 1.06)


def mounted(
    pixels: NDArray[np.float32], turned_deg: float = 0.0, darker: float = 0.04
) -> NDArray[np.float32]:
    """A mount that darkens the glass under the cover glass."""
    veil = np.zeros(SHAPE, np.float32)
    corners = np.rint(cv2.boxPoints(((310, 150), (420, 260), turned_deg))).astype(np.int32)
    cv2.fillPoly(veil, [corners], (darker,))
    veil = cv2.GaussianBlur(veil, (0, 0), 0.7).astype(np.float32, copy=False)
    return np.asarray(pixels * (1.0 - veil[..., None]), np.float32)


def mounted_aslant(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same turned, and darker: pale tissue on it stays."""
    return mounted(pixels, 4.0, 0.1)


def yellowed(
    pixels: NDArray[np.float32],
    turned_deg: float = 0.0,
    density: tuple[float, float, float] = (0.01, 0.03, 0.1),
) -> NDArray[np.float32]:
    """A mount that age has made yellow."""
    veil = np.zeros(SHAPE, np.float32)
    corners = np.rint(cv2.boxPoints(((310, 150), (420, 260), turned_deg))).astype(np.int32)
    cv2.fillPoly(veil, [corners], (1.0,))
    veil = cv2.GaussianBlur(veil, (0, 0), 0.7).astype(np.float32, copy=False)
    return np.asarray(pixels * np.exp(-veil[..., None] * np.array(density)), np.float32)


def yellowed_aslant(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same turned, and browner."""
    return yellowed(pixels, 4.0, (0.05, 0.1, 0.25))


@pytest.mark.parametrize(
    "disturbed",
    [
        ringed,
        lined,
        frosted,
        vignetted,
        lit_from_one_side,
        labelled,
        labelled_brighter,
        mounted,
        mounted_aslant,
        yellowed,
        yellowed_aslant,
    ],
)
def test_neither_pen_nor_lines_nor_light_are_taken_for_tissue(
    disturbed: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> None:
    truth = islands() > 0
    far = cv2.dilate(truth.astype(np.uint8), np.ones((15, 15), np.uint8)) == 0
    pixels = disturbed(overview(STAINS["pale"]).astype(np.float32))
    found = tissue_mask(np.clip(pixels, 0, 255).astype(np.uint8), UM_PER_PX).mask
    assert (truth & ~found).sum() < 0.02 * truth.sum()
    assert not (found & far).any()
    empty = np.clip(disturbed(glass()), 0, 255).astype(np.uint8)
    assert not tissue_mask(empty, UM_PER_PX).mask.any()


def test_tissue_is_not_lost_with_what_it_is_joined_to() -> None:
    pixels = frosted(overview(STAINS["H&E"]).astype(np.float32))
    # A fibre joins a section with the frosted end, and a ring of a pen crosses both.
    cv2.line(pixels, (30, 40), (420, 70), (90, 90, 110), 5, cv2.LINE_AA)
    cv2.ellipse(pixels, (310, 150), (270, 125), 0, 0, 360, PENS["blue"], 6, cv2.LINE_AA)
    found = tissue_mask(np.clip(pixels, 0, 255).astype(np.uint8), UM_PER_PX).mask
    assert found[islands() > 0].mean() > 0.98
    assert found.mean() < 1.2 * (islands() > 0).mean()


def marked(places: NDArray[np.uint8], density: tuple[float, float, float], stain: str | None) -> Pixels:
    """Even marks of one dye at `places`, (h, w), beside the sections of a stain, or alone on glass."""
    pixels = glass() if stain is None else overview(STAINS[stain]).astype(np.float32)
    thickness = cv2.GaussianBlur(places.astype(np.float32), (0, 0), 0.8)
    shown = pixels * np.exp(-thickness[..., None] * np.array(density))
    return np.asarray(np.clip(np.rint(shown), 0, 255), np.uint8)


def dots(radius_px: int = 20) -> NDArray[np.uint8]:
    places = np.zeros(SHAPE, np.uint8)
    for column in (60, 300, 540):
        cv2.circle(places, (column, 255), radius_px, 1, -1)
    return places


@pytest.mark.parametrize(
    ("density", "is_ink"),
    [
        ((0.19, 0.05, 0.12), True),  # green
        ((0.01, 0.03, 0.3), True),  # a yellow highlighter
        ((0.03, 0.2, 0.13), False),  # pink, as a drop of blood
        ((0.18, 0.14, 0.04), False),  # blue, as mucus
    ],
)
def test_a_pale_dot_is_ink_only_in_a_colour_that_no_tissue_has(
    density: tuple[float, float, float], is_ink: bool
) -> None:
    found = tissue_mask(marked(dots(), density, "H&E"), UM_PER_PX).mask
    assert found[islands() > 0].mean() > 0.98
    assert found[dots() > 0].mean() < 0.01 if is_ink else found[dots() > 0].mean() > 0.98
    # Without tissue beside them, nothing tells.
    alone = tissue_mask(marked(dots(), density, None), UM_PER_PX).mask
    assert alone[dots() > 0].mean() > 0.98


def test_a_pale_dot_of_the_pen_that_drew_a_stroke_is_ink() -> None:
    blue = np.array((1.2, 0.93, 0.27))
    stroke = np.zeros(SHAPE, np.uint8)
    cv2.line(stroke, (130, 255), (230, 262), 1, 10)
    both = marked(dots(), tuple((0.15 * blue).tolist()), "H&E").astype(np.float32)
    both *= np.exp(-cv2.GaussianBlur(stroke.astype(np.float32), (0, 0), 0.8)[..., None] * blue)
    found = tissue_mask(np.clip(np.rint(both), 0, 255).astype(np.uint8), UM_PER_PX).mask
    assert not found[(dots() | stroke) > 0].any()
    assert found[islands() > 0].mean() > 0.98


def test_a_pale_stroke_is_ink_where_no_tissue_has_its_hue() -> None:
    stroke = np.zeros(SHAPE, np.uint8)
    cv2.line(stroke, (130, 255), (330, 262), 1, 12)
    for density, is_ink in (((0.18, 0.14, 0.04), True), ((0.06, 0.2, 0.1), False)):
        found = tissue_mask(marked(stroke, density, "H&E"), UM_PER_PX).mask
        assert found[stroke > 0].any() != is_ink
        assert found[islands() > 0].mean() > 0.98


def test_a_dense_even_drop_alone_on_glass_is_tissue_if_it_has_the_hue_of_blood() -> None:
    assert tissue_mask(marked(dots(), (0.1, 0.65, 0.45), None), UM_PER_PX).mask[dots() > 0].mean() > 0.98
    assert not tissue_mask(marked(dots(), (1.0, 0.25, 0.6), None), UM_PER_PX).mask.any()


def test_writing_on_a_frosted_end_is_no_tissue() -> None:
    pixels = frosted(overview(STAINS["H&E"]).astype(np.float32))
    ink = np.zeros(SHAPE, np.float32)
    for row in (60, 130, 200):
        cv2.polylines(
            ink, [np.array([(12, row), (48, row - 30), (30, row + 20), (14, row - 8)])], False, 1.0, 8
        )
    grain = cv2.GaussianBlur(np.random.default_rng(4).normal(0.0, 1.0, SHAPE).astype(np.float32), (0, 0), 1.0)
    pixels *= np.exp(-(ink * (1.0 + 0.5 * grain))[..., None] * np.array((1.2, 0.93, 0.27)))
    found = tissue_mask(np.clip(np.rint(pixels), 0, 255).astype(np.uint8), UM_PER_PX).mask
    assert not found[:, :70].any()
    assert found[islands() > 0].mean() > 0.98


@pytest.mark.parametrize("density", [0.3, 0.6])
def test_a_smear_is_found_although_it_is_as_even_as_ink(density: float) -> None:
    smear = np.zeros(SHAPE, np.float32)
    smear[60:240, 100:480] = np.linspace(1.2, 0.6, 380)
    smear = cv2.GaussianBlur(smear, (0, 0), 3.0).astype(np.float32, copy=False)
    pixels = glass() * np.exp(-density * smear[..., None] * np.array([0.4, 1.0, 0.7]))
    found = tissue_mask(np.clip(pixels, 0, 255).astype(np.uint8), UM_PER_PX).mask
    assert found[smear > 0.5].mean() > 0.98


@pytest.mark.parametrize(
    ("density", "sides_px"),
    [
        ((0.05, 0.16, 0.09), (420, 260)),  # pink, as blood, and with straight edges all round
        ((0.01, 0.03, 0.1), (200, 130)),  # yellow, and smaller than a cover glass
    ],
)
def test_an_even_film_is_no_mount_unless_it_is_as_wide_and_as_yellow(
    density: tuple[float, float, float], sides_px: tuple[int, int]
) -> None:
    film = np.zeros(SHAPE, np.float32)
    corners = np.rint(cv2.boxPoints(((310, 150), sides_px, 5.0))).astype(np.int32)
    cv2.fillPoly(film, [corners], (1.0,))
    pixels = np.clip(glass() * np.exp(-film[..., None] * np.array(density)), 0, 255).astype(np.uint8)
    found = tissue_mask(pixels, UM_PER_PX).mask
    assert (found & (film > 0)).sum() > 0.98 * (film > 0).sum()


@pytest.mark.parametrize(("density", "thinnest"), [(0.06, 0.4), (0.1, 0.2)])
def test_the_thin_end_of_a_pale_smear_belongs_to_it(density: float, thinnest: float) -> None:
    smear = np.zeros(SHAPE, np.float32)
    smear[60:240, 100:480] = np.linspace(1.0, 0.15, 380)
    smear = cv2.GaussianBlur(smear, (0, 0), 3.0).astype(np.float32, copy=False)
    pixels = glass() * np.exp(-density * smear[..., None] * np.array([0.57, 1.43, 1.0]))
    found = tissue_mask(np.clip(pixels, 0, 255).astype(np.uint8), UM_PER_PX).mask
    assert found[smear > thinnest].mean() > 0.98
    far = cv2.dilate((smear > 0.05).astype(np.uint8), np.ones((15, 15), np.uint8)) == 0
    assert not (found & far).any()


def test_a_picture_without_colour_loses_no_tissue() -> None:
    # Pale grey tissue cannot be told from a mount, nor a dark grey section from ink.
    grey = overview(STAINS["pale"]).mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8)
    assert tissue_mask(grey, UM_PER_PX).mask[islands() > 0].mean() > 0.98


def test_real_tissue_is_found_however_finely_the_overview_is_sampled() -> None:
    for um_per_px in (10.0, 20.0):
        section = cv2.resize(
            ihc(), None, fx=0.5 / um_per_px, fy=0.5 / um_per_px, interpolation=cv2.INTER_AREA
        )
        tiled = np.tile(section, (50, 50, 1))[: SHAPE[0], : SHAPE[1]].astype(np.float32)
        inside = islands()[..., None] > 0
        pixels = np.where(inside, tiled, glass())
        found = tissue_mask(np.clip(pixels, 0, 255).astype(np.uint8), um_per_px).mask
        assert found[islands() > 0].mean() > 0.98


def test_empty_glass_and_glass_with_dirt_hold_no_tissue() -> None:
    placement = placed([Landmark(0, 0, 0.0, 0.0), Landmark(600, 0, 30_000.0, 0.0)])
    for pixels in (glass(), with_extras(glass()), glass()[:3, :5]):
        with pytest.raises(ConfigError, match="no tissue found"):
            tissue_area(np.clip(pixels, 0, 255).astype(np.uint8), placement)


def test_polygons_lie_where_the_tissue_lies_on_the_stage() -> None:
    turned = [
        Landmark(0, 0, 30_000.0, 5_000.0),
        Landmark(600, 0, 30_000.0, 35_000.0),
        Landmark(0, 300, 15_000.0, 5_000.0),
    ]
    placement = placed(turned)
    area = tissue_area(overview(STAINS["H&E"]), placement)
    assert len(area.polygons) == 2
    assert sorted(len(polygon.rings) for polygon in area.polygons) == [1, 2]
    px = np.array([[200.0, 150.0], [420.0, 90.0], [420.0, 140.0], [300.0, 20.0]])
    x_um, y_um = placement.um_from_px(px).T
    assert area.contains(x_um, y_um).tolist() == [True, True, False, False]
    assert placement.um_per_px == pytest.approx(50.0)
    assert placement.px_from_um(placement.um_from_px(px)) == pytest.approx(px)


@pytest.mark.parametrize(
    ("landmarks", "why"),
    [
        ([(0, 0, 0, 0)], "give two landmarks or more"),
        ([(5, 5, 0, 0), (5, 5, 0, 0)], "at one place or on a line"),
        ([(0, 0, 0, 0), (1, 1, 50, 50), (2, 2, 100, 100)], "at one place or on a line"),
        ([(0, 0, 0, 0), (9, 0, 450, 0), (0, 9, 0, 450), (9, 9, 9000, 450)], "contradict each other"),
    ],
)
def test_landmarks_that_determine_nothing_are_refused(
    landmarks: list[tuple[float, float, float, float]], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        placed([Landmark(*mark) for mark in landmarks])
