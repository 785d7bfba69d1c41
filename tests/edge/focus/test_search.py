"""Fields that look empty: those that hold something far out of focus are found, or are lost with a reason."""

import cv2
import numpy as np
import pytest

from parfocal.edge.config import Config
from parfocal.edge.focus.picture.part import CentralPart
from parfocal.edge.focus.result import FocusLost
from parfocal.edge.focus.search import is_static, next_um
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.camera import SimulatedCamera
from tests.edge.scope import FOCUS_Z_UM, SIDE_PX, Scope, small, with_focus

BOUNDS_UM = (-24.0, 24.0)


def bacteria(n: int = 40) -> UInt8Array:
    """Rods of 1 to 2 um on an empty ground of 207 um, RGB uint8 (h, w, 3) at 0.345 um/px."""
    rng = np.random.default_rng(2)
    pixels = np.full((600, 600, 3), (238, 234, 238), np.uint8)
    for _ in range(n):
        x, y = (int(v) for v in rng.integers(0, 600, 2))
        turn = rng.uniform(0.0, np.pi)
        end = (round(x + 5.0 * np.cos(turn)), round(y + 5.0 * np.sin(turn)))
        cv2.line(pixels, (x, y), end, (95, 50, 130), 3, cv2.LINE_AA)
    return cv2.GaussianBlur(pixels, (0, 0), 0.7).astype(np.uint8)


@pytest.fixture(scope="module")
def sparse() -> Scope:
    return Scope(small(Config()), slide=(bacteria(), 0.345))


def part_at(scope: Scope, above_um: float) -> CentralPart:
    pixels = scope.sample.render(0.0, 0.0, FOCUS_Z_UM + above_um, scope.config.scan.lamp_duty)
    return CentralPart(pixels, scope.config.focus)


@pytest.mark.parametrize(("strategy", "start_um"), [("two-shot", 22.0), ("controller", -25.0)])
def test_a_few_bacteria_that_look_like_clean_glass_are_found(
    sparse: Scope, strategy: str, start_um: float
) -> None:
    assert part_at(sparse, start_um).is_blank
    focuser = sparse.focuser() if strategy == "two-shot" else sparse.controlled()
    assert focuser.focus(FOCUS_Z_UM + start_um).outcome == "focused"
    assert abs(sparse.error_um()) <= 0.5


def test_what_the_search_does_not_reach_is_lost_and_the_reason_says_so() -> None:
    scope = Scope(with_focus(small(Config()), recovery_reach_um=6.0), slide=(bacteria(), 0.345))
    with pytest.raises(FocusLost, match="far out of focus shows faintly") as caught:
        scope.focuser().focus(FOCUS_Z_UM - 32.0)
    result = caught.value.result
    assert result is not None
    assert result.outcome == "lost"
    assert result.z_um == pytest.approx(FOCUS_Z_UM - 32.0, abs=0.35)
    assert max(result.path_um) <= FOCUS_Z_UM - 25.6  # no farther than it may search


def test_dust_on_the_camera_is_searched_for_once_and_then_known(config: Config) -> None:
    scope = Scope(config, blank=True)
    specks = np.random.default_rng(3).random((SIDE_PX, SIDE_PX)) > 0.9995
    dust = 1.0 - 2.0 * cv2.GaussianBlur(specks.astype(np.float32), (0, 0), 5.0)[..., None]

    def dusty(x_um: float, y_um: float, z_um: float, duty: float) -> UInt8Array:
        return (scope.sample.render(x_um, y_um, z_um, duty) * dust).astype(np.uint8)

    scope.camera = SimulatedCamera(scope.bench, scope.bench.clock, config.camera, dusty)
    focuser = scope.focuser()
    images = []
    for _ in range(2):
        done = focuser.focus(2480.0)
        images.append(done.images)
        assert done.outcome == "blank"
        assert scope.true_z_um() == pytest.approx(2480.0, abs=0.35)
    assert images == [3, 1]


def test_noise_shading_and_compression_leave_no_trace(sparse: Scope) -> None:
    rng, config = np.random.default_rng(4), sparse.config.focus
    across = np.linspace(-8.0, 8.0, SIDE_PX)[None, :, None]
    for levels in (0.3, 2.4, 8.0):
        noisy = 220.0 + across + levels * rng.standard_normal((SIDE_PX, SIDE_PX, 3))
        assert not CentralPart(np.clip(np.rint(noisy), 0, 255).astype(np.uint8), config).has_trace, levels
    for quality in (60, 85):
        noise = 220.0 + 2.4 * rng.standard_normal((SIDE_PX, SIDE_PX, 3))
        coded = cv2.imencode(".jpg", noise.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        assert not CentralPart(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8), config).has_trace
    assert part_at(sparse, -25.0).has_trace
    assert part_at(sparse, 25.0).has_trace


@pytest.mark.parametrize(
    ("traces", "expected"),
    [
        ({0.0: 1.0}, 12.0),
        ({0.0: 1.0, 12.0: 2.0}, 24.0),
        ({0.0: 1.0, 12.0: 2.0, 24.0: 3.0}, None),  # beyond the reach
        ({0.0: 1.0, 12.0: 0.6}, -12.0),
        ({-12.0: 2.0, 0.0: 1.0, 12.0: 0.6}, -24.0),
        ({-24.0: 3.0, -12.0: 2.0, 0.0: 1.0, 12.0: 0.6}, None),
        # between three, the strongest of them in the middle, their vertex, and then no more
        ({-12.0: 0.5, 0.0: 1.0, 12.0: 0.5}, 0.0),
        ({-12.0: 0.5, 0.0: 1.0, 12.0: 0.9}, 4.0),
        ({-12.0: 0.5, 0.0: 1.0, 4.0: 1.1, 12.0: 0.9}, None),
    ],
)
def test_a_search_goes_where_the_trace_grows(traces: dict[float, float], expected: float | None) -> None:
    assert next_um(traces, 12.0, BOUNDS_UM) == pytest.approx(expected)


def test_a_search_stays_within_its_bounds() -> None:
    assert next_um({0.0: 1.0}, 12.0, (-24.0, 5.0)) == -12.0
    assert next_um({0.0: 1.0}, 12.0, (-5.0, 5.0)) is None


def test_what_is_as_strong_at_three_heights_is_not_on_the_slide() -> None:
    assert is_static({-12.0: 1.0, 0.0: 1.1, 12.0: 1.2})
    assert not is_static({-12.0: 1.0, 0.0: 1.1, 12.0: 1.3})
    assert not is_static({0.0: 1.0, 12.0: 1.0})
