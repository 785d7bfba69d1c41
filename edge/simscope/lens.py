"""A simulated tunable lens: at the simulated board, or at a stub of Optotune's driver."""

import contextlib
from collections.abc import Iterator

from parfocal.board.clock import VirtualClock
from parfocal.board.config import LensConfig
from parfocal.board.lens import Lens
from parfocal.board.motor_board import MotorBoard
from parfocal.board.stub.foreign.text_bench import TextBench
from parfocal.board.stub.optics.driver4_stub import Driver4Stub
from parfocal.board.stub.optics.tunable_lens import TunableLens, TunableLensConfig
from parfocal.board.stub.stage.true_stage import TrueStage
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.tunable.opened import opened_lens


class LensedStage:
    """The stage as the camera sees it through the lens: higher by what the lens adds."""

    def __init__(self, stage: TrueStage, lens: TunableLens, clock: VirtualClock) -> None:
        """`stage` is below the lens."""
        self._stage, self._lens, self._clock = stage, lens, clock

    def true_um(self, time_s: float) -> tuple[float, float, float]:
        """True x and y, and the height that gives this picture, um. Raises ValueError as the stage does."""
        x_um, y_um, z_um = self._stage.true_um(time_s)
        return x_um, y_um, z_um + self._lens.um_at(time_s, self._clock.now_s())

    def lamp_duty(self, time_s: float) -> float:
        """Duty of the lamp at `time_s`, 0..1."""
        return self._stage.lamp_duty(time_s)


@contextlib.contextmanager
def simulated_lens(
    config: LensConfig,
    true: TunableLensConfig,
    bench: VirtualBench | TextBench,
    board: MotorBoard,
    stage: TrueStage,
) -> Iterator[tuple[Lens | None, TrueStage]]:
    """The configured lens, opened, and the stage seen through it; without a lens, the stage as it is.

    `true`: what the lens does. Raises as `opened_lens`.
    """
    if config.kind == "none":
        yield None, stage
        return
    membrane = TunableLens(true, bench.clock.now_s())
    driver = Driver4Stub(bench.clock, membrane.set_ma)
    if config.kind == "board" and isinstance(bench, VirtualBench):
        bench.stub.machine.watch_lens(lambda time_s, current_ua: membrane.set_ma(time_s, current_ua / 1000.0))
    with opened_lens(config, board, bench.clock, driver) as lens:
        yield lens, LensedStage(stage, membrane, bench.clock)
