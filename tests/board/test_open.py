"""The configuration names the kind of a board, and the board states its capabilities."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from parfocal.board.clock import VirtualClock
from parfocal.board.config import BOARD_KINDS, PORT_KINDS, BoardConfig
from parfocal.board.errors import BoardNotFound, MoveRefused
from parfocal.board.open import open_board, probe_board
from parfocal.board.own.board import Board
from parfocal.board.stub.stub_board import StubBoard
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.wire import messages
from parfocal.board.wire.messages import Feature, Opcode
from tests.board.link.listening import Listening


def test_an_unknown_kind_of_board_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match="^kind = 'grlb': the known kinds of board are 'parfocal', 'grbl', 'sangaboard'"
    ):
        BoardConfig(kind="grlb")
    with pytest.raises(
        msgspec.ValidationError,
        match="kind = 'grlb': the known kinds of board are 'parfocal', 'grbl', 'sangaboard'",
    ):
        msgspec.toml.decode('kind = "grlb"\n', type=BoardConfig)


@pytest.mark.parametrize("kind", BOARD_KINDS)
def test_every_known_kind_of_board_can_be_opened_and_probed(kind: str, tmp_path: Path) -> None:
    none = str(tmp_path / "ttyNone")
    config = BoardConfig(kind=kind, port=none, micromanager=none if kind not in PORT_KINDS else "")
    missing = "ttyNone not opened: no such file" if kind in PORT_KINDS else "there is no .*ttyNone"
    for opened in (open_board, probe_board):
        with pytest.raises(BoardNotFound, match=missing):
            opened(config, VirtualClock())


def test_a_board_says_what_it_can_do() -> None:
    with VirtualBench().open_board() as board:
        can = board.capabilities
        assert (can.has_lamp, can.has_strobe, can.has_homing) == (True, True, True)
        assert (can.has_watchdog, can.has_idempotent_moves, can.has_checksum) == (True, True, True)


def give_features(monkeypatch: pytest.MonkeyPatch, features: Feature) -> None:
    """Make every stub state these features only."""
    answer = StubBoard._hello_reply

    def plain(stub: StubBoard, nonce: int) -> messages.HelloReply:
        return msgspec.structs.replace(answer(stub, nonce), features=features)

    monkeypatch.setattr(StubBoard, "_hello_reply", plain)


def test_a_board_without_lamp_and_strobe_is_asked_for_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    give_features(monkeypatch, Feature.LIMIT_SWITCHES)
    bench = VirtualBench()
    cable = Listening(bench.transport)
    with Board.open(cable, bench.clock, BoardConfig()) as board:
        assert (board.capabilities.has_lamp, board.capabilities.has_strobe) == (False, False)
        assert board.capabilities.has_homing
    assert not {Opcode.LAMP, Opcode.STROBE} & {Opcode(packet.opcode) for packet in cable.sent}


def test_a_board_without_limit_switches_is_not_homed(monkeypatch: pytest.MonkeyPatch) -> None:
    give_features(monkeypatch, Feature.LAMP | Feature.STROBE)
    bench = VirtualBench()
    with bench.open_board() as board:
        assert not board.capabilities.has_homing
        with pytest.raises(
            MoveRefused, match="homing of z refused: this axis cannot be homed; nothing moved"
        ):
            board.home()
    assert bench.stub.machine.motions_begun == 0


def test_axes_are_found_by_name() -> None:
    with VirtualBench().open_board() as board:
        assert list(board.axes) == ["x", "y", "z"]
        assert (board.axes["x"], board.axes["y"], board.axes["z"]) == (board.x, board.y, board.z)
        assert [axis.name for axis in board.axes.values()] == ["x", "y", "z"]
