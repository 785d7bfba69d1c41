"""What a stub knows of the motion under way."""

from __future__ import annotations

from dataclasses import dataclass

from parfocal.board.wire.messages import AxisBit, MoveResult


@dataclass
class MotionUnderWay:
    """It is computed to its end when it begins, unless it is stopped."""

    move_id: int
    axes: AxisBit
    result: MoveResult
    homing_axis: int | None = None
    spread_steps: int = 0
    switch_s: float = float("inf")  # when an axis runs onto a switch

    def note_switch(self, switch_s: float) -> None:
        """An axis runs onto a switch then, unless it is infinity."""
        if switch_s < float("inf"):
            self.result, self.switch_s = MoveResult.LIMIT_SWITCH, min(self.switch_s, switch_s)
