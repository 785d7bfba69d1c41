"""Lines of text over a cable: whole lines only, and what was heard where nothing made sense."""

from __future__ import annotations

from parfocal.board.clock import VirtualClock
from parfocal.board.foreign.lines import Lines


class Chunks:
    """A transport that gives these bytes, one chunk a read."""

    def __init__(self, clock: VirtualClock, *chunks: bytes) -> None:
        self._clock, self._chunks = clock, list(chunks)

    def write(self, data: bytes) -> None:
        raise NotImplementedError

    def read(self, timeout_s: float) -> bytes:
        if self._chunks:
            return self._chunks.pop(0)
        self._clock.sleep_s(timeout_s)
        return b""

    def close(self) -> None:
        pass


def heard(*chunks: bytes) -> tuple[list[str], str]:
    clock = VirtualClock()
    lines = Lines(Chunks(clock, *chunks), clock)
    found = []
    while (line := lines.next(lines.after_s(5.0))) is not None:
        found.append(line)
    return found, lines.heard(5.0)


def test_a_line_is_whole_or_not_there() -> None:
    assert heard(b"o", b"k\r\n<Idle", b"|MPos")[0] == ["ok"]
    assert heard(b"\r\n\r\nok\n\rok\r")[0] == ["ok", "ok"]


def test_a_damaged_line_is_no_other_line() -> None:
    assert heard(b"o\xffk\r\n")[0] == ["o\ufffdk"]


def test_a_device_that_never_ends_a_line_is_cut() -> None:
    assert [len(line) for line in heard(*[b"x" * 400] * 4)[0]] == [800, 800]


def test_what_was_heard_is_told() -> None:
    assert heard()[1] == "nothing for 5 s"
    assert heard(b"\r\nGrbl 1.1h ['$' for help]\r\n")[1] == "text: Grbl 1.1h ['$' for help]"
    assert heard(bytes(range(128, 228)) * 4, b"0123456789ab")[1] == "412 bytes, none of them a line of text"
