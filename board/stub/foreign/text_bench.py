"""A foreign board in virtual time: clock, cable and board in one object."""

from __future__ import annotations

from parfocal.board.clock import VirtualClock
from parfocal.board.config import BoardConfig, unknown_kind
from parfocal.board.errors import BoardNotFound
from parfocal.board.foreign.board import ForeignBoard
from parfocal.board.foreign.memory import NoFile
from parfocal.board.open import open_foreign
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.foreign.grbl_stub import GrblStub
from parfocal.board.stub.foreign.sangaboard_stub import SangaboardStub
from parfocal.board.stub.foreign.text_stub import TextStub


class TextCable:
    """A `Transport` to a stub. Waiting for bytes lets virtual time pass."""

    def __init__(self, clock: VirtualClock, stub: TextStub, round_trip_s: float) -> None:
        """Raises BoardNotFound while the board is unplugged."""
        self._clock, self._stub, self._round_trip_s = clock, stub, round_trip_s
        self._plugs, self._is_closed = stub.plugs, False
        self._pass_time()

    def write(self, data: bytes) -> None:
        """Send bytes. They arrive at once; the answer takes the whole round trip."""
        self._pass_time()
        self._stub.receive(data, self._clock.now_s())

    def read(self, timeout_s: float) -> bytes:
        """What has arrived, or b"" after `timeout_s` of virtual time."""
        deadline_s = self._clock.now_s() + timeout_s
        while True:
            self._pass_time()
            now_s = self._clock.now_s()
            if arrived := self._stub.take_output(now_s - self._round_trip_s + 1e-9):
                return b"".join(arrived)
            if now_s >= deadline_s:
                return b""
            arrives_s = self._stub.next_output_s() + self._round_trip_s
            due_s = self._stub.due_s()
            self._clock.advance_to(min(deadline_s, arrives_s, due_s, self._clock.next_timer_s()))

    def close(self) -> None:
        """Unplug the cable."""
        self._is_closed = True

    def _pass_time(self) -> None:
        self._stub.advance(self._clock.now_s())
        if self._is_closed or not self._stub.is_plugged or self._stub.plugs != self._plugs:
            raise BoardNotFound("virtual board is unplugged or closed. Open it again.")


def text_stub(config: StubConfig, board: BoardConfig, now_s: float, clock_speed: float = 1.0) -> TextStub:
    """A stub of the kind that `board` names. Raises ValueError for a kind that does not speak text."""
    match board.kind:
        case "grbl":
            return GrblStub(config, now_s, board, clock_speed)
        case "sangaboard":
            return SangaboardStub(config, now_s, board, clock_speed)
        case unknown:
            raise unknown_kind(unknown)


class TextBench:
    """Virtual clock, cable and a foreign board. It is also the `TrueStage` of what it moves."""

    def __init__(self, board: BoardConfig, config: StubConfig | None = None) -> None:
        """`board.kind` chooses the stub. `config`: None for the stage of the paper."""
        self.config = StubConfig() if config is None else config
        self.board_config = board
        self.clock = VirtualClock()
        self.memory = NoFile()
        self.stub = text_stub(self.config, board, self.clock.now_s())

    def cable(self) -> TextCable:
        """Open the port. Raises BoardNotFound while the board is unplugged."""
        return TextCable(self.clock, self.stub, self.config.round_trip_s)

    def open_board(self, config: BoardConfig | None = None) -> ForeignBoard:
        """Open the board over a new cable; nothing moves. `config`: None for the one that it was made with."""
        board_config = self.board_config if config is None else config
        return open_foreign(self.cable(), self.clock, board_config, self.memory, self.config.unit_serial)

    def true_um(self, time_s: float) -> tuple[float, float, float]:
        """True x, y, z at `time_s`, um. Raises ValueError for a time before the history or after now."""
        self.stub.advance(self.clock.now_s())
        return self.stub.true_um(time_s)

    def lamp_duty(self, time_s: float) -> float:
        """Duty of the lamp at `time_s`, 0..1. Raises ValueError as `true_um` does."""
        self.stub.advance(self.clock.now_s())
        return self.stub.lamp_duty(time_s)
