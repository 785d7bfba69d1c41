"""Probing asks a board who it is and changes nothing."""

from __future__ import annotations

import pytest

from parfocal.board.errors import LinkTimeout, ProtocolMismatch
from parfocal.board.link.probe import Probed, probe
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.wire import layout
from parfocal.board.wire.messages import AxisBit, Fault, Opcode
from tests.board.inside import add_faults, faults
from tests.board.link.listening import Listening

pytestmark = pytest.mark.usefixtures("far_side")

EVERY_AXIS = AxisBit.X | AxisBit.Y | AxisBit.Z


def test_probing_sends_hello_and_state_only() -> None:
    bench = VirtualBench()
    cable = Listening(bench.transport)
    probed = probe(cable, bench.clock)
    assert probed == Probed(1, 1, 1, EVERY_AXIS, AxisBit(0), Fault(0), max_steps=(60000, 20000, 16000))
    assert [packet.opcode for packet in cable.sent] == [Opcode.HELLO, Opcode.STATE]
    assert cable.closed


def test_probing_leaves_faults_lamp_and_motions_alone() -> None:
    bench = VirtualBench()
    board = bench.open_board()
    board.home(("z",))
    board.lamp(0.5)
    machine = bench.stub.machine
    add_faults(bench.stub, Fault.STUCK_SWITCH)
    probed = probe(bench.open_transport(), bench.clock)
    assert (probed.homed, probed.faults) == (AxisBit.Z, Fault.STUCK_SWITCH)
    assert bench.lamp_duty(bench.clock.now_s()) == 0.5
    assert faults(bench.stub) == Fault.STUCK_SWITCH
    assert machine.motions_begun == 1


def test_another_message_table_is_a_mismatch(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = VirtualBench()
    true_hash = layout.schema_hash()
    hashes = iter([true_hash ^ 1])  # for the host, once; the board keeps the true one
    monkeypatch.setattr(layout, "schema_hash", lambda: next(hashes, true_hash))
    cable = Listening(bench.transport)
    with pytest.raises(ProtocolMismatch, match="nothing moved"):
        probe(cable, bench.clock)
    assert cable.closed


def test_no_answer_is_a_link_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = VirtualBench()
    monkeypatch.setattr(bench.stub, "receive", lambda *_: None)
    with pytest.raises(LinkTimeout, match="did not answer HELLO in 5 s: heard nothing"):
        probe(Listening(bench.transport), bench.clock)
