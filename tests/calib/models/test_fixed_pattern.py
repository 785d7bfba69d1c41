"""Dust on the camera's window: found in pictures far out of focus, and told from texture and from the same field."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.calib.errors import CalibPoor
from parfocal.calib.models.fixed_pattern import FineDetail, check_dust, correlation_of, light_through

SIDE_PX = 200
Maps = NDArray[np.float32]


def dust(n: int, seed: int = 1) -> Maps:
    """The light that `n` specks let through."""
    rng, light = np.random.default_rng(seed), np.ones((SIDE_PX, SIDE_PX), np.float32)
    for x_px, y_px in rng.integers(8, SIDE_PX - 8, (n, 2)).tolist():
        cv2.circle(light, (x_px, y_px), int(rng.integers(2, 5)), float(rng.uniform(0.4, 0.8)), -1)
    return cv2.GaussianBlur(light, (0, 0), 0.7).astype(np.float32)


def far(n_fields: int, light: Maps, blur_px: float = 30.0) -> list[Maps]:
    """Fields far out of focus under uneven light, with the noise of a camera."""
    rng = np.random.default_rng(7)
    shade = np.linspace(150.0, 220.0, SIDE_PX, dtype=np.float32)[:, None]
    found = []
    for _ in range(n_fields):
        tissue = cv2.GaussianBlur(
            rng.uniform(0.0, 1.0, (SIDE_PX, SIDE_PX)).astype(np.float32), (0, 0), blur_px
        )
        found.append(
            (shade * (0.7 + 0.3 * tissue) * light + rng.normal(0.0, 1.0, light.shape)).astype(np.float32)
        )
    return found


@pytest.mark.parametrize("n", [1, 12])
def test_dust_is_found_as_it_dims_the_light_and_everything_else_is_left_alone(n: int) -> None:
    true = dust(n)
    found = light_through(far(6, true))
    assert found is not None
    assert np.abs(found - true).max() < 0.03
    assert (found == 1.0).mean() > 0.8
    assert (found[true > 0.995] == 1.0).mean() > 0.9


def test_what_the_sample_leaves_far_out_of_focus_is_no_dust() -> None:
    rng, found = np.random.default_rng(5), []
    for _ in range(6):
        left = cv2.GaussianBlur(rng.normal(0.0, 1.0, (SIDE_PX, SIDE_PX)).astype(np.float32), (0, 0), 6.0)
        found.append((200.0 * (1.0 - 0.5 * np.clip(left / left.std() - 1.0, 0.0, 1.0))).astype(np.float32))
    assert light_through(found) is None


def test_without_dust_nothing_is_evened_out_and_what_fills_the_picture_is_no_dust() -> None:
    assert light_through(far(6, dust(0))) is None
    assert light_through(far(6, dust(120))) is None


def details(pictures: list[Maps], light: Maps, blur_px: float = 4.0) -> list[FineDetail]:
    """Stacks of fields: their lowest plane blurred, their sharpest as it is, both through the dust."""
    made = []
    for picture in pictures:
        low, sharp = (
            cv2.Laplacian(shown * light, cv2.CV_32F)
            for shown in (cv2.GaussianBlur(picture, (0, 0), blur_px), picture)
        )
        made.append(FineDetail(np.asarray(low, np.float32), np.asarray(sharp - low, np.float32)))
    return made


def fields(n: int, seed: int = 3) -> list[Maps]:
    rng = np.random.default_rng(seed)
    grain = (rng.uniform(120.0, 230.0, (SIDE_PX, SIDE_PX)).astype(np.float32) for _ in range(n))
    return [cv2.GaussianBlur(one, (0, 0), 1.0).astype(np.float32) for one in grain]


def grid(shift_px: int) -> Maps:
    """A grid of dots, moved: wherever the camera looks, another field looks the same."""
    shown = np.full((SIDE_PX, SIDE_PX), 220.0, np.float32)
    for x_px in range(-20 + shift_px, SIDE_PX + 20, 20):
        for y_px in range(-20, SIDE_PX + 20, 20):
            cv2.circle(shown, (x_px, y_px), 4, 120.0, -1)
    return shown


@pytest.mark.parametrize("n_fields", [2, 6])
def test_different_fields_have_nothing_in_common_but_dust(n_fields: int) -> None:
    seen = fields(n_fields)
    check_dust(details(seen, dust(0)))
    assert correlation_of(details(seen, dust(0))) == pytest.approx(0.0, abs=0.08)
    for n in (5, 15, 30):
        with pytest.raises(CalibPoor, match=r"dust on the camera's window: clean it"):
            check_dust(details(seen, dust(n)))


def test_a_field_that_was_visited_twice_or_a_grid_is_not_taken_for_dust() -> None:
    (field,) = fields(1)
    again = np.roll(field, 1, axis=1)  # the stage came back to within a pixel
    assert correlation_of(details([field, again], dust(0))) is None
    # One field of a few that was visited twice does not hide the dust, nor make any.
    seen = [*fields(3), again]
    check_dust(details(seen, dust(0)))
    with pytest.raises(CalibPoor):
        check_dust(details(seen, dust(15)))
    check_dust(details([grid(shift_px) for shift_px in (0, 3, 7, 12, 20)], dust(0), 6.0))


def test_stacks_of_frames_of_another_size_are_not_compared() -> None:
    small, large = details(fields(1), dust(9)), details(fields(1, 4), dust(9))
    cut = FineDetail(small[0].low[:50], small[0].sharp[:50])
    assert correlation_of([cut, *large]) is None
