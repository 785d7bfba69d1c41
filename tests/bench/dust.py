"""What dust on the camera's window does to `parfocal calibrate optics`.

`python -m tests.bench.dust [ROWS]` takes four stacks of one slide as the command does it, without and with specks that
it does not know, and prints a table in Markdown: the dust that it found, and gain, offset and error on held-out stacks
with it evened out and with it left in. Rows are those of `tests.bench.optics`.
"""

import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from parfocal.calib.errors import CalibPoor
from parfocal.calib.models.levels import StackSeen, fit_line, judged
from parfocal.calib.models.optics import MIN_STACKS
from parfocal.calib.store import Owner, Store
from parfocal.edge.calibrate.keeper import Stamp
from parfocal.edge.calibrate.optics.dust import Dust
from parfocal.edge.calibrate.optics.model_view import seen_by
from parfocal.edge.calibrate.optics.run import FIELDS_PER_STACK, Models, OpticsCalibration
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.plan import snake
from tests.bench.optics import FOCUS, PX, ROWS, SEED, Foreign, opened, slides, with_frames

N_STACKS = 4
SPECKS = (0, 5, 15, 30)
SEEDS = (1, 2)


def light_of(n: int, seed: int) -> NDArray[np.float32]:
    """What `n` specks of 2 to 7 px radius let through, at most 85 % and at least 40 %; (PX, PX)."""
    rng, light = np.random.default_rng([seed, 77]), np.ones((PX, PX), np.float32)
    rows, columns = np.mgrid[:PX, :PX]
    for _ in range(n):
        x_px, y_px = rng.uniform(10.0, PX - 10.0, 2)
        apart_px = np.hypot(columns - x_px, rows - y_px)
        edge = np.clip((apart_px - rng.uniform(2.0, 7.0)) / rng.uniform(0.5, 1.5), -30.0, 30.0)
        light *= 1.0 - rng.uniform(0.15, 0.6) / (1.0 + np.exp(edge))
    return light


class Dusty(Foreign):
    """An instrument with dust on the camera's window."""

    light: NDArray[np.float32] | None = None

    def shot(self, x_um: float, y_um: float, above_um: float, light: float = 1.0) -> UInt8Array:
        """A frame through the dust."""
        pixels = super().shot(x_um, y_um, above_um, light)
        if self.light is None:
            return pixels
        return np.asarray(np.clip(np.rint(pixels * self.light[..., None]), 0, 255), np.uint8)


class Seen(NamedTuple):
    """What a calibration was given: its stacks as the model sees them, the dust evened out, and why it is refused."""

    stacks: tuple[StackSeen, ...]
    dust: Dust | None
    refused: str | None


def taken(row: str, light: NDArray[np.float32] | None, seed: int, folder: Path) -> Seen:
    """Stacks as the command takes them."""
    config = with_frames(PX)
    foreign = Dusty(row, slides()[0], SEED + seed, config)
    foreign.light = light
    models = Models(opened(FOCUS.model, "optics"))
    stamp = Stamp(datetime(2026, 11, 27, tzinfo=timezone.utc), "bench")
    store = Store(folder, Owner(1, FOCUS.objective))
    running = OpticsCalibration(foreign.instrument(SEED + seed), config, store, stamp, models)
    places = [(field.x_um, field.y_um) for field in snake(FIELDS_PER_STACK * N_STACKS, config)]
    running.take(places, N_STACKS, lambda _words: None)
    refused = None
    try:
        results = running.fit()
    except CalibPoor as error:
        refused = str(error).split(". ")[0]
        return Seen(seen_by(models.two_shot.kept, models.two_shot.predictor), None, refused)
    return Seen(seen_by(models.two_shot.kept, models.two_shot.predictor), results.dust, None)


def cells(row: str, n: int, seed: int, folder: Path) -> tuple[str, ...]:
    """A row of the table."""
    light = light_of(n, seed) if n else None
    seen = taken(row, light, seed, folder / f"{row}-{n}-{seed}".replace(" ", "-"))
    found = seen.dust
    told = "none" if found is None else f"{100.0 * found.covered_share:.1f} %, {found.least_light:.2f}"
    covered = 0.0 if light is None else float((light < 0.97).mean())
    least = 1.0 if light is None else float(light.min())
    if seen.refused is not None or len(seen.stacks) < MIN_STACKS:
        return (
            row,
            str(seed),
            str(n),
            f"{100.0 * covered:.1f} %, {least:.2f}",
            told,
            f"refused: {seen.refused}",
        )
    line, error_um = fit_line(seen.stacks), judged("line", seen.stacks, fit_line).error_um
    fitted = f"{line.gain:.3f}, {line.offset_um:+.2f} um, {error_um:.2f} um"
    return (row, str(seed), str(n), f"{100.0 * covered:.1f} %, {least:.2f}", told, fitted)


def main() -> int:
    """Print the rows that the command line names, or two."""
    asked = sys.argv[1:] or ["reference", "condenser 0.30"]
    if unknown := set(asked) - set(ROWS):
        print(f"no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}", file=sys.stderr)  # noqa: T201
        return 2
    heads = (
        "optics",
        "seed",
        "specks",
        "dust: covered, least light",
        "found",
        "gain, offset, held-out error",
    )
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")  # noqa: T201
    with tempfile.TemporaryDirectory() as folder:
        for row in asked:
            for seed in SEEDS:
                for n in SPECKS:
                    print(f"| {' | '.join(cells(row, n, seed, Path(folder)))} |", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
