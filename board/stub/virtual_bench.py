"""The stub in virtual time: clock, cable and board in one object, deterministic and faster than real time."""

from __future__ import annotations

from parfocal.board.clock import VirtualClock
from parfocal.board.config import BoardConfig
from parfocal.board.errors import BoardNotFound
from parfocal.board.own.board import Board
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.faults import Faults
from parfocal.board.stub.faulty_stub import FaultyStub
from parfocal.board.stub.firmware.firmware_board import FirmwareBoard
from parfocal.board.stub.stub_board import StubBoard
from parfocal.board.stub.wired_board import WiredBoard


class VirtualTransport:
    """A cable to a stub. Waiting for bytes lets virtual time pass. One `read` returns one frame."""

    def __init__(self, clock: VirtualClock, board: FaultyStub, round_trip_s: float) -> None:
        """Raises BoardNotFound while the board is unplugged."""
        self._clock = clock
        self._board = board
        self._round_trip_s = round_trip_s
        self.is_faultless = board.is_faultless
        self._closed = False
        self._arrived: list[bytes] = []
        board.advance(clock.now_s())
        self._plugs = board.plugs
        self._check_open()

    def write(self, data: bytes) -> None:
        """Send bytes. They arrive at once; the answer takes the whole round trip."""
        self._pass_time()
        self._board.receive(data, self._clock.now_s())

    def read(self, timeout_s: float) -> bytes:
        """The next frame, or b"" after `timeout_s` of virtual time."""
        deadline_s = self._clock.now_s() + timeout_s
        while True:
            self._pass_time()
            now_s = self._clock.now_s()
            # Not `sent_s <= now_s - round trip`: where the clock stands at the sum, that may round to before `sent_s`.
            while (sent_s := self._board.next_output_s()) + self._round_trip_s <= now_s:
                self._arrived += self._board.take_output(sent_s)
            if self._arrived:
                return self._arrived.pop(0)
            if now_s >= deadline_s:
                return b""
            arrives_s = sent_s + self._round_trip_s
            due_s = self._board.next_due_s()
            if due_s <= now_s:  # a frame that is already on its way
                due_s = arrives_s
            self._clock.advance_to(min(deadline_s, arrives_s, due_s, self._clock.next_timer_s()))

    def close(self) -> None:
        """Unplug the cable."""
        self._closed = True

    def _pass_time(self) -> None:
        """Let the stub catch up with the clock, including a stall of this program."""
        self._board.advance(self._clock.now_s())
        while (stall_s := self._board.take_host_stall_s()) > 0.0:
            self._clock.stall_s(stall_s)
            self._board.advance(self._clock.now_s())
        self._check_open()

    def _check_open(self) -> None:
        if self._closed or not self._board.is_plugged or self._board.plugs != self._plugs:
            raise BoardNotFound("virtual board is unplugged or closed. Open it again.")


class VirtualBench:
    """Virtual clock, cable and stub board. It is also the `TrueStage` of what it moves."""

    def __init__(
        self, config: StubConfig | None = None, faults: Faults | None = None, runs_firmware: bool = False
    ) -> None:
        """`config`: None for the stage of the paper. `faults`: None for no faults.

        `runs_firmware`: the firmware, compiled for this machine, in place of the stub's own board.
        Raises BoardNotFound where the firmware cannot be built.
        """
        self.config = StubConfig() if config is None else config
        self.clock = VirtualClock()
        make = FirmwareBoard if runs_firmware else StubBoard
        self.stub: WiredBoard = make(self.config, self.clock.now_s(), boot_id=self.config.seed + 1)
        self.faulty = FaultyStub(self.stub, Faults() if faults is None else faults)
        self.transport = self.open_transport()

    def open_transport(self) -> VirtualTransport:
        """Open the port. Raises BoardNotFound while the board is unplugged."""
        self.transport = VirtualTransport(self.clock, self.faulty, self.config.round_trip_s)
        return self.transport

    def open_board(self, config: BoardConfig | None = None) -> Board:
        """Open the board over a new cable; nothing moves."""
        config = BoardConfig() if config is None else config
        return Board.open(self.open_transport(), self.clock, config, self.open_transport)

    def true_um(self, time_s: float) -> tuple[float, float, float]:
        """True x, y, z at `time_s`, um. Raises ValueError for a time before the history or after now."""
        self.faulty.advance(self.clock.now_s())
        return self.stub.true_um(time_s)

    def lamp_duty(self, time_s: float) -> float:
        """Duty of the lamp at `time_s`, 0..1. Raises ValueError as `true_um` does."""
        self.faulty.advance(self.clock.now_s())
        return self.stub.lamp_duty(time_s)

    def light(self, begin_s: float, end_s: float) -> tuple[tuple[float, float], ...]:
        """Duty of the lamp from `begin_s` to `end_s`: pairs of time, s, and duty from then on, 0..1."""
        self.faulty.advance(self.clock.now_s())
        return self.stub.machine.light(begin_s, end_s)

    def triggers_s(self, after_s: float) -> tuple[float, ...]:
        """Times of the camera triggers after `after_s`."""
        self.faulty.advance(self.clock.now_s())
        return self.stub.machine.triggers_s(after_s)
