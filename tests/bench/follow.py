"""Follow mode on a drifting virtual slide: how much of the time is the sample within a depth of field?

`python -m tests.bench.follow [SECONDS] [perfect] [model]` prints a table. A prediction takes `PREDICT_S` of the
microscope's time. The "perfect" rows follow with predictions that are right, and so show what moves, settling and the
dips through the play allow; their pictures are not drawn, so no alarm can ring. The rows of the lens focus with a
tunable lens while the Z motor stands still, for no longer than its reach allows.
"""

import sys
from collections.abc import Callable
from contextlib import ExitStack

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.board.config import LensConfig
from parfocal.board.lens import LensCurve
from parfocal.board.motor_board import MotorBoard
from parfocal.board.stub.optics.tunable_lens import drawn_lens
from parfocal.board.stub.stage.true_stage import TrueStage
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.tunable.lens_board import LensBoard
from parfocal.board.tunable.lens_motor import LensMount
from parfocal.edge.config import Config
from parfocal.edge.engine import checked_single_engine
from parfocal.edge.focus.following.follower import Follower
from parfocal.edge.focus.judging.depth import depth_of_field_um
from parfocal.edge.simscope.bench import sample_from, sample_image, stub_of
from parfocal.edge.simscope.camera import SimulatedCamera
from parfocal.edge.simscope.drift import DriftingStage
from parfocal.edge.simscope.lens import simulated_lens
from parfocal.engines.model.contract import Contract
from parfocal.engines.predictor import Predictor
from parfocal.engines.runner import Runner
from tests.contracts import single_contract

PREDICT_S = 0.025  # for one patch of 672 px on the CPU of a PC
LOOKED_EVERY_S = 0.005
SEED = 1
PLAY_UM = 20.0


def config_with(play_um: float, side_px: int) -> Config:
    """The default instrument with a frame for one patch, and another play of Z."""
    base = Config()
    camera = msgspec.structs.replace(base.camera, width_px=side_px, height_px=side_px)
    z = msgspec.structs.replace(base.board.z, play_um=play_um)
    return msgspec.structs.replace(base, camera=camera, board=msgspec.structs.replace(base.board, z=z))


class Timed:
    """A runner whose predictions take time on the bench's clock: the model's, or without one the truth."""

    def __init__(
        self, bench: VirtualBench, runner: Runner | None, true_distance_um: Callable[[], float]
    ) -> None:
        self._bench, self._runner, self._true_distance_um = bench, runner, true_distance_um

    @property
    def contract(self) -> Contract:
        return single_contract(patch_px=32) if self._runner is None else self._runner.contract

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        found = (
            np.full((len(batch), 1), self._true_distance_um(), np.float32)
            if self._runner is None
            else self._runner.infer(batch)
        )
        self._bench.clock.sleep_s(PREDICT_S)
        return found


def steps_um(time_s: float) -> float:
    """5 um every 10 s, up and down in turn."""
    return 5.0 * (int(time_s / 10.0) % 2)


DRIFTS: dict[str, Callable[[float], float]] = {
    "still": lambda _time_s: 0.0,
    "1 um/s up": lambda time_s: time_s,
    "1 um/s down": lambda time_s: -time_s,
    "0.1 um/s down": lambda time_s: -0.1 * time_s,
    "steps of 5 um": steps_um,
}
# Also with a drive that has no play, as a piezo has none, and with a lens.
WITHOUT_PLAY = ("1 um/s down", "steps of 5 um")
WITH_LENS = ("1 um/s up", "1 um/s down", "steps of 5 um")
LENS_S = 25.0  # at 1 um/s: its reach
LENS_SETTLE_S = 0.025  # liao2021 3.1


def lens_board(bench: VirtualBench, under: MotorBoard, stack: ExitStack) -> tuple[MotorBoard, TrueStage]:
    """A board that focuses with a simulated lens about where the Z motor stands, and the stage seen through it."""
    true = drawn_lens(SEED)
    lens, seen = stack.enter_context(
        simulated_lens(LensConfig(kind="optotune", port="simulated"), true, bench, under, bench)
    )
    assert lens is not None
    currents_ma = np.linspace(-100.0, 100.0, 41)
    table = sorted((true.height_um(ma) - true.height_um(0.0), ma) for ma in currents_ma.tolist())
    curve = LensCurve(tuple(ma for _, ma in table), tuple(height_um for height_um, _ in table))
    play_um = abs(true.um_per_ma) * true.hysteresis_ma + 0.5
    mount = LensMount(under.z.position_um, play_um, LENS_SETTLE_S)
    return LensBoard(under, lens, curve, mount, bench.clock), seen


def row(
    name: str, play_um: float, single: Predictor | None, seconds: float, *, with_lens: bool = False
) -> str:
    """Follow one drift; one line of the table."""
    with ExitStack() as stack:
        return _row(name, play_um, single, seconds, stack if with_lens else None)


def _row(
    name: str, play_um: float, single: Predictor | None, seconds: float, with_lens: ExitStack | None
) -> str:
    config = config_with(play_um, 448 if single is None else 672)
    sample = sample_from(None, None, config, SEED)
    bench = VirtualBench(stub_of(config, SEED))
    board: MotorBoard = bench.open_board(config.board)
    board.home()
    board.lamp(config.scan.lamp_duty)
    board.x.approach_up(config.scan.origin_x_um)
    bench.clock.sleep_s(board.y.approach_up(config.scan.origin_y_um) - bench.clock.now_s() + 0.2)
    x_um, y_um, _ = bench.true_um(bench.clock.now_s())
    focus_um = sample.focus_z_um(x_um, y_um)
    bench.clock.sleep_s(board.z.approach_up(focus_um) - bench.clock.now_s())
    seen: TrueStage = bench
    if with_lens is not None:
        board, seen = lens_board(bench, board, with_lens)
        bench.clock.sleep_s(board.z.approach_up(focus_um) - bench.clock.now_s())
    began_s = bench.clock.now_s()
    stage = DriftingStage(seen, began_s, DRIFTS[name])
    undrawn = sample_image()[:448, :448]
    render = sample.render if single is not None else lambda _x_um, _y_um, _z_um, _duty: undrawn
    camera = SimulatedCamera(stage, bench.clock, config.camera, render)
    predictor = Predictor(
        Timed(
            bench,
            None if single is None else single.runner,
            lambda: focus_um - stage.true_um(bench.clock.now_s())[2],
        ),
        None if single is None else single.head,
        None if single is None else single.condenser,
    )
    errors_um: list[float] = []

    def look() -> None:
        errors_um.append(stage.true_um(bench.clock.now_s())[2] - focus_um)
        bench.clock.call_at(bench.clock.now_s() + LOOKED_EVERY_S, look)

    look()
    follower = Follower(board.z, camera, bench.clock, predictor, config.focus, 1)
    events = [event for event in follower.run(seconds) if event is not None]
    depth_um = depth_of_field_um(config.focus.objective)
    error_um = np.abs(np.array(errors_um))
    counts = {kind: sum(event.kind == kind for event in events) for kind in ("up", "down", "found", "held")}
    cells = [
        name,
        f"{play_um:g}" if with_lens is None else f"lens, {board.z.overshoot_um:.1f}",
        "perfect" if single is None else predictor.contract.name,
        f"{100.0 * (error_um <= depth_um).mean():.1f} %",
        f"{100.0 * (error_um <= depth_um / 2.0).mean():.1f} %",
        f"{np.median(error_um):.2f}",
        f"{follower.frames / seconds:.1f}",
        f"{counts['up']}, {counts['down']}",
        f"{counts['found']}, {counts['held']}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Print the table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 40.0
    asked = [word for word in sys.argv[2:] if word in ("perfect", "model")] or ["perfect", "model"]
    drifts = [name for name in DRIFTS if name in sys.argv[2:]] or list(DRIFTS)
    print(  # noqa: T201
        "| sample | play um | predictions | within a depth of field | within half | median um | frames a s "
        "| moves up, down | alarms found, held |\n|---|---|---|---|---|---|---|---|---|"
    )
    models = {
        "perfect": None,
        "model": checked_single_engine(config_with(PLAY_UM, 672)).predictor if "model" in asked else None,
    }
    for kind in asked:
        for name in drifts:
            print(row(name, PLAY_UM, models[kind], seconds), flush=True)  # noqa: T201
        for name in (one for one in WITHOUT_PLAY if one in drifts):
            print(row(name, 0.0, models[kind], seconds), flush=True)  # noqa: T201
        for name in (one for one in WITH_LENS if one in drifts):
            lens_s = min(seconds, LENS_S)
            print(row(name, PLAY_UM, models[kind], lens_s, with_lens=True), flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
