"""How well `parfocal calibrate lens` measures a tunable lens that it does not know.

`python -m tests.bench.lens [SEEDS]` prints a table in Markdown. Each seed draws a lens: slope and sign, how it bends,
hysteresis, how it swings, warms up and drifts. The optics are those of the play's bench: drawn tissue with noise, a
field tilted by 0.6 um, an error of the screw, a stage that drifts. Everything is in virtual time.
"""

import contextlib
import math
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import numpy as np

from parfocal.board.config import LensConfig
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.optics.tunable_lens import TunableLensConfig, drawn_lens
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.calib.errors import CalibPoor
from parfocal.calib.lens.table import LensTable
from parfocal.calib.store import Calibration, Owner, Store
from parfocal.edge.calibrate.keeper import Stamp
from parfocal.edge.calibrate.lens import LensCalibration
from parfocal.edge.calibrate.lens_settling import CHANGE_UM
from parfocal.edge.calibrate.motion.settling import LIMIT_Z_UM
from parfocal.edge.config import Config
from parfocal.edge.instrument import Instrument
from parfocal.edge.simscope.camera import Render, SimulatedCamera
from parfocal.edge.simscope.lens import simulated_lens
from tests.bench.play import CONFIG as PLAY_CONFIG
from tests.bench.play import DRIFT_TAU_S, DRIFT_UM, scene_of, tilted

LIMIT_UM = 0.3
CONFIG = msgspec.structs.replace(PLAY_CONFIG, lens=LensConfig(kind="optotune"))
STAMP = Stamp(datetime(2026, 11, 27, tzinfo=timezone.utc), "0.1.0")


@contextlib.contextmanager
def instrument_with(
    true: TunableLensConfig, render: Render, config: Config, seed: int, drift_um: float = 0.0
) -> Iterator[Instrument]:
    """An instrument with this lens, not homed yet. The Z stage drifts by `drift_um` in the end."""
    stub = StubConfig(seed=seed)
    z = msgspec.structs.replace(stub.z, lead_error_um=0.3, drift_um=drift_um, drift_tau_s=DRIFT_TAU_S)
    bench = VirtualBench(msgspec.structs.replace(stub, z=z))
    with (
        bench.open_board(config.board) as board,
        simulated_lens(config.lens, true, bench, board, bench) as (lens, seen),
    ):
        camera = SimulatedCamera(seen, bench.clock, config.camera, render)
        yield Instrument(board, camera, bench.clock, may_home=True, lens=lens)


def measured(instrument: Instrument, config: Config, store: Store) -> Calibration:
    """What is in force after a calibration. Raises CalibPoor."""
    if instrument.lens is None:
        raise ValueError("this instrument has no lens")
    LensCalibration(instrument, instrument.lens, config, store, STAMP, lambda _words: None).run()
    return store.load()


def error_um(table: LensTable, true: TunableLensConfig) -> float:
    """How far the curve is off at most, um, on the flank on which heights rise, against no current on that flank."""
    half_ma = np.sign(true.um_per_ma) * true.hysteresis_ma / 2.0
    rest_um = true.height_um(-half_ma)
    return max(
        abs(found_um - (true.height_um(ma - half_ma) - rest_um))
        for ma, found_um in zip(table.currents_ma, table.heights_um, strict=True)
    )


def true_play_um(true: TunableLensConfig, low_ma: float, high_ma: float) -> float:
    """The widest part of the hysteresis loop, um."""
    half_ma = true.hysteresis_ma / 2.0
    return max(
        abs(true.height_um(ma + half_ma) - true.height_um(ma - half_ma))
        for ma in np.linspace(low_ma, high_ma, 49)
    )


def true_settle_s(true: TunableLensConfig) -> float:
    """How long a swing of `CHANGE_UM` takes to stay within `LIMIT_Z_UM`, by its envelope."""
    return true.settle_tau_s * math.log(CHANGE_UM / LIMIT_Z_UM)


def rows(seeds: range) -> Iterator[str]:
    """A line for each lens."""
    yield (
        "| lens | um per mA | hysteresis um: true | measured | curve: largest error um | +- um | settle ms: true | "
        "measured |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    held = 0
    for seed in seeds:
        true = drawn_lens(seed)
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder), Owner(1, "20x/0.75"))
            with instrument_with(true, tilted(scene_of(seed)), CONFIG, seed, DRIFT_UM) as instrument:
                found = measured(instrument, CONFIG, store)
        table, error, play = found.lens, found.lens_error_um, found.lens_play_um
        settle = found.lens_settle_s
        if table is None or error is None or play is None or settle is None:
            raise ValueError("nothing was kept")
        off_um = error_um(table, true)
        held += off_um <= error.uncertainty
        true_um = true_play_um(true, CONFIG.lens.min_ma, CONFIG.lens.max_ma)
        yield (
            f"| {seed} | {true.um_per_ma:+.3f} | {true_um:.2f} | {play.value:.2f} +- {play.uncertainty:.2f} | "
            f"{off_um:.2f}{'' if off_um <= LIMIT_UM else ' TOO MUCH'} | {error.uncertainty:.2f} | "
            f"{1e3 * true_settle_s(true):.0f} | {1e3 * settle.value:.0f} +- {1e3 * settle.uncertainty:.0f} |"
        )
    yield f"\nThe interval holds the largest error of {held} of {len(seeds)} lenses.\n"
    for name, true in poor_lenses().items():
        yield f"- {name}: {refusal(true)}"


def poor_lenses() -> dict[str, TunableLensConfig]:
    """Lenses that must be refused."""
    return {
        "not plugged in": TunableLensConfig(um_per_ma=1e-4),
        "saturated at 70 mA": TunableLensConfig(flat_ma=70.0),
        "turns back": TunableLensConfig(bend=-0.75, cube=0.0),
    }


def refusal(true: TunableLensConfig) -> str:
    """Why this lens is refused."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), Owner(1, "20x/0.75"))
        try:
            with instrument_with(true, tilted(scene_of(1)), CONFIG, 1) as instrument:
                measured(instrument, CONFIG, store)
        except CalibPoor as error:
            return str(error).replace(folder, "...")
    return "NOT REFUSED"


def main() -> int:
    """Print the table."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    for line in rows(range(1, seeds + 1)):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
