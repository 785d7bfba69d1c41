"""The firmware in place of the stub's own board focuses the same."""

import pytest

from parfocal.board.stub import virtual_bench
from parfocal.board.stub.firmware.firmware_board import FirmwareBoard
from parfocal.edge.config import Config
from tests.edge.scope import FOCUS_Z_UM, Scope, small


def focused_um() -> tuple[float, float]:
    """Height of one focused field, and the true height of the stage there."""
    scope = Scope(small(Config()))
    result = scope.focuser().focus(FOCUS_Z_UM + 6.0)
    assert result.outcome == "focused"
    scope.board.close()
    return scope.board.z.position_um, scope.true_z_um()


@pytest.mark.usefixtures("firmware")
def test_a_field_is_focused_at_the_same_height_through_the_firmware(monkeypatch: pytest.MonkeyPatch) -> None:
    z_um, true_um = focused_um()
    monkeypatch.setattr(virtual_bench, "StubBoard", FirmwareBoard)
    through_firmware_um = focused_um()
    assert through_firmware_um[0] == z_um
    assert through_firmware_um[1] == pytest.approx(true_um, abs=0.01)
