"""Micro-Manager's demo stages, run by its real core: an error or the right position, never a silently wrong one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from parfocal.board.clock import MonotonicClock
from parfocal.board.errors import (
    BadSettings,
    BoardNotFound,
    LinkTimeout,
    MoveRefused,
    MoveStopped,
    PositionLost,
)
from parfocal.board.foreign import micromanager, mmcore
from parfocal.board.foreign.memory import Known, NoFile
from parfocal.board.foreign.micromanager import MicroManager
from parfocal.board.open import open_micromanager
from tests.board.foreign.micromanager import DEVICES, UPWARDS, board_config, declared, file_of

if TYPE_CHECKING:
    from pymmcore import CMMCore

pytestmark = pytest.mark.usefixtures("adapters")


def the_core() -> CMMCore:
    (shared,) = mmcore._open.values()
    return shared.core


def misbehave(monkeypatch: pytest.MonkeyPatch, method: str, instead: Callable[..., Any]) -> None:
    """From now on a method of the core that is open does something else."""
    (shared,) = mmcore._open.values()
    monkeypatch.setattr(shared.core, method, instead, raising=False)


def test_moves_are_absolute_and_end_where_the_devices_say(tmp_path: Path) -> None:
    with declared(file_of(tmp_path)) as board:
        core = the_core()
        board.x.move_to(20_010.0)
        board.y.move_to(9_995.0)
        board.z.move_to(703.125)
        assert list(core.getXYPosition()) == pytest.approx([10.0, -5.0], abs=0.01)
        assert core.getPosition() == pytest.approx(3.125)
        board.x.move_to(20_000.0)
        assert list(core.getXYPosition()) == pytest.approx([0.0, -5.0], abs=0.01)
        assert board.status().z.position_um == 703.125


def test_a_focus_drive_that_counts_away_from_the_objective_moves_up_all_the_same(tmp_path: Path) -> None:
    with declared(file_of(tmp_path, DEVICES + "FocusDirection,Z,-1\n")) as board:
        board.z.move_to(712.5)
        assert the_core().getPosition() == pytest.approx(-12.5)
        assert board.z.position_um == 712.5


def test_a_focus_drive_of_unknown_direction_is_not_used(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"FocusDirection,Z,1.*nothing moved"):
        declared(file_of(tmp_path, DEVICES + "FocusDirection,Z,0\n"))
    assert not mmcore._open


def test_a_file_without_stages_says_which_are_missing(tmp_path: Path) -> None:
    file = file_of(tmp_path, "Device,Camera,DemoCamera,DCam\nProperty,Core,Initialize,1\n")
    found = MicroManager.recognise(MonotonicClock(), board_config(file), NoFile())
    assert len(found.problems) == 2
    with pytest.raises(BadSettings, match="no XY stage"):
        declared(file)


def test_limits_hold_though_micromanager_has_none(tmp_path: Path) -> None:
    with declared(file_of(tmp_path)) as board:
        with pytest.raises(MoveRefused, match="nothing moved"):
            board.z.move_to(4_999.0)
        assert the_core().getPosition() == 0.0


def test_without_a_declaration_nothing_moves(tmp_path: Path) -> None:
    with open_micromanager(MonotonicClock(), board_config(file_of(tmp_path)), NoFile()) as board:
        with pytest.raises(MoveRefused, match="not homed"):
            board.z.move_to(800.0)
        with pytest.raises(MoveRefused, match=r"`parfocal home --here X,Y,Z`"):
            board.home()


def test_a_move_that_a_device_refuses_has_moved_nothing_and_keeps_the_position(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with declared(file_of(tmp_path)) as board:

        def refuse(*_: object) -> None:
            raise RuntimeError('Error in device "Z": Position out of range (103)')

        with monkeypatch.context() as patched:
            misbehave(patched, "setPosition", refuse)
            with pytest.raises(MoveRefused, match=r"Position out of range.*nothing moved"):
                board.z.move_to(710.0)
        board.z.move_to(705.0)
        assert the_core().getPosition() == pytest.approx(5.0)


def test_a_device_that_fails_on_its_way_loses_the_position(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with declared(file_of(tmp_path)) as board:
        move = the_core().setPosition

        def fail(label: str, _: float) -> None:
            move(label, 3.0)
            raise RuntimeError('Error in device "Z": Serial timeout (107)')

        misbehave(monkeypatch, "setPosition", fail)
        with pytest.raises(PositionLost, match="Serial timeout"):
            board.z.move_to(710.0)
        assert not board.z.is_homed


def test_a_stage_that_ends_elsewhere_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with declared(file_of(tmp_path)) as board:
        move = the_core().setPosition
        misbehave(monkeypatch, "setPosition", lambda label, um: move(label, um - 0.4))
        with pytest.raises(MoveStopped, match=r"ended at 709\.6"):
            board.z.move_to(710.0)


def test_a_call_that_hangs_ends_in_time_and_the_position_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(micromanager, "_HANGS_WALL_S", 0.1)
    ended = threading.Event()
    with declared(file_of(tmp_path)) as board:
        misbehave(monkeypatch, "setPosition", lambda *_: ended.wait(30.0))
        with pytest.raises(LinkTimeout, match="did not answer within"):
            board.z.move_to(710.0)
        assert board.status().z.position_um is None
        ended.set()


def test_a_stop_from_another_thread_ends_a_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = DEVICES.replace("Velocity,100.0", "Velocity,1.0") + UPWARDS
    with declared(file_of(tmp_path, slow)) as board:
        core, move = the_core(), the_core().setXYPosition

        def move_and_stop(label: str, x_um: float, y_um: float) -> None:
            move(label, x_um, y_um)
            threading.Thread(target=board.stop).start()

        misbehave(monkeypatch, "setXYPosition", move_and_stop)
        with pytest.raises(MoveStopped, match="stopped at"):
            board.x.move_to(22_000.0)
        assert core.getXYPosition()[0] < 1_000.0
        assert board.x.is_homed


def test_a_position_that_is_no_number_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with declared(file_of(tmp_path)) as board:
        misbehave(monkeypatch, "getPosition", lambda *_: float("nan"))
        with pytest.raises(PositionLost, match="reports"):
            board.z.move_to(710.0)


def test_the_position_of_the_last_close_is_known_unless_a_stage_stands_at_its_origin(tmp_path: Path) -> None:
    memory, file = NoFile(), file_of(tmp_path)
    with declared(file, memory) as board:
        board.x.move_to(20_010.0)
        board.z.move_to(703.125)
    known = memory.load()
    assert known == Known((40, 0, 10), (80_000, 40_000, 2_240))
    with open_micromanager(MonotonicClock(), board_config(file), memory) as again:
        assert not again.z.is_homed  # the demo stages begin at 0


def test_a_file_that_is_missing_or_broken_says_so(tmp_path: Path) -> None:
    with pytest.raises(BoardNotFound, match=r"there is no .*board.micromanager"):
        declared(str(tmp_path / "none.cfg"))
    file = file_of(tmp_path, "Device,Z,NoSuchAdapter,DStage\n")
    with pytest.raises(BoardNotFound, match=r"NoSuchAdapter.*MICROMANAGER_PATH"):
        declared(file)
    assert not mmcore._open
