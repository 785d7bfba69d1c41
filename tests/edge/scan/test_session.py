"""A run over the fields of a plan, on the virtual microscope with a predictor whose errors are chosen."""

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.edge.cli.showing.tables import summary_lines
from parfocal.edge.config import Config, config_from_toml
from parfocal.edge.engine import check_model, check_single_model
from parfocal.edge.errors import ConfigError
from parfocal.edge.focus.first_plane import FirstSweep
from parfocal.edge.focus.result import FocusLost
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.report import run_report
from parfocal.edge.scan.session import Session
from parfocal.edge.simscope.bench import stub_of
from parfocal.edge.simscope.camera import SimulatedCamera
from parfocal.engines.errors import InputMismatch
from parfocal.engines.predictor import Predictor
from tests.contracts import difference_contract, single_contract
from tests.edge.scope import FOCUS_Z_UM, KnowsTruth, Scope, Tells, with_focus

FIELDS = (Field(20_000.0, 10_000.0), Field(20_400.0, 10_000.0))


def swept_near(config: Config) -> Config:
    """The same with a first sweep that takes no more shots than it must."""
    return with_focus(
        config,
        first_sweep_start_um=FOCUS_Z_UM - 14.0,
        first_sweep_stop_um=FOCUS_Z_UM + 16.0,
        first_sweep_step_um=2.0,
    )


def session_of(scope: Scope, errors_um: list[list[float]] | None = None) -> Session:
    predictor = Predictor(KnowsTruth(scope.bench, FOCUS_Z_UM, errors_um))
    return Session(scope.instrument(), predictor, scope.config)


def test_a_height_found_by_a_sweep_is_where_the_next_field_begins(config: Config) -> None:
    scope = Scope(swept_near(config))

    def tilted(x_um: float, y_um: float, z_um: float, duty: float) -> NDArray[np.uint8]:
        return scope.sample.render(x_um, y_um, z_um - 1.5 * (x_um - FIELDS[0].x_um) / 400.0, duty)

    scope.camera = SimulatedCamera(scope.bench, scope.bench.clock, config.camera, tilted)
    plan = (*FIELDS, Field(20_800.0, 10_000.0))
    # Wrong by 4 um, so that a sweep finds the focus of each field, 1.5 um above that of the one before.
    first, second, third = (field.report for field in session_of(scope, [[4.0] * 4]).run(plan))
    assert [first.outcome, second.outcome] == ["recovered", "recovered"]
    assert second.z_um == pytest.approx(first.z_um + 1.5, abs=0.5)
    assert second.path_um[0] == first.z_um
    assert third.path_um[0] == second.z_um


def test_a_field_starts_at_the_height_that_is_given_for_it_and_needs_no_sweep(config: Config) -> None:
    session = session_of(Scope(swept_near(config)))
    above_um = {FIELDS[0]: 3.125, FIELDS[1]: -2.5}
    done = list(session.run(FIELDS, lambda field: FOCUS_Z_UM + above_um[field]))
    assert [field.start.z_um for field in done if field.start] == [FOCUS_Z_UM + 3.125, FOCUS_Z_UM - 2.5]
    assert session.first_sweep_images == 0


def test_a_coarse_look_that_leads_nowhere_is_followed_by_a_whole_sweep(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = with_focus(swept_near(config), first_sweep_step_um=3.0, recovery_reach_um=4.0, max_attempts=1)
    session = session_of(Scope(few), [[-3.0, 3.0, -3.0, 3.0]])
    monkeypatch.setattr(session._focuser, "coarse_look", lambda: FirstSweep(FOCUS_Z_UM - 60.0, 3))
    first = next(session.run(FIELDS[:1])).report
    assert (first.outcome, session.first_sweep_images) == ("recovered", 3 + 11)
    assert first.z_um == pytest.approx(FOCUS_Z_UM, abs=0.5)


def test_an_empty_first_field_costs_a_few_images_and_the_next_one_is_looked_at(config: Config) -> None:
    session = session_of(Scope(swept_near(config), blank=True))
    with pytest.raises(FocusLost, match=r"no focus in 2 fields: a look from z=2486\.0 to 2516\.0 um"):
        list(session.run(FIELDS))
    assert session.first_sweep_images == 2


@pytest.mark.parametrize("settle_s", [0.1, 0.03])  # as configured, and about what a calibration measures
def test_no_shot_counts_before_the_stage_is_at_rest_sideways(config: Config, settle_s: float) -> None:
    scope = Scope(swept_near(config))
    for axis in (scope.board.x, scope.board.y):
        axis.use_settle(settle_s)
    at_um: list[tuple[float, float]] = []

    def render(x_um: float, y_um: float, z_um: float, duty: float) -> NDArray[np.uint8]:
        at_um.append((x_um, y_um))
        return scope.sample.render(x_um, y_um, z_um, duty)

    scope.camera = SimulatedCamera(scope.bench, scope.bench.clock, config.camera, render)
    shots = [0]
    for field in session_of(scope).run(FIELDS):
        shots.append(len(at_um))
        seen_um = np.array(at_um[shots[-2] :])
        # What swings on after that is far below a pixel. The camera still offers two older frames, of X and Y on
        # their way.
        assert np.abs(seen_um - (field.report.x_um, field.report.y_um)).max() < 1.0


def test_a_field_in_the_dark_is_lost_with_its_reason_and_not_taken_for_an_empty_one(config: Config) -> None:
    scope = Scope(swept_near(config))
    frames = scope.camera
    scope.camera = SimulatedCamera(
        scope.bench, scope.bench.clock, config.camera, lambda *_: np.zeros((452, 452, 3), np.uint8)
    )
    run = session_of(scope).run(FIELDS)
    report = next(run).report
    assert report.outcome == "lost"
    assert report.reason is not None
    assert "black" in report.reason
    frames.close()


def test_a_single_shot_model_must_fit_the_instrument() -> None:
    single = single_contract(name="single-20x")
    check_single_model(single, Config())
    with pytest.raises(InputMismatch, match=r"single_model.*such as single-20x"):
        check_single_model(difference_contract(), Config())
    with pytest.raises(InputMismatch, match="objective"):
        check_single_model(msgspec.structs.replace(single, objective="40x/0.95"), Config())
    with pytest.raises(ConfigError, match=r"452 x 452 px are too small.*672 px"):
        check_single_model(single, config_from_toml("[camera]\nwidth_px = 452\nheight_px = 452\n", "t"))


def test_a_model_of_single_shots_is_refused_with_what_to_choose() -> None:
    with pytest.raises(InputMismatch, match=r"predicts from one shot.*difference-20x") as refused:
        check_model(single_contract(name="single-20x"), Config())
    assert "kind" not in str(refused.value).split("difference-20x")[0]  # there is no such key to correct


@pytest.mark.parametrize(
    ("range_um", "max_distance_um", "is_refused"),
    [(10.0, 12.0, True), (10.0, 9.1, True), (10.0, 9.0, False), (25.0, 12.0, False), (10.0, None, False)],
)
def test_what_may_be_accepted_is_held_against_the_range_of_the_model(
    range_um: float, max_distance_um: float | None, is_refused: bool
) -> None:
    config = with_focus(Config(), max_distance_um=max_distance_um)
    contract = difference_contract(range_um=range_um)
    if not is_refused:
        check_model(contract, config)
        return
    with pytest.raises(InputMismatch, match=r"focus\.max_distance_um"):
        check_model(contract, config)


def test_a_simulation_has_the_play_of_its_configuration_unless_asked_otherwise() -> None:
    config = config_from_toml("[board.z]\nplay_um = 14.0\n[board.x]\nplay_um = 33.0\n", "t")
    assert stub_of(config, 1).z.play_um == 14.0
    assert stub_of(config, 1).x.play_um == 33.0
    assert stub_of(config, 1, 20.0).z.play_um == 20.0
    assert stub_of(Config(), 5) == msgspec.structs.replace(stub_of(Config(), 1), seed=5)


def test_predictions_that_keep_failing_are_told_with_what_to_suspect(config: Config) -> None:
    scope = Scope(swept_near(config))
    fields = tuple(Field(20_000.0 + 400.0 * k, 10_000.0) for k in range(3))
    failing = [done.report for done in session_of(scope, [[4.0] * 4]).run(fields)]
    summary = run_report(failing, 0, 0.0).summary
    assert summary.recovered == 3
    assert summary.advice is not None
    assert "3 of 3 fields" in summary.advice
    assert "board.z.play_um" in summary_lines(summary)[-1]
    good = [msgspec.structs.replace(report, outcome="focused") for report in failing]
    assert run_report([*good, failing[0], failing[1]], 0, 0.0).summary.advice is None
    assert run_report([*good * 4, *failing], 0, 0.0).summary.advice is None


def test_a_model_that_is_not_believed_in_a_quarter_of_the_fields_is_due_for_a_calibration(
    config: Config,
) -> None:
    scope = Scope(swept_near(config))
    fields = tuple(Field(20_000.0 + 400.0 * k, 10_000.0) for k in range(3))
    strange = Tells(KnowsTruth(scope.bench, FOCUS_Z_UM), 0.2, strangeness=9.0)
    session = Session(scope.instrument(), strange, scope.config)
    doubted = [done.report for done in session.run(fields)]
    assert {(report.outcome, report.believed, report.sigma_um) for report in doubted} == {
        ("recovered", False, None)
    }
    summary = run_report(doubted, 0, 0.0).summary
    assert summary.not_believed == 3
    assert summary.advice is not None
    assert "a calibration is due: in 3 of 3 fields" in summary_lines(summary)[-1]
    good = [msgspec.structs.replace(report, outcome="focused", believed=True) for report in doubted]
    assert run_report([*good * 4, *doubted], 0, 0.0).summary.advice is None
    assert run_report([*good, *doubted[:2]], 0, 0.0).summary.advice is None
