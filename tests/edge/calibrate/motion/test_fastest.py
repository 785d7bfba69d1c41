"""The fastest safe speed on motors whose true torque only the test knows."""

import contextlib
from collections.abc import Generator, Iterator
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import pytest

from parfocal.board.axis import Axis
from parfocal.calib.camera.view import View
from parfocal.calib.errors import CalibPoor
from parfocal.calib.motion import fastest as rule
from parfocal.calib.motion.fastest import MARGIN, FastestFit
from parfocal.calib.motion.swing import SettleFit
from parfocal.calib.store import Owner, Store
from parfocal.edge.calibrate.curves import Curves
from parfocal.edge.calibrate.keeper import KeptValue, Stamp
from parfocal.edge.calibrate.motion import fastest, returns
from parfocal.edge.calibrate.motion.fastest import Fastest
from parfocal.edge.calibrate.motion.settling import Settling
from parfocal.edge.calibrate.motion.stage import StageCalibration
from parfocal.edge.config import config_from_toml
from parfocal.edge.measured.calibration import use_calibration
from tests.edge.calibrate.plain import CONFIG, FOCUS_Z_UM, Plain

X = CONFIG.board.x
CONFIGURED = (X.speed_um_per_s, X.accel_um_per_s2)
STATED_SHARE = 1.0 / (X.speed_um_per_s / 30000.0 + X.accel_um_per_s2 / 200000.0)  # of the configured pair


class Weak(Plain):
    """A microscope whose X motor has less torque than its board states; it says where X truly was."""

    def __init__(self, torque_share: float) -> None:
        super().__init__({"x": 25.0}, config=CONFIG)
        machine = self.bench.stub.machine
        axis = machine.axes[0]
        axis.config = msgspec.structs.replace(axis.config, torque_share=torque_share)  # type: ignore[attr-defined]

    def true_x_um(self) -> float:
        return self.bench.true_um(self.bench.clock.now_s())[0]


@contextlib.contextmanager
def trying(torque_share: float) -> Iterator[tuple[Weak, Fastest]]:
    """In focus, with the lamp on."""
    scope = Weak(torque_share)
    instrument, scan = (
        msgspec.structs.replace(scope.instrument, view=View(CONFIG.camera.um_per_px)),
        CONFIG.scan,
    )
    with contextlib.closing(scope.board):
        slow = Fastest(
            scope.board.x,
            instrument,
            CONFIGURED,
            Curves(instrument, CONFIG.focus, lambda _words: None),
            lambda _words: None,
        )
        scope.board.home()
        scope.board.lamp(scan.lamp_duty)
        instrument.go_to(scan.origin_x_um, scan.origin_y_um)
        yield scope, slow


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer trials: a test takes a second. What a whole run finds: python -m tests.bench.stage."""
    monkeypatch.setattr(rule, "RESOLUTION", 1.1)
    monkeypatch.setattr(fastest, "N_CONFIRMED", 1)


def test_it_is_below_the_true_limit_and_the_stage_never_leaves_its_travel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with trying(torque_share=0.7) as (scope, slow):
        seen_um: list[float] = []
        heights_um: list[float] = []
        move_to = Axis.move_to

        def seen(axis: Axis, target_um: float) -> float:
            done_s = move_to(axis, target_um)
            if axis.name == "x":
                seen_um.append(scope.true_x_um())
                heights_um.append(scope.board.z.position_um)
            return done_s

        monkeypatch.setattr(Axis, "move_to", seen)
        fit = slow.measure(FOCUS_Z_UM)
        limit = 0.7 * STATED_SHARE
        assert 0.7 * limit <= fit.share <= MARGIN * limit
        assert any(one.lost_um is not None and one.lost_um > 1.0 for one in slow.trials)
        assert min(seen_um) >= 0.0
        assert max(seen_um) <= 75000.0
        assert set(heights_um) == {scope.board.z.limits_um[0]}  # the objective is away
        # Nobody loses a step any more: the position is known.
        assert scope.board.x.is_homed
        assert scope.true_x_um() == pytest.approx(scope.board.x.position_um, abs=2.0)
        assert scope.board.x.config.speed_um_per_s < fit.share * X.speed_um_per_s


def test_steps_lost_by_a_broken_off_trial_do_not_leave_a_wrong_position(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with trying(torque_share=1.0) as (scope, slow):
        moves = 0
        move_to = Axis.move_to

        def broken_off(axis: Axis, target_um: float) -> float:
            nonlocal moves
            moves += axis.name == "x"
            if axis.name == "x" and moves == 3:
                scope.bench.stub.machine.axes[0].lose_steps(400)
                move_to(axis, target_um)
                raise KeyboardInterrupt
            return move_to(axis, target_um)

        monkeypatch.setattr(Axis, "move_to", broken_off)
        with pytest.raises(KeyboardInterrupt):
            slow.measure(FOCUS_Z_UM)
        assert scope.board.x.is_homed
        assert scope.true_x_um() == pytest.approx(scope.board.x.position_um, abs=2.0)
        assert scope.board.x.config.speed_um_per_s <= 0.25 * X.speed_um_per_s


def test_without_room_nothing_is_tried() -> None:
    with trying(torque_share=1.0) as (scope, slow):
        scope.board.x.approach_up(1500.0)
        at_um = scope.board.x.position_um
        with pytest.raises(CalibPoor, match=r"no room to try the speed of x.*scan\.origin_x_um"):
            slow.measure(FOCUS_Z_UM)
        assert scope.board.x.position_um == at_um


STAMP = Stamp(datetime(2026, 11, 27, tzinfo=timezone.utc), "0.1.0")


def stage_of(scope: Plain, store: Store) -> StageCalibration:
    instrument = msgspec.structs.replace(scope.instrument, view=View(CONFIG.camera.um_per_px))
    return StageCalibration(instrument, CONFIG, store, STAMP, lambda _words: None, tries_rates=True)


def test_the_pair_is_kept_together_and_used_unless_the_configuration_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(Fastest, "measure", lambda _self, _focus_um: FastestFit(0.9, 0.04, 1.125, 1.17))
    monkeypatch.setattr(returns, "N_TRIPS", 1)
    monkeypatch.setattr(Settling, "sideways", lambda _self: SettleFit(0.08, 0.01, 3.0, 0.02, 40.0, 0.2))
    scope = Plain({"x": 25.0})
    store = Store(tmp_path / "parfocal" / "calibration", Owner(1, "20x/0.75"))
    with contextlib.closing(scope.board):
        running = stage_of(scope, store).run()
        assert isinstance(running, Generator)
        values: dict[str, KeptValue] = {one.name: one for one in (next(running) for _ in range(3))}
        assert [*values] == ["x_settle_s", "x_speed_um_per_s", "x_accel_um_per_s2"]
        assert values["x_speed_um_per_s"].before == X.speed_um_per_s
        # Broken off: what is not kept is as it was.
        running.close()
        assert scope.board.y.config.speed_um_per_s == CONFIG.board.y.speed_um_per_s
        speed, accel = store.load().x_speed_um_per_s, store.load().x_accel_um_per_s2
        assert speed is not None
        assert accel is not None
        assert (speed.value, speed.uncertainty) == (0.9 * X.speed_um_per_s, 0.04 * X.speed_um_per_s)
        assert accel.value == 0.9 * X.accel_um_per_s2
        use_calibration(scope.board, CONFIG)
        assert scope.board.x.config.speed_um_per_s == speed.value
        kept = config_from_toml("[board.x]\naccel_um_per_s2 = 60000.0\n", "t")
        assert kept.calibration.keep_rates == ("x",)
        scope.board.x.use_rates(5000.0, 60000.0)
        use_calibration(scope.board, kept)
        assert scope.board.x.config.speed_um_per_s == 5000.0


def test_a_pair_that_is_refused_leaves_the_earlier_one_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poor(_self: Fastest, _focus_um: float) -> FastestFit:
        raise CalibPoor("no safe speed of x.")

    monkeypatch.setattr(Fastest, "measure", poor)
    scope, store = Plain({"x": 25.0}), Store(tmp_path, Owner(1, "20x/0.75"))
    with contextlib.closing(scope.board):
        scope.board.x.use_rates(9000.0, 70000.0)
        with pytest.raises(
            CalibPoor, match="earlier calibration of this speed stays in force; what was seen is in"
        ):
            next(stage_of(scope, store).run())
        assert (scope.board.x.config.speed_um_per_s, scope.board.x.config.accel_um_per_s2) == (
            9000.0,
            70000.0,
        )
        assert scope.board.x.is_homed
    assert not store.path.exists()
