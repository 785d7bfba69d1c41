"""Positions from links: a wrong link is outvoted, a line tells one direction only, the threshold is learned."""

import cv2
import numpy as np
import pytest

from parfocal.calib.camera.view import View
from parfocal.edge.stitch.layout import StagePlace, neighbours, nominal_px
from parfocal.edge.stitch.links import MIN_NCC, NCC_WITHOUT_STRANGERS, Link, threshold_from
from parfocal.edge.stitch.shift import Shift, shift_between
from parfocal.edge.stitch.solve import Trust, solved
from tests.stains import ihc

PLACES = tuple(StagePlace(row, column, 100.0 * column, 80.0 * row) for row in range(4) for column in range(5))
NOMINAL = nominal_px(PLACES, View(1.0))
EXACT = np.diag([400.0, 400.0])  # 0.05 px


def truth() -> np.ndarray:
    scattered: np.ndarray = NOMINAL + np.random.default_rng(1).normal(0.0, 2.0, NOMINAL.shape)
    return scattered


def link(pair: tuple[int, int], offset: np.ndarray, information: np.ndarray = EXACT) -> Link:
    shift = Shift(0.0, 0.0, 0.9, 0.1, 5.0, information)
    return Link(*pair, (float(offset[0]), float(offset[1])), shift, is_believed=True)


def off(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    away: np.ndarray = np.abs(found - true - np.median(found - true, axis=0))
    return away


def test_one_wrong_link_moves_no_tile() -> None:
    true = truth()
    pairs = list(neighbours(PLACES))
    links = [link(pair, true[pair[1]] - true[pair[0]]) for pair in pairs]
    wrong = 11
    links[wrong] = link(pairs[wrong], true[pairs[wrong][1]] - true[pairs[wrong][0]] + np.array([6.0, -4.0]))
    found = solved(PLACES, NOMINAL, links, Trust(2.0, 50.0), 1.0)
    assert off(found.corners_px, true).max() < 0.1
    assert [k for k, used in enumerate(found.is_used) if not used] == [wrong]
    assert found.residuals_px[wrong] == pytest.approx([6.0, -4.0], abs=0.2)


def test_a_link_that_is_not_believed_counts_nothing() -> None:
    true = truth()
    links = [link(pair, true[pair[1]] - true[pair[0]] + 5.0) for pair in neighbours(PLACES)]
    links = [Link(n.first, n.second, n.offset_px, n.shift, is_believed=False) for n in links]
    found = solved(PLACES, NOMINAL, links, Trust(2.0, 50.0), 1.0)
    assert off(found.corners_px, NOMINAL).max() < 1e-6
    assert not any(found.is_used)


def test_a_link_along_a_line_tells_only_across_it() -> None:
    places = PLACES[:2]
    only_x = np.diag([400.0, 1e-9])
    found = solved(places, NOMINAL[:2], [link((0, 1), np.array([103.0, 9.0]), only_x)], Trust(2.0, 50.0), 1.0)
    assert found.corners_px[1] - found.corners_px[0] == pytest.approx([103.0, 0.0], abs=0.02)


def test_a_wrong_scale_of_the_stage_is_corrected_where_no_picture_speaks() -> None:
    true = NOMINAL * 1.02
    links = [link(pair, true[pair[1]] - true[pair[0]]) for pair in neighbours(PLACES)]
    empty = {n for n, place in enumerate(PLACES) if place.column == 4}
    links = [
        Link(n.first, n.second, n.offset_px, n.shift, is_believed=not {n.first, n.second} & empty)
        for n in links
    ]
    found = solved(PLACES, NOMINAL, links, Trust(2.0, 500.0), 1.0)
    assert off(found.corners_px, true).max() < 0.1


@pytest.mark.parametrize(
    ("strangers", "low", "high"),
    [
        ([0.02, 0.03, 0.01, 0.02] * 5, MIN_NCC, MIN_NCC),  # blank glass: noise alone is alike by 0.03
        ([0.2, 0.3, 0.25, 0.28, 0.22] * 5, 0.36, 0.6),  # tissue: chance goes farther
        ([0.9, 0.88, 0.92, 0.91] * 5, 0.92, 1.0),  # a grid: nothing is believed
        ([0.2, 0.3, 0.25, 0.28, 0.22] * 5 + [0.95, 0.97], 0.36, 0.6),  # two of them did show the same
        ([0.2], NCC_WITHOUT_STRANGERS, NCC_WITHOUT_STRANGERS),
    ],
)
def test_the_correlation_needed_is_learned_from_strangers(
    strangers: list[float], low: float, high: float
) -> None:
    assert low <= threshold_from(strangers) <= high


@pytest.mark.parametrize("by", [(0, 0), (3, -2), (-5, 4)])
def test_a_shift_is_found_with_its_sign(by: tuple[int, int]) -> None:
    picture = ihc()[..., 1].astype(np.float32)
    x, y = by
    first, second = picture[100:160, 100:300], picture[100 + y : 160 + y, 100 + x : 300 + x]
    found = shift_between(first, second, 6.0)
    assert found is not None
    assert (found.dx_px, found.dy_px) == pytest.approx(by, abs=0.02)
    assert found.ncc > 0.95
    assert found.rival_ncc < 0.5


@pytest.mark.parametrize("by", [(1, -3), (-5, 7)])
def test_a_part_of_a_pixel_is_found_with_its_sign(by: tuple[int, int]) -> None:
    picture, (x, y) = ihc()[..., 1].astype(np.float32), by
    first, second = (
        cv2.resize(part, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.float32)
        for part in (picture[100:220, 100:400], picture[100 + y : 220 + y, 100 + x : 400 + x])
    )
    found = shift_between(first, second, 6.0)
    assert found is not None
    assert (found.dx_px, found.dy_px) == pytest.approx((x / 2.0, y / 2.0), abs=0.1)


def test_an_edge_is_sharp_across_and_unknown_along() -> None:
    picture = np.zeros((60, 80), np.float32)
    picture[:, 40:] = 100.0
    noise = np.random.default_rng(1).normal(0.0, 1.0, (2, 60, 80)).astype(np.float32)
    found = shift_between(picture + noise[0], picture + noise[1], 6.0)
    assert found is not None
    along, across = np.sqrt(1.0 / np.diag(found.information))[::-1]
    assert along > 10.0 * across


def test_pictures_that_are_too_small_tell_nothing() -> None:
    assert shift_between(np.zeros((8, 100), np.float32), np.zeros((8, 100), np.float32), 6.0) is None
