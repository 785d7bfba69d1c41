"""Stacks that are not what they seem: the stage drifts while they are taken, or there is dust in the camera."""

import functools
from pathlib import Path

import cv2
import numpy as np
import pytest

from parfocal.calib.errors import CalibPoor
from parfocal.calib.models import stack_faults
from parfocal.calib.models.fixed_pattern import correlation_of
from parfocal.calib.motion.play import FocusCurve, peak_of
from parfocal.calib.store import Store
from parfocal.edge.calibrate.curves import Curves
from parfocal.edge.calibrate.optics import run
from parfocal.edge.calibrate.optics.run import Models, OpticsCalibration
from parfocal.edge.focus.shots import Shot, Shots
from parfocal.edge.measured.optics_file import KeptStack
from parfocal.edge.pixels import UInt8Array
from parfocal.engines.predictor import Predictor
from tests.edge.calibrate.optics.test_optics import OWNER, STAMP, SaysTooMuch, places, runner, two_shot
from tests.edge.calibrate.plain import CONFIG, FOCUS_Z_UM, Look, Plain
from tests.edge.scope import SIDE_PX

__all__ = ["runner"]  # the fixture: the two-shot model knows where the stage is


def running_on(plain: Plain, folder: Path, runner: SaysTooMuch | None = None) -> OpticsCalibration:
    model = two_shot(Predictor(runner or SaysTooMuch()))
    return OpticsCalibration(plain.instrument, CONFIG, Store(folder, OWNER), STAMP, Models(model))


def taken(plain: Plain, folder: Path, n: int = 1) -> tuple[tuple[str, ...], list[float]]:
    """Why fields gave no stack, and where the sharpest planes of the others are, um."""
    running = running_on(plain, folder)
    running.take(places(n=n), n, lambda _words: None)
    return running.passed_over, [peak_of(curve).z_um for curve in running._models.two_shot.curves]


def dust(n: int, level: int) -> Look:
    """What `n` specks on the sensor, of 8 px, make of a picture; `level` of 255 of the light passes through them."""
    light = np.full((SIDE_PX, SIDE_PX, 3), 255, np.uint8)
    for x_px, y_px in np.random.default_rng(5).integers(20, SIDE_PX - 20, (n, 2)).tolist():
        cv2.circle(light, (x_px, y_px), 4, (level, level, level), -1, cv2.LINE_AA)
    return lambda shot: np.asarray(cv2.multiply(shot, light, scale=1.0 / 255.0), np.uint8)


few, many = dust(3, 220), dust(12, 115)


def test_a_stack_that_drifts_while_it_is_taken_is_passed_over(tmp_path: Path) -> None:
    (why,), stacks = taken(Plain({}, drift_um_per_min=-9.0), tmp_path)
    assert "refused: its focus moved by +" in why
    assert "check that the stage does not sink" in why
    assert stacks == []


@pytest.fixture(scope="module")
def warming_um(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The sharpest planes of a microscope that drifts as it does while it warms up, um."""
    passed_over, stacks_um = taken(Plain({}, drift_um_per_min=0.5), tmp_path_factory.mktemp("warming"))
    assert passed_over == ()
    return stacks_um


def test_a_stack_that_drifts_as_a_warming_microscope_does_is_used(warming_um: list[float]) -> None:
    assert len(warming_um) == 1


def test_dust_in_the_camera_does_not_move_the_labels_of_a_field_with_structure(
    warming_um: list[float], tmp_path: Path
) -> None:
    passed_over, dusty_um = taken(Plain({}, look=few, drift_um_per_min=0.5), tmp_path)
    assert passed_over == ()
    assert dusty_um == pytest.approx(warming_um, abs=0.05)


def test_a_field_that_dust_in_the_camera_outweighs_is_passed_over(tmp_path: Path) -> None:
    (why,), stacks = taken(Plain({}, look=many), tmp_path)
    assert "refused: far from its focus it is still" in why
    assert "clean the camera" in why
    assert stacks == []


def test_where_several_fields_are_seen_dust_is_evened_out_and_the_stacks_are_as_without_it(
    runner: SaysTooMuch, tmp_path: Path
) -> None:
    running = running_on(Plain({}, look=many), tmp_path, runner)
    running.take(places(n=3), 2, lambda _words: None)
    assert running.passed_over == ()
    assert running._camera.dust is not None
    assert 0.03 < running._camera.dust.covered_share < 0.08  # twelve specks of 8 px in frames of 260 px
    assert running._camera.dust.least_light == pytest.approx(115 / 255, abs=0.05)
    assert (correlation_of(running._details) or 0.0) < 0.1
    result = running.fit()
    assert result.dust == running._camera.dust
    # A single shot is judged by pictures as a run sees them.
    pixels = np.full((SIDE_PX, SIDE_PX, 3), 200, np.uint8)
    assert np.abs(running._camera.with_dust(pixels).astype(int) - many(pixels)).max() <= 6


@functools.cache
def recorded(look: Look | None, x_um: float) -> tuple[Shot, ...]:
    """A stack of a field beside the origin."""
    plain = Plain({}, look=look)
    bench = plain.instrument
    bench.home_if_allowed()
    with bench.lit(CONFIG.scan.lamp_duty):
        bench.go_to(CONFIG.scan.origin_x_um + x_um, CONFIG.scan.origin_y_um)
        taking = Shots(bench.board.z, bench.camera, CONFIG.focus)
        return tuple(taking.take(FOCUS_Z_UM + float(above)) for above in np.arange(-12.0, 10.1, 1.0))


def test_dust_in_recorded_stacks_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in fields with so much structure that no single stack shows the dust.
    monkeypatch.setattr(stack_faults, "MAX_FAR_SHARE", 1.0)
    running, light = running_on(Plain({}), tmp_path), dust(12, 180)
    for k in range(3):
        running.take_recorded(f"{k}.tif", recorded(light, 160.0 * (k - 1)))
    assert running.passed_over == ()
    with pytest.raises(
        CalibPoor, match=r"dust on the camera's window: clean it, run `parfocal calibrate camera`"
    ):
        running.fit()


def test_the_same_field_recorded_twice_is_not_taken_for_dust(runner: SaysTooMuch, tmp_path: Path) -> None:
    running = running_on(Plain({}), tmp_path, runner)
    for k in range(2):
        running.take_recorded(f"{k}.tif", recorded(None, 0.0))
    assert running.fit().two_shot.n_stacks == 2


def test_recorded_stacks_that_drifted_are_passed_over_and_if_all_did_the_refusal_says_so(
    tmp_path: Path,
) -> None:
    running, stack = running_on(Plain({}), tmp_path), recorded(None, 0.0)
    running.take_recorded("steady.tif", stack, 0.1)
    assert running.passed_over == ()
    for name in ("a.tif", "b.tif"):
        running.take_recorded(name, stack, -0.5)
    with pytest.raises(
        CalibPoor,
        match=r"refused: 1 of 3 fields gave a stack that can be used, 2 or more are needed: the focus of 2 moved\. "
        r"a.tif: stack of .* its focus moved by -0\.50 um",
    ):
        running.fit()


def pale(shot: UInt8Array) -> UInt8Array:
    """A picture with a quarter of the contrast."""
    return np.asarray(np.rint(170.0 + (shot - 170.0) / 4.0), np.uint8)


@pytest.mark.parametrize(("looks", "n_stacks"), [((None, pale, None), 2), ((pale, None), 2)])
def test_a_pale_stack_is_passed_over_if_enough_others_have_more_contrast(
    runner: SaysTooMuch, tmp_path: Path, looks: tuple[Look | None, ...], n_stacks: int
) -> None:
    running = running_on(Plain({}), tmp_path, runner)
    for number, look in enumerate(looks):
        running.take_recorded(f"{number}.tif", recorded(look, 0.0))
    kept = list(running._models.two_shot.kept)
    assert running.fit().two_shot.n_stacks == n_stacks
    assert [why.split(": it has")[0].startswith("stack of 24") for why in running.passed_over] == [True] * (
        len(looks) - n_stacks
    )
    assert all("beside the other stacks" in why for why in running.passed_over)
    assert running._models.two_shot.kept == (kept if len(looks) == n_stacks else [kept[0], kept[2]])


def test_while_stacks_are_taken_pale_ones_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = running_on(Plain({}), tmp_path)
    model, contrasts = running._models.two_shot, iter((6.0, 30.0, 25.0, 28.0))

    def stacked(_curves: Curves, near_um: float) -> float:
        of = np.zeros((9, 4), np.float32) + next(contrasts)
        curve = FocusCurve("up", (near_um, near_um + 1.0), (1.0, 2.0), (0.0, 0.0), 0.0)
        model.add(KeptStack(of[:, 0], of, of[..., None]), curve)
        return near_um

    monkeypatch.setattr(running, "_stack", stacked)
    monkeypatch.setattr(running, "_found_um", lambda _curves, near_um: near_um)
    monkeypatch.setattr(Curves, "focus_um", lambda _self: FOCUS_Z_UM)
    monkeypatch.setattr(run, "look_for_dust", lambda *_: 0)
    running.take(places(n=4), 2, lambda _words: None)
    assert [float(stack.contrast[0, 0]) for stack in model.kept] == [30.0, 25.0]
    (why,) = running.passed_over
    assert "it has a contrast of 6 grey levels, and beside the other stacks 11 are needed" in why


def test_a_recorded_stack_that_is_saturated_is_passed_over(tmp_path: Path) -> None:
    running = running_on(Plain({}), tmp_path)
    running.take_recorded("bright.tif", recorded(overexposed, 0.0))
    (why,) = running.passed_over
    assert "it is saturated" in why


def overexposed(shot: UInt8Array) -> UInt8Array:
    return np.asarray(np.clip(shot.astype(np.int16) + 170, 0, 255), np.uint8)
