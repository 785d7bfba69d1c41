"""Calibrations through 10x/0.3, whose depth of field is 6.25 times that of 20x/0.75."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.calib.models.loop import Z1_STEP_UM
from parfocal.calib.models.planes import FLOOR_UM
from parfocal.calib.store import Owner, Store
from parfocal.edge.calibrate import focus_loop
from parfocal.edge.calibrate.camera import CameraCalibration
from parfocal.edge.calibrate.curves import Curves
from parfocal.edge.calibrate.focus_loop import LoopCalibration
from parfocal.edge.calibrate.lens_settling import RULER_UM, swing_of
from parfocal.edge.calibrate.motion import returns, settling
from parfocal.edge.calibrate.motion.backlash import Backlash
from parfocal.edge.calibrate.motion.returns import LOOK_ERROR_UM
from parfocal.edge.calibrate.motion.settling import LIMIT_Z_UM, Settling
from parfocal.edge.calibrate.motion.stage import StageCalibration
from parfocal.edge.calibrate.optics import dust
from parfocal.edge.calibrate.optics.model_view import plane_heights, seen_by
from parfocal.edge.calibrate.optics.one_model import ModelName, OneModel
from parfocal.edge.calibrate.optics.run import Models, OpticsCalibration
from parfocal.edge.config import Config, FocusConfig
from parfocal.edge.focus.judging.belief import by_belief
from parfocal.edge.focus.judging.depth import depth_scale
from parfocal.edge.focus.result import Attempt, FocusResult
from parfocal.edge.focus.shots import Shot
from parfocal.edge.objectives import FOCUS_OF
from parfocal.edge.scan.learner import Learner
from parfocal.edge.scan.plan import Field
from parfocal.edge.stacks.extent import extent_of
from parfocal.edge.stacks.read import read_stack
from parfocal.edge.stacks.record import Recorder
from parfocal.engines.model.contract import CondenserTerms, HeadTerms
from parfocal.engines.predictor import Predictor
from tests.contracts import difference_contract
from tests.edge.calibrate.optics.test_optics import STAMP, F, Features, kept
from tests.edge.calibrate.plain import FOCUS_Z_UM, Plain, told_pairs
from tests.edge.scope import small, with_focus
from tests.heads import made_head

OBJECTIVE = "10x/0.3"
SCALE = depth_scale(OBJECTIVE)
# A short first sweep, so that a test is quick.
CONFIG = with_focus(
    small(Config(focus=FocusConfig(**FOCUS_OF[OBJECTIVE]))),
    first_sweep_start_um=2440.0,
    first_sweep_stop_um=2555.0,
)
OWNER = Owner(1, OBJECTIVE)


class TooHigh:
    """A runner that knows the height of the second shot, takes the focus for 2 um higher, and errs by `noise_um`."""

    contract = difference_contract(
        name="too-high", objective=OBJECTIVE, delta_um=10.0, um_per_px=0.69, range_um=36.0
    )
    high_um = 2.0

    def __init__(self, plain: Plain) -> None:
        self._plain = plain
        self.z2_um: float | None = None
        self.noise_um, self._calls = 0.0, 0

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self._calls += 1
        z_um = self._plain.truth().stage_z_um if self.z2_um is None else self.z2_um
        said_um = FOCUS_Z_UM - z_um + self.high_um + self.noise_um * (-1.0) ** self._calls
        return np.full((len(batch), 1), said_um, np.float32)


@pytest.fixture
def plain() -> Iterator[Plain]:
    made = Plain({"z": 20.0}, config=CONFIG)
    with contextlib.closing(made.board):
        yield made


@pytest.fixture
def runner(plain: Plain, monkeypatch: pytest.MonkeyPatch) -> TooHigh:
    made = TooHigh(plain)
    told_pairs(made, monkeypatch)
    return made


def nothing(_words: str) -> None:
    """No progress is shown."""


def test_the_play_of_z_is_found(plain: Plain, tmp_path: Path) -> None:
    running = Backlash(plain.instrument, CONFIG, Store(tmp_path, OWNER), STAMP)
    (found,) = running.run(("z",), nothing)
    # The blur of the stand-in has a flat top: its peaks scatter.
    assert abs(found.play_um - 20.0) <= 0.15 * SCALE
    assert found.uncertainty_um <= 0.5 * SCALE
    assert found.images < 200
    # Above the focus the stage goes by as many depths of field as through 20x/0.75.
    assert FOCUS_Z_UM + 7.0 * SCALE < plain.highest_um <= FOCUS_Z_UM + 9.0 * SCALE


def test_the_optics_are_fitted_to_stacks_over_the_range_of_the_model(
    plain: Plain, runner: TooHigh, tmp_path: Path
) -> None:
    runner.high_um, runner.noise_um = 6.0, 1.5
    model = OneModel("optics", Predictor(runner), ModelName("too-high", "0" * 64))
    running = OpticsCalibration(plain.instrument, CONFIG, Store(tmp_path, OWNER), STAMP, Models(model))
    scan = CONFIG.scan
    running.take([(scan.origin_x_um + 60.0 * k, scan.origin_y_um) for k in range(2)], 2, nothing)
    assert running.passed_over == ()
    result = running.fit().two_shot
    assert (result.chosen, result.n_stacks) == ("line", 2)
    assert result.offset_um == pytest.approx(-6.0, abs=0.2 * SCALE)
    assert 1.0 < result.error_um < 2.0  # a quarter of a depth of field is not too much
    for stack in model.kept:
        assert 30.0 < np.abs(stack.true_um).max() <= 36.0


def test_the_loop_is_calibrated_from_pivots_as_many_depths_of_field_away(
    plain: Plain, runner: TooHigh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(focus_loop, "ORDER", (0, 12, 19))
    runner.noise_um = 1.0
    running = LoopCalibration(plain.instrument, CONFIG, Store(tmp_path, OWNER), STAMP, Predictor(runner))
    found = {one.name: one for one in running.run(nothing)}
    above = found["focus_above_sharpest_um"]
    assert above.value == pytest.approx(runner.high_um, abs=0.2 * SCALE)
    assert found["focus_repeatability_um"].value > 0.5  # too much through 20x/0.75
    # Most pivots then lie within what one estimate is enough for, to a step.
    second_um = found["focus_z1_below_um"].value - CONFIG.focus.delta_um
    assert second_um == pytest.approx(0.5 * 0.48 * 36.0, abs=Z1_STEP_UM * SCALE)
    pivots_um = [one.pivot_um - FOCUS_Z_UM for one in running.seen.approaches]
    assert (pivots_um[0], pivots_um[-1]) == pytest.approx((-2.5 * SCALE, 2.5 * SCALE), abs=0.2 * SCALE)
    below_um = [plane_um - FOCUS_Z_UM for plane_um in running.seen.curves[-1].z_um]
    assert below_um[0] == pytest.approx(-5.0 * SCALE, abs=0.8 * SCALE)


def test_a_stack_has_planes_a_whole_number_of_motor_steps_apart_that_are_part_of_delta(
    runner: TooHigh,
) -> None:
    heights_um = plane_heights(2500.0, Predictor(runner), CONFIG.focus, 0.3125)
    assert np.diff(heights_um) == pytest.approx(5.0)
    assert (heights_um[0], heights_um[-1]) == pytest.approx((2500.0 - 35.0 - 10.0, 2500.0 + 35.0))


@pytest.fixture
def in_focus(plain: Plain) -> Iterator[tuple[Plain, Curves]]:
    """The field at the origin with the lamp on, in focus."""
    bench, scan = plain.instrument, CONFIG.scan
    bench.home_if_allowed()
    with bench.lit(scan.lamp_duty):
        bench.go_to(scan.origin_x_um, scan.origin_y_um)
        curves = Curves(bench, CONFIG.focus, nothing)
        curves.leave_at(FOCUS_Z_UM)
        yield plain, curves


def test_z_is_at_rest_within_an_eighth_of_a_depth_of_field(
    in_focus: tuple[Plain, Curves], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, curves = in_focus
    monkeypatch.setattr(settling, "N_MOVES", 8)
    monkeypatch.setattr(settling, "WATCHED_S", 0.1)
    watching = Settling(plain.board.z, plain.instrument, CONFIG.camera, nothing)
    found = watching.upwards(curves, FOCUS_Z_UM, CONFIG.focus)
    assert found.limit_um == LIMIT_Z_UM * SCALE
    (ruler,) = curves.taken
    assert (ruler.z_um[0], ruler.z_um[-1]) == pytest.approx(
        (FOCUS_Z_UM - 5.0 * SCALE, FOCUS_Z_UM), abs=0.8 * SCALE
    )


def test_homing_is_known_as_well_as_the_peak_of_a_curve(
    in_focus: tuple[Plain, Curves], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain, curves = in_focus
    monkeypatch.setattr(returns, "N_HOMES", 2)
    running = StageCalibration(plain.instrument, CONFIG, Store(tmp_path, OWNER), STAMP, nothing)
    found = {one.name: one for one in running._homes(curves, FOCUS_Z_UM)}
    assert found["z_home_um"].uncertainty >= LOOK_ERROR_UM * SCALE
    assert found["x_home_um"].uncertainty < LOOK_ERROR_UM * SCALE


def test_dust_is_looked_for_where_the_sample_is_out_of_focus_by_as_many_depths_of_field(
    in_focus: tuple[Plain, Curves],
) -> None:
    plain, curves = in_focus
    scan = CONFIG.scan
    places = [(scan.origin_x_um, scan.origin_y_um)] * 3
    dust.look_for_dust(
        plain.instrument, dust.EvenedCamera(plain.instrument.camera), curves, places, FOCUS_Z_UM
    )
    assert plain.board.z.position_um == pytest.approx(FOCUS_Z_UM - 60.0 * SCALE, abs=0.2)


def test_the_camera_is_calibrated_where_the_sample_is_out_of_focus_by_as_many_depths_of_field(
    plain: Plain, tmp_path: Path
) -> None:
    class Stopped(Exception):
        """After the nine places."""

    def stop(_words: str) -> None:
        raise Stopped

    running = CameraCalibration(plain.instrument, CONFIG, Store(tmp_path, OWNER), STAMP, stop)
    with pytest.raises(Stopped):
        next(running.run())
    first_um = CONFIG.focus.first_sweep_start_um
    assert plain.board.z.position_um == pytest.approx(first_um - 60.0 * SCALE, abs=0.2)


def test_a_recorded_stack_may_have_drifted_by_as_many_depths_of_field(
    plain: Plain, runner: TooHigh, tmp_path: Path
) -> None:
    model = OneModel("optics", Predictor(runner), ModelName("too-high", "0" * 64))
    running = OpticsCalibration(plain.instrument, CONFIG, Store(tmp_path, OWNER), STAMP, Models(model))
    pixels = np.full((260, 260, 3), 200, np.uint8)
    shots = [Shot(float(z), pixels, CONFIG.focus) for z in range(8)]
    for moved_um in (0.2 * SCALE, 0.4 * SCALE):
        running.take_recorded("a.tif", iter(shots), moved_um)
    flat, drifted = running.passed_over
    assert "it is flat" in flat
    assert "its focus moved by +2.50 um until it was looked at again; 1.88 um is the limit" in drifted


def test_a_recorded_stack_is_looked_at_again_over_as_many_depths_of_field(
    plain: Plain, tmp_path: Path
) -> None:
    extent = extent_of(45.0, 5.0, CONFIG.board.z.um_per_step)
    field = Field(CONFIG.scan.origin_x_um, CONFIG.scan.origin_y_um)
    config = with_focus(CONFIG, first_sweep_start_um=2400.0, first_sweep_stop_um=2600.0)
    (done,) = Recorder(plain.instrument, config, extent, tmp_path).run((field,))
    assert read_stack(tmp_path / done.file).focus_moved_um == pytest.approx(0.0, abs=0.1 * SCALE)


def test_a_swing_of_the_lens_ends_where_the_ruler_does() -> None:
    far_um, near_um = 50.0 + RULER_UM * SCALE + 0.1, 50.0 - RULER_UM * SCALE + 0.1
    assert swing_of([(0.01, far_um), (0.02, near_um), (0.3, 50.0)], SCALE).since_s == (0.02,)


TERMS = HeadTerms(sha256="0" * 64, features=F, condenser=CondenserTerms(default=0.6, least=0.3, most=0.9))


def model_with_head(objective: str) -> Predictor:
    """The same model for any objective."""
    runner = Features()
    runner.contract = difference_contract(name="features", head=TERMS, objective=objective)
    return Predictor(runner, made_head(F, takes_condenser=True, tells_sigma=True))


def test_no_patch_of_a_stack_is_more_certain_than_its_objective_allows() -> None:
    for objective in ("20x/0.75", OBJECTIVE):
        predictor, stack = model_with_head(objective), kept(1)
        (seen,) = seen_by([stack], predictor)
        said = predictor.read(stack.outputs.reshape(-1, F))
        together = [
            by_belief(said[4 * k : 4 * k + 4], contrast, depth_scale(objective)).sigma_um
            for k, contrast in enumerate(stack.contrast)
        ]
        assert seen.sigma_um is not None
        assert seen.sigma_um.tolist() == together


def test_how_far_the_planes_are_apart_is_known_to_as_many_depths_of_field() -> None:
    model = OneModel("optics", model_with_head(OBJECTIVE), ModelName("features", "0" * 64))
    model.kept = [kept(k) for k in range(3)]
    apart = model.planes_apart(0.6)
    assert apart is not None
    assert apart.uncertainty_um >= FLOOR_UM * SCALE


@pytest.mark.parametrize(("moved_um", "is_told"), [(8.0, False), (12.0, True)])
def test_a_run_learns_a_gain_from_moves_of_as_many_depths_of_field(
    runner: TooHigh, moved_um: float, is_told: bool
) -> None:
    pairs = tuple(
        Attempt(z - 10.0, z, (), 2500.0 - z, 0.1, "half_distance") for z in (2480.0, 2480.0 + moved_um)
    )
    learner = Learner(Predictor(runner), 0.0)
    learner.seen(FocusResult("focused", 2500.0, 5, pairs, ()))
    assert (learner.learning.fields == 1) is is_told
