"""The GPIO lines in use: the e-stop line stops the board at any moment, the reset line wakes a dead one."""

from __future__ import annotations

import sys

import msgspec
import pytest

from parfocal.board import gpio, guarded
from parfocal.board.clock import VirtualClock
from parfocal.board.config import BoardConfig
from parfocal.board.errors import BoardNotFound, EstopPressed, LinkTimeout, MoveRefused, PositionLost
from parfocal.board.gpio import GpioConfig, GpioFailed
from parfocal.board.guarded import open_guarded
from parfocal.board.own.board import Board
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.wire.messages import Fault
from tests.board.inside import faults
from tests.board.link.listening import Listening
from tests.board.strict_gpio import StrictGpio

pytestmark = pytest.mark.usefixtures("far_side")

ESTOP_PIN, RESET_PIN = 11, 13


def with_pins(**pins: int) -> BoardConfig:
    return msgspec.structs.replace(BoardConfig(), gpio=GpioConfig(**pins))


class Bench:
    """A virtual board behind `open_board`, and a header with GPIO pins beside it."""

    def __init__(self) -> None:
        self.virtual = VirtualBench()
        self.header = StrictGpio()
        self.opened = 0
        self.absent_openings = 0

    def open_board(self, config: BoardConfig, clock: VirtualClock) -> Board:
        self.opened += 1
        if self.absent_openings > 0:
            self.absent_openings -= 1
            raise BoardNotFound("the device is not back yet")
        return Board.open(Listening(self.virtual.open_transport()), clock, config)

    def press(self) -> None:
        self.header.outside[ESTOP_PIN] = StrictGpio.HIGH

    def release(self) -> None:
        self.header.outside[ESTOP_PIN] = StrictGpio.LOW

    @property
    def faults(self) -> Fault:
        return faults(self.virtual.stub)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench()
    monkeypatch.setattr(guarded, "open_board", made.open_board)
    monkeypatch.setattr(gpio, "imported_library", lambda: made.header)
    return made


def test_without_pins_no_gpio_library_is_imported(bench: Bench) -> None:
    with open_guarded(BoardConfig(), bench.virtual.clock) as board:
        board.home(("z",))
    assert bench.header.mode is None
    assert "RPi" not in sys.modules


def test_pins_without_their_library_are_an_error_and_the_board_is_not_opened(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> StrictGpio:
        raise GpioFailed("RPi.GPIO not usable")

    monkeypatch.setattr(gpio, "imported_library", missing)
    with (
        pytest.raises(GpioFailed, match="not usable"),
        open_guarded(with_pins(estop_pin=ESTOP_PIN), bench.virtual.clock),
    ):
        pass
    assert bench.opened == 0


def test_a_board_whose_estop_is_pressed_is_not_opened(bench: Bench) -> None:
    bench.press()
    with (
        pytest.raises(EstopPressed, match="GPIO pin 11 is broken; nothing moved. Release it"),
        open_guarded(with_pins(estop_pin=ESTOP_PIN), bench.virtual.clock),
    ):
        pass
    assert bench.opened == 0
    assert bench.header.directions == {}


def test_an_estop_pressed_during_a_move_ends_it_and_turns_the_lamp_off(bench: Bench) -> None:
    clock = bench.virtual.clock
    with open_guarded(with_pins(estop_pin=ESTOP_PIN), clock) as board:
        board.home(("z",))
        board.lamp(0.5)
        began_s = clock.now_s()
        clock.call_at(began_s + 1.0, bench.press)
        with pytest.raises(PositionLost, match="emergency stop"):
            board.z.move_to(4000.0)
        assert clock.now_s() - began_s == pytest.approx(1.0, abs=0.03)
        assert bench.faults == Fault.ESTOP
        assert bench.virtual.lamp_duty(clock.now_s()) == 0.0
        assert bench.virtual.true_um(clock.now_s())[2] == pytest.approx(1000.0, abs=50.0)
    assert bench.header.directions == {}


def test_an_estop_line_pressed_while_nothing_moves_makes_every_position_unknown(bench: Bench) -> None:
    clock = bench.virtual.clock
    with open_guarded(with_pins(estop_pin=ESTOP_PIN), clock) as board:
        board.home()
        bench.press()
        clock.sleep_s(0.05)
        assert not any(axis.is_homed for axis in (board.x, board.y, board.z))
        with pytest.raises(MoveRefused, match="the axis is not homed; nothing moved"):
            board.z.approach_up(100.0)


def test_clearing_a_pressed_estop_lasts_only_a_moment(bench: Bench) -> None:
    clock = bench.virtual.clock
    with open_guarded(with_pins(estop_pin=ESTOP_PIN), clock) as board:
        board.home(("z",))
        bench.press()
        clock.sleep_s(0.1)
        board.clear_faults()
        clock.sleep_s(0.1)
        with pytest.raises(MoveRefused, match="emergency stop"):
            board.z.home()
        bench.release()
        clock.sleep_s(0.1)
        board.clear_faults()
        board.z.home()
        assert bench.faults == Fault(0)


def test_an_estop_line_that_cannot_be_read_counts_as_pressed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_channel: int) -> int:
        raise OSError("no such device")

    clock = bench.virtual.clock
    with open_guarded(with_pins(estop_pin=ESTOP_PIN), clock):
        monkeypatch.setattr(bench.header, "input", broken)
        clock.sleep_s(0.1)
        assert bench.faults == Fault.ESTOP


def test_a_board_that_does_not_answer_is_reset_once_and_then_opened(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub, receive, output = bench.virtual.stub, bench.virtual.stub.receive, bench.header.output

    def reset(channel: int, value: int) -> None:
        output(channel, value)
        if (channel, value) == (RESET_PIN, StrictGpio.LOW):
            stub.reboot()
            bench.absent_openings = 3
            monkeypatch.setattr(stub, "receive", receive)

    monkeypatch.setattr(stub, "receive", lambda *_: None)
    monkeypatch.setattr(bench.header, "output", reset)
    with open_guarded(with_pins(reset_pin=RESET_PIN), bench.virtual.clock) as board:
        assert not board.status().z.is_homed
    assert bench.opened == 5
    assert bench.header.log == [(RESET_PIN, 1), (RESET_PIN, 0), (RESET_PIN, 1)]


def test_a_board_that_stays_away_after_its_reset_is_not_found(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.virtual.stub, "receive", lambda *_: None)
    open_board = bench.open_board

    def away_after_the_first(config: BoardConfig, clock: VirtualClock) -> Board:
        bench.absent_openings = 1 if bench.opened else 0
        return open_board(config, clock)

    monkeypatch.setattr(guarded, "open_board", away_after_the_first)
    with (
        pytest.raises(BoardNotFound, match="not back yet"),
        open_guarded(with_pins(reset_pin=RESET_PIN), bench.virtual.clock),
    ):
        pass


def test_a_board_that_does_not_answer_and_has_no_reset_line_is_a_link_timeout(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.virtual.stub, "receive", lambda *_: None)
    with (
        pytest.raises(LinkTimeout),
        open_guarded(with_pins(estop_pin=ESTOP_PIN), bench.virtual.clock),
    ):
        pass
    assert bench.opened == 1
