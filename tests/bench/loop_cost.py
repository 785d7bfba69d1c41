"""What a focus costs on this machine, beside the microscope's own time, and whether memory grows.

`python -m tests.bench.loop_cost [FOCUSES] [REPLAYED] [MODEL]` prints p50 and p95 of what the default strategy takes for
preparing, checking, inference, decision and command, over FOCUSES focuses of drawn frames of 1224 x 1024 px (default
40): per image, from a fresh frame to the command that follows from it (or to the result, for the last one), and per
focus, the sum over its images. Then the resident memory over REPLAYED focuses (default 10000): their frames were drawn
before, and what the engines compute for a batch that they have seen is recorded and played back, as inference would
take most of the time. Drawing, the virtual board and waiting are not counted. Prepare, predictor, decision and link are
those of the product.
"""

import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.board.axis import Axis
from parfocal.board.stub.virtual_bench import VirtualBench, VirtualTransport
from parfocal.edge.config import Config, FocusConfig
from parfocal.edge.engine import opened_engine
from parfocal.edge.focus import field_work, shots
from parfocal.edge.focus.focuser import Focuser
from parfocal.edge.focus.picture import part, prepare, sharpness
from parfocal.edge.focus.result import FocusLost
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.bench import sample_image
from parfocal.edge.simscope.camera import SimulatedCamera
from parfocal.edge.simscope.optics import Optics
from parfocal.edge.simscope.scene import Scene
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide
from parfocal.engines.cpu.openvino import cpu_and_precisions
from parfocal.engines.model.contract import Contract
from parfocal.engines.predictor import Predictor
from parfocal.engines.runner import Runner
from tests.bench.focus_stand import starts

FOCUS_Z_UM = 2500.0
PLACE_UM = (700.0, 700.0)
REACH_UM = 8.0  # of the starts
LADDER_UM = 0.5  # between the frames that are replayed
LADDER_REACH_UM = 14.0
WARM_UP = 3
OUTSIDE = "outside"  # drawing and the virtual board
REST = "decision"
PHASES = ("prepare", "checks of the picture", "inference", REST, "command")
# What is timed: where a name is looked up, and the phase that its own time counts for.
TIMED: tuple[tuple[Any, str, str], ...] = (
    (shots, "frame_after", OUTSIDE),
    (VirtualTransport, "write", OUTSIDE),
    (VirtualTransport, "read", OUTSIDE),
    (part.CentralPart, "__init__", "prepare"),
    (prepare, "smoothed", "prepare"),
    (prepare, "planes_of", "prepare"),
    (prepare, "contrasts_of", "prepare"),
    (prepare, "two_shot_batch", "prepare"),
    (prepare, "single_shot_batch", "prepare"),
    (part, "halved_grey", "prepare"),
    (sharpness, "laplacian", "prepare"),
    (field_work, "exposure_fault", "checks of the picture"),
    (field_work, "is_frozen", "checks of the picture"),
    (field_work, "doubt_about_pair", "checks of the picture"),
    (Predictor, "predict", "inference"),
    (Axis, "approach_up", "command"),
    (Axis, "move_to", "command"),
)


Seconds = NDArray[np.float64]  # of the wall clock and of the processor, (2,)


def _now_s() -> tuple[float, float]:
    """Return the wall clock, and the processor time of this process, which other load hardly changes."""
    return time.perf_counter(), time.process_time()


def clocks_s() -> Seconds:
    """Return both clocks, (2,)."""
    return np.array(_now_s())


class Stopwatch:
    """Sums the time of each phase, and the processor time. A phase inside another one stops that one's time."""

    def __init__(self) -> None:
        self._spent_s: dict[str, list[float]] = {}
        self._phases = [REST]
        self._since_s = _now_s()
        self.images: list[dict[str, Seconds]] = []  # the first is what came before the first frame

    def begin(self, name: str) -> None:
        """Count what follows for `name`."""
        self._switch()
        self._phases.append(name)

    def end(self) -> None:
        """Count what follows for what was counted before the last `begin`."""
        self._switch()
        self._phases.pop()

    def lap(self) -> list[dict[str, Seconds]]:
        """Return the sums of each image since the last lap, and of what came before the first."""
        self.next_image()
        images, self.images = self.images, []
        return images

    def next_image(self) -> None:
        """What follows belongs to another image."""
        self._switch()
        image: dict[str, Seconds] = defaultdict(lambda: np.zeros(2))
        image.update((name, np.array(spent_s)) for name, spent_s in self._spent_s.items())
        self.images.append(image)
        self._spent_s = {}
        self._since_s = _now_s()

    def _switch(self) -> None:
        # Plain numbers, and read once more at the end: what this takes itself counts for nothing.
        (wall_s, processor_s), (since_s, since_processor_s) = _now_s(), self._since_s
        spent_s = self._spent_s.setdefault(self._phases[-1], [0.0, 0.0])
        spent_s[0] += wall_s - since_s
        spent_s[1] += processor_s - since_processor_s
        self._since_s = _now_s()


@contextmanager
def timed(watch: Stopwatch) -> Iterator[None]:
    """Let the functions of `TIMED` count their time."""
    before = [
        (owner, name, getattr(owner, name)) for owner, name, _ in (*TIMED, (Microscope, "_render", OUTSIDE))
    ]

    def wrapped(function: Callable[..., Any], name: str, phase: str) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:  # noqa: ANN401 (whatever the function takes)
            watch.begin(phase)
            try:
                found = function(*given, **named)
            finally:
                watch.end()
            if name == "frame_after":
                watch.next_image()
            return found

        return counted

    for owner, name, phase in (*TIMED, (Microscope, "_render", OUTSIDE)):
        setattr(owner, name, wrapped(getattr(owner, name), name, phase))
    try:
        yield
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)


class Recorded:
    """A runner that plays back what the engine computed for the same batch before."""

    def __init__(self, runner: Runner) -> None:
        """Nothing is recorded yet."""
        self._runner = runner
        self._outputs: dict[int, NDArray[np.float32]] = {}

    @property
    def contract(self) -> Contract:
        """That of the engine."""
        return self._runner.contract

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """As the engine; a batch is known again by some of its pixels."""
        key = hash(batch[:, :, ::37, ::41].tobytes())
        if key not in self._outputs:
            self._outputs[key] = self._runner.infer(batch)
        return self._outputs[key]


def recorded(predictor: Predictor) -> Predictor:
    """The same predictor with an engine that computes each batch once."""
    return Predictor(Recorded(predictor.runner), predictor.head, predictor.condenser)


class Microscope:
    """A homed, lit virtual microscope over one field, in focus at `FOCUS_Z_UM`, with 20 um of play."""

    def __init__(self, config: Config, predictor: Predictor, single: Predictor | None, replays: bool) -> None:
        """`replays`: show frames that are drawn now, at whole steps of a ladder, and none anew."""
        self.bench = VirtualBench()
        self.board = self.bench.open_board(config.board)
        self.board.home()
        self.board.lamp(config.scan.lamp_duty)
        slide = VirtualSlide(SlideImage(sample_image(), 0.5), config.camera.um_per_px, 1, blank_share=0.0)
        optics = Optics(um_per_px=config.camera.um_per_px)
        self._scene = Scene(slide, optics, (config.camera.height_px, config.camera.width_px), 1)
        self._kept: dict[int, UInt8Array] = {}
        if replays:
            steps = round(LADDER_REACH_UM / LADDER_UM)
            self._kept = {k: self._drawn(k * LADDER_UM) for k in range(-steps, steps + 1)}
        self._shown = 0
        camera = SimulatedCamera(self.bench, self.bench.clock, config.camera, self._render)
        self.focuser = Focuser(self.board.z, camera, predictor, config.focus, single)

    def focus(self, start_um: float) -> bool:
        """Focus from `start_um` above the focus. Return whether it was found within 1 um."""
        try:
            result = self.focuser.focus(FOCUS_Z_UM + start_um)
        except FocusLost:
            return False
        return abs(result.z_um - FOCUS_Z_UM) <= 1.0

    def _drawn(self, above_um: float) -> UInt8Array:
        shot: UInt8Array = self._scene.shot(*PLACE_UM, above_um, 1.0)
        return shot

    def _render(self, _x_um: float, _y_um: float, z_um: float, _duty: float) -> UInt8Array:
        if not self._kept:
            return self._drawn(z_um - FOCUS_Z_UM)
        step = round((z_um - FOCUS_Z_UM) / LADDER_UM)
        frame: UInt8Array = self._kept[min(max(step, min(self._kept)), max(self._kept))].copy()
        self._shown += 1
        frame[0, 0] = self._shown % 251  # no two frames of a camera are the same
        return frame


def costs(
    config: Config, predictor: Predictor, single: Predictor | None, n: int
) -> tuple[list[list[dict[str, Seconds]]], int]:
    """Return the time of each phase of each image of each focus, and how many ended within 1 um."""
    watch, laps, good = Stopwatch(), [], 0
    with timed(watch):
        scope = Microscope(config, predictor, single, replays=False)
        for number, start_um in enumerate(starts(1, n + WARM_UP, 1.0, REACH_UM)):
            watch.lap()
            good += scope.focus(start_um) and number >= WARM_UP
            if number >= WARM_UP:
                laps.append(watch.lap())
    return laps, good


def table_of(laps: list[dict[str, Seconds]], each: str) -> str:
    """Return the cost of each phase in ms per `each`."""
    columns = {phase: np.stack([lap[phase] for lap in laps]) for phase in PHASES}
    columns["all of these"] = np.sum(list(columns.values()), axis=0)
    columns["beyond prepare and inference"] = (
        columns[REST] + columns["command"] + columns["checks of the picture"]
    )
    rows = [row_of(name, spent_s) for name, spent_s in columns.items()]
    return "\n".join([f"| ms per {each} | p50 | p95 | p50 of processor time |", "|---|---|---|---|", *rows])


def _sum(lap: list[dict[str, Seconds]]) -> dict[str, Seconds]:
    """What a focus took: the sum over its images and what came before the first."""
    total: dict[str, Seconds] = defaultdict(lambda: np.zeros(2))
    for image in lap:
        for phase, spent_s in image.items():
            total[phase] = total[phase] + spent_s
    return total


def row_of(name: str, spent_s: Seconds) -> str:
    """Return one row of a table from the clocks of n measurements, (n, 2)."""
    p50, p50_of_processor = np.percentile(spent_s, 50, axis=0) * 1e3
    return f"| {name} | {p50:.2f} | {np.percentile(spent_s[:, 0], 95) * 1e3:.2f} | {p50_of_processor:.2f} |"


def prepared(n: int, config: Config) -> Seconds:
    """Return the time of preparing one pair of fresh frames for the network, (n, 2)."""
    rng = np.random.default_rng(1)
    size = (config.camera.height_px, config.camera.width_px, 3)
    first, second = (rng.integers(0, 256, size, dtype=np.uint8) for _ in range(2))
    spent_s = []
    for _ in range(n):
        began_s = clocks_s()
        one, other = (part.CentralPart(frame, config.focus) for frame in (first, second))
        prepare.two_shot_batch(one.planes, other.planes, other.patch_px, with_second=True)
        _ = other.contrasts
        spent_s.append(clocks_s() - began_s)
    return np.stack(spent_s)


def resident_mb() -> float:
    """Return the resident memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def memory(scope: Microscope, n: int) -> Iterator[str]:
    """Focus `n` times on replayed frames. Yield the resident memory on the way, as lines of a table."""
    yield "| focuses | resident memory, MB |\n|---|---|"
    good, began_s = 0, time.perf_counter()
    for number, start_um in enumerate(starts(2, n, 1.0, REACH_UM), start=1):
        good += scope.focus(start_um)
        if number % max(1, n // 10) == 0 or number == max(1, n // 100):
            yield f"| {number} | {resident_mb():.1f} |"
    yield f"\n{good} of {n} ended within 1 um, {time.perf_counter() - began_s:.0f} s"


def main() -> None:
    """Run the command line."""
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    names = [word for word in sys.argv[1:] if not word.isdigit()]
    n, n_replayed = (numbers + [40, 10_000][len(numbers) :])[:2]
    focus = FocusConfig(model=names[0]) if names else FocusConfig()
    config = msgspec.structs.replace(Config(), focus=focus)
    predictor = opened_engine(focus).predictor
    print(f"{cpu_and_precisions()[0]}; {predictor.contract.name}; frames of 1224 x 1024 px\n")  # noqa: T201
    single = opened_engine(FocusConfig(model=focus.single_model)).predictor if focus.single_model else None
    laps, good = costs(config, predictor, single, n)
    print(table_of([image for lap in laps for image in lap[1:]], "image"), "\n")  # noqa: T201
    print(table_of([_sum(lap) for lap in laps], "focus"))  # noqa: T201
    print(f"{np.mean([len(lap) - 1 for lap in laps]):.1f} images a focus\n")  # noqa: T201
    print(row_of("preparing one pair of shots", prepared(200, config)))  # noqa: T201
    print(f"\n{good} of {n} ended within 1 um\n", flush=True)  # noqa: T201
    if n_replayed:
        played = None if single is None else recorded(single)
        for line in memory(Microscope(config, recorded(predictor), played, replays=True), n_replayed):
            print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
