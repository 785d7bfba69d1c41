"""A sample that drifts under the microscope: the camera sees it leave the focus while the stage stands still."""

from collections.abc import Callable

from parfocal.board.stub.stage.true_stage import TrueStage


class DriftingStage:
    """The true stage as the sample sees it: a focus that rises by some um is a stage that lies as much lower."""

    def __init__(self, stage: TrueStage, began_s: float, risen_um: Callable[[float], float]) -> None:
        """`risen_um(time_s)`: how far the focus has risen by `time_s`, s since `began_s` of the stage's clock."""
        self._stage, self._began_s, self._risen_um = stage, began_s, risen_um

    def true_um(self, time_s: float) -> tuple[float, float, float]:
        """True position, z above where the focus was at the beginning, um."""
        x_um, y_um, z_um = self._stage.true_um(time_s)
        return x_um, y_um, z_um - self._risen_um(max(0.0, time_s - self._began_s))

    def lamp_duty(self, time_s: float) -> float:
        """The lamp of the stage."""
        return self._stage.lamp_duty(time_s)
