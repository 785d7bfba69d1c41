"""The light of empty fields against that of the calibration."""

import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.calib.camera.seen_light import EmptyLight, MeasuredLight, empty_light, light_contradiction

WHITE = (220.0, 215.0, 205.0)


def empty(
    fall: float = 0.1, white: tuple[float, float, float] = WHITE, tilt: float = 0.0, seed: int = 0
) -> NDArray[np.uint8]:
    """An empty field (96, 128, 3) whose light falls off by `fall` to the corners and by `tilt` to the right."""
    y, x = np.mgrid[-1.0:1.0:96j, -1.0:1.0:128j]
    light = (1.0 - fall * (x * x + y * y) / 2.0 - tilt * (x + 1.0) / 2.0)[..., None]
    noise = np.random.default_rng(seed).normal(0.0, 1.0, (96, 128, 3))
    return np.asarray(np.clip(np.rint(light * np.array(white) + noise), 0, 255), np.uint8)


def lights(n: int = 4, **changes: Any) -> list[EmptyLight]:  # noqa: ANN401  # those of `empty`
    found = [empty_light(empty(seed=k, **changes)) for k in range(n)]
    return [one for one in found if one is not None]


@pytest.fixture
def measured() -> MeasuredLight:
    y, x = np.mgrid[-1.0:1.0:9j, -1.0:1.0:9j]
    flat = 1.0 - 0.1 * (x * x + y * y) / 2.0
    return MeasuredLight(tuple(map(tuple, flat.tolist())), 0.02, WHITE, knows_level=True)


def test_the_light_of_the_calibration_is_no_contradiction(measured: MeasuredLight) -> None:
    assert light_contradiction(lights(), measured) is None
    assert light_contradiction(lights(fall=0.15, white=(215.0, 205.0, 200.0)), measured) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"fall": 0.35}, "falls off otherwise than calibrated"),
        ({"tilt": 0.3}, "falls off otherwise than calibrated"),
        ({"white": (220.0, 215.0, 180.0)}, "the colour of the light has changed by 1\\d %"),
        ({"white": tuple(0.7 * level for level in WHITE)}, "the light is 29 % darker than calibrated"),
    ],
)
def test_what_changed_is_told(measured: MeasuredLight, changes: dict[str, Any], told: str) -> None:
    why = light_contradiction(lights(**changes), measured)
    assert why is not None
    assert re.search(told, why), why
    assert light_contradiction(lights(3, **changes), measured) is None  # three fields are too few


def test_glass_says_nothing_where_the_calibration_saw_tissue(measured: MeasuredLight) -> None:
    on_tissue = MeasuredLight(measured.flat, measured.uncertainty, (150.0, 90.0, 140.0), knows_level=True)
    assert light_contradiction(lights(), on_tissue) is None
    # Under another lamp only the colour counts.
    dimmed = MeasuredLight(measured.flat, measured.uncertainty, WHITE)
    assert light_contradiction(lights(white=(154.0, 150.0, 143.0)), dimmed) is None


def test_a_field_that_holds_something_is_not_empty() -> None:
    pixels = empty()
    pixels[30:60, 40:90] //= 2
    assert empty_light(pixels) is None
    assert empty_light(np.zeros((96, 128, 3), np.uint8)) is None
