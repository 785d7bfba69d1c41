"""What was measured reaches the axes, unless the configuration decides."""

from collections.abc import Iterator
from datetime import datetime, timezone

import msgspec
import numpy as np
import pytest

from parfocal.board.motor import MotorRatings
from parfocal.board.own.board import Board
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.calib.camera.view import View
from parfocal.calib.errors import CalibRefused
from parfocal.calib.store import Owner, Store, default_folder
from parfocal.calib.value import Measured
from parfocal.edge.config import Config, config_from_toml
from parfocal.edge.measured.calibration import CameraInUse, PlayInUse, store_for, use_calibration
from parfocal.edge.simscope.bench import Sample, in_virtual_time, stub_of

NOTHING = Sample(lambda _x, _y, _z, _duty: np.zeros((8, 8, 3), np.uint8), lambda _x, _y: 0.0)
WHEN = datetime(2026, 11, 26, 22, 40, tzinfo=timezone.utc)


def play(value_um: float) -> Measured:
    return Measured(value_um, 0.2, WHEN, "focus curves", "0.1.0", "raw.json")


@pytest.fixture
def board() -> Iterator[Board]:
    with VirtualBench().open_board() as opened:
        yield opened


def plays_um(board: Board) -> tuple[float, float, float]:
    return board.x.config.play_um, board.y.config.play_um, board.z.config.play_um


def test_without_a_calibration_the_configured_play_is_used_and_the_command_is_named(board: Board) -> None:
    (note,) = use_calibration(board, Config()).notes
    assert use_calibration(board, Config()).calibration is None
    assert "none of this microscope; everything as configured. Run `parfocal calibrate all`" in note
    assert plays_um(board) == (60.0, 60.0, 20.0)


def test_measured_play_replaces_that_of_the_configuration_and_the_run_says_so(board: Board) -> None:
    store = store_for(board.unit_serial, Config())
    store.keep("z_play_um", play(27.5))
    store.keep("x_play_um", play(12.0))
    in_use = use_calibration(board, Config())
    (note,) = in_use.notes
    assert in_use.calibration == store.load().used
    assert note == (
        f"calibration {in_use.calibration}: play of x 12.0 +- 0.2 um of 2026-11-26, z 27.5 +- 0.2 um of 2026-11-26; "
        f"{store.path}"
    )
    assert plays_um(board) == (12.0, 60.0, 27.5)
    assert board.z.overshoot_um >= 27.5 + 2.0


def test_an_approach_after_a_calibration_takes_up_the_measured_play() -> None:
    # The configuration says 2 um where it is 20 um: without the measured play the stage ends too high.
    config = config_from_toml("[board.z]\nplay_um = 2.0\n[calibration]\n", "t")
    config = msgspec.structs.replace(config, calibration=Config().calibration)
    ends_um = []
    for is_measured in (False, True):
        bench = VirtualBench(stub_of(Config(), 1))
        with bench.open_board(config.board) as board:
            if is_measured:
                store_for(board.unit_serial, config).keep("z_play_um", play(20.0))
            use_calibration(board, config)
            board.home()
            board.z.approach_up(1000.0)
            board.z.approach_up(900.0)
            ends_um.append(bench.true_um(bench.clock.now_s())[2])
    assert ends_um[0] - 900.0 > 10.0
    assert ends_um[1] == pytest.approx(900.0, abs=0.2)


@pytest.mark.parametrize("kept_um", [14.0, 30.0])
def test_play_that_the_user_decided_stays_and_is_questioned_only_if_it_is_too_small(
    board: Board, kept_um: float
) -> None:
    config = config_from_toml(f"[board.z]\nplay_um = {kept_um}\n", "t")
    assert config.calibration.keep_play == ("z",)
    store_for(board.unit_serial, config).keep("z_play_um", play(20.0))
    board.z.use_play(kept_um)
    in_use = use_calibration(board, config)
    assert board.z.config.play_um == kept_um
    assert in_use.plays[2] == PlayInUse("z", kept_um)
    if kept_um > 20.0:
        assert in_use.notes == ()
        return
    (note,) = in_use.notes
    assert (
        "board.z.play_um = 14 is configured, but 20.0 +- 0.2 um of 2026-11-26 was measured. Remove that key"
        in note
    )


def test_keys_of_a_file_decide_and_nothing_else() -> None:
    assert config_from_toml("[board.z]\nmax_um = 3000.0\n", "t").calibration.keep_play == ()
    both = config_from_toml("[board.x]\nplay_um = 60.0\n[calibration]\nkeep_play = ['z']\n", "t")
    assert both.calibration.keep_play == ("x", "z")
    assert Config().calibration.keep_play == ()


def test_a_calibration_of_another_objective_is_not_used(board: Board) -> None:
    store_for(board.unit_serial, Config()).keep("z_play_um", play(8.0))
    focus = msgspec.structs.replace(Config().focus, objective="40x/0.95")
    (note,) = use_calibration(board, msgspec.structs.replace(Config(), focus=focus)).notes
    assert "none of this microscope" in note
    assert board.z.config.play_um == 20.0


def test_an_invalid_calibration_stops_the_microscope_from_opening_but_not_from_being_looked_at() -> None:
    with VirtualBench(stub_of(Config(), 1)).open_board() as board:
        store = store_for(board.unit_serial, Config())
    store.keep("z_play_um", play(8.0))
    store.path.write_text(store.path.read_text().replace("value = 8.0", "value = -8.0"))
    opening = in_virtual_time(NOTHING, Config(), stub_of(Config(), 1))
    with pytest.raises(CalibRefused, match=r"z_play_um\.value = -8\.0"), opening:
        pass


def test_play_for_an_axis_that_has_none_is_refused_with_the_table_to_remove(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_for(board.unit_serial, Config()).keep("z_play_um", play(8.0))
    monkeypatch.setattr(board.z._motor, "ratings", MotorRatings(0, 1000, has_play=False))
    with pytest.raises(
        CalibRefused, match=r"this actuator has no play\. Remove \[z_play_um\] from that file"
    ):
        use_calibration(board, Config())


def test_simulated_microscopes_of_other_mechanics_are_other_boards() -> None:
    assert stub_of(Config(), 1).unit_serial == stub_of(Config(), 2).unit_serial
    assert stub_of(Config(), 1).unit_serial != stub_of(Config(), 1, 8.0).unit_serial


def test_an_opened_instrument_says_which_play_it_works_with() -> None:
    stub = stub_of(Config(), 1, 8.0)
    Store(default_folder(), Owner(stub.unit_serial, "20x/0.75")).keep("z_play_um", play(8.1))
    with in_virtual_time(NOTHING, Config(), stub) as instrument:
        assert instrument.board.z.config.play_um == 8.1
        assert "z 8.1 +- 0.2 um" in instrument.notes[0]
        assert instrument.calibration is not None
        assert instrument.calibration.measured_at == WHEN
        assert instrument.plays == (
            PlayInUse("x", 60.0),
            PlayInUse("y", 60.0),
            PlayInUse("z", 8.1, 0.2, WHEN),
        )


def kept(board: Board, **values: tuple[float, float]) -> None:
    """Put values with their uncertainties into the store of the board."""
    store = store_for(board.unit_serial, Config())
    store.keep_all(
        {name: Measured(*found, WHEN, "chains", "0.1.0", "raw.json") for name, found in values.items()}
    )


def test_a_measured_scale_is_used_where_it_rules_the_configured_one_out(board: Board) -> None:
    kept(board, x_um_per_step=(1.30, 0.004), y_um_per_step=(1.252, 0.004))
    in_use = use_calibration(board, Config())
    assert (board.x.config.um_per_step, board.y.config.um_per_step) == (1.30, 1.25)
    assert "x 1.3 um per step" in in_use.notes[-1]
    assert "y 1.25" not in in_use.notes[-1]


def test_the_upper_end_of_a_settle_time_is_waited_for_and_the_view_follows_the_angle(board: Board) -> None:
    kept(board, x_settle_s=(0.03, 0.005), camera_angle_deg=(90.0, 0.1), camera_is_mirrored=(1.0, 0.0))
    in_use = use_calibration(board, Config())
    assert board.x.config.settle_s == pytest.approx(0.035)
    assert in_use.view == View(0.345, 90.0, True)
    assert "x at rest after 0.035 s, camera turned by +90.0 degrees" in in_use.notes[-1]


def test_a_scale_and_a_settle_time_that_the_user_decided_stay(board: Board) -> None:
    config = config_from_toml("[board.x]\num_per_step = 1.25\nsettle_s = 0.2\n", "t")
    assert (config.calibration.keep_scale, config.calibration.keep_settle) == (("x",), ("x",))
    kept(board, x_um_per_step=(1.30, 0.004), x_settle_s=(0.03, 0.005))
    before = board.x.config
    use_calibration(board, config)
    assert board.x.config == before


def test_a_bent_response_is_undone_and_a_straight_one_is_left_alone(board: Board) -> None:
    kept(board, camera_gamma=(0.5, 0.01), camera_dark_level=(3.0, 0.1), camera_exposure_s=(0.004, 0.0))
    in_use = use_calibration(board, Config())
    assert in_use.camera == CameraInUse(exposure_s=0.004, gamma=0.5, dark_level=3.0)
    assert "camera's gamma of 0.50 undone" in in_use.notes[-1]
    kept(board, camera_gamma=(0.97, 0.01))
    assert use_calibration(board, Config()).camera.gamma is None


def test_a_value_that_no_axis_can_have_is_refused_by_name(board: Board) -> None:
    kept(board, y_settle_s=(59.0, 2.0))
    with pytest.raises(CalibRefused, match=r"settle_s = 61\.0.*Remove \[y_settle_s\] from that file"):
        use_calibration(board, Config())
