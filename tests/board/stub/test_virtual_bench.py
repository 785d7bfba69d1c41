"""The cable between a program and the stub, in virtual time."""

import math

import pytest

from parfocal.board.clock import VirtualClock
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import Kind
from parfocal.board.wire.packet import Packet, encode


def moments_that_round_down(round_trip_s: float) -> list[float]:
    """Moments, s, at which `moment + round trip - round trip` is before the moment: at 128, 256 and 512 s."""
    found = list[float]()
    for power_s in (128.0, 256.0, 512.0):
        sent_s = power_s
        for _ in range(200):
            sent_s = math.nextafter(sent_s, 0.0)
            if (sent_s + round_trip_s) - round_trip_s < sent_s:
                found.append(sent_s)
    return found


def test_an_answer_arrives_at_every_moment_however_it_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan stood still at 128 s: the clock was where the answer arrives, and the answer was not taken."""
    n_turns, advance_to = 0, VirtualClock.advance_to

    def counted(clock: VirtualClock, time_s: float) -> None:
        nonlocal n_turns
        n_turns += 1
        assert n_turns < 1000, f"virtual time stands still at {clock.now_s()!r} s"
        advance_to(clock, time_s)

    monkeypatch.setattr(VirtualClock, "advance_to", counted)
    request = messages.Hello(1, layout.schema_hash(), 1, 1)
    hello = encode(Packet(Kind.REQUEST, layout.opcode_of(request), 0, 1, 0, layout.pack(request)))
    round_trip_s = VirtualBench().config.round_trip_s
    moments_s = moments_that_round_down(round_trip_s)
    assert len(moments_s) > 3
    for sent_s in moments_s:
        bench = VirtualBench()
        bench.clock.advance_to(sent_s)
        assert bench.clock.now_s() == sent_s
        n_turns = 0
        bench.transport.write(hello)
        assert bench.transport.read(1.0)
        assert bench.clock.now_s() == sent_s + round_trip_s
