"""How close `parfocal calibrate stage --fastest` comes to what motors can do, whose torque it does not know.

`python -m tests.bench.fastest [SEEDS]` prints a table in Markdown. Each seed draws mechanics as `tests.bench.stage`,
and the share of its stated pull-out line that each motor truly reaches. Everything is in virtual time.
"""

import contextlib
import sys
from collections.abc import Iterator

import msgspec
import numpy as np

from parfocal.calib.motion.fastest import MARGIN
from parfocal.edge.calibrate.curves import Curves
from parfocal.edge.calibrate.motion.fastest import Fastest
from tests.bench.play import drawn
from tests.bench.stage import CONFIG, Hidden, hidden, instrument_of, rendered

LEAST_SHARE = 0.7  # of the true limit, or of what the board allows


def weakened(seed: int) -> Hidden:
    """Mechanics whose motors reach 0.45 to 1.3 of what their board states."""
    truth, rng = hidden(seed), np.random.default_rng([seed, 47])
    axes = {
        name: msgspec.structs.replace(getattr(truth.stub, name), torque_share=float(rng.uniform(0.45, 1.3)))
        for name in ("x", "y")
    }
    return truth._replace(stub=msgspec.structs.replace(truth.stub, **axes))


def limits(truth: Hidden, name: str) -> tuple[float, float]:
    """What the motor of an axis truly holds, and what its board allows, as shares of the configured pair."""
    axis, config = getattr(truth.stub, name), CONFIG.board.axis(name)
    scale = axis.um_per_step / config.um_per_step
    line = scale * (
        config.speed_um_per_s / axis.stall_speed_um_per_s
        + config.accel_um_per_s2 / axis.stall_accel_um_per_s2
    )
    return axis.torque_share / line, 1.0 / line


def rows(seeds: range) -> Iterator[str]:
    """A line for each axis of each seed."""
    yield "| axis | true limit | the board allows | found | of the lower of the two | trials, lost steps in | s |"
    yield "|---|---|---|---|---|---|---|"
    for seed in seeds:
        truth = weakened(seed)
        instrument = instrument_of(truth, rendered(drawn(seed), truth, seed))
        board, clock, scan = instrument.board, instrument.clock, CONFIG.scan
        with contextlib.closing(board):
            curves = Curves(instrument, CONFIG.focus, lambda _words: None)
            configured = {
                name: (
                    getattr(CONFIG.board, name).speed_um_per_s,
                    getattr(CONFIG.board, name).accel_um_per_s2,
                )
                for name in ("x", "y")
            }
            trying = {
                name: Fastest(board.axes[name], instrument, pair, curves, lambda _words: None)
                for name, pair in configured.items()
            }
            board.home()
            board.lamp(scan.lamp_duty)
            instrument.go_to(scan.origin_x_um, scan.origin_y_um)
            focus_um = curves.focus_um()
            for name, one in trying.items():
                began_s = clock.now_s()
                fit = one.measure(focus_um)
                true_share, allowed = limits(truth, name)
                lowest = min(true_share, allowed)
                is_good = LEAST_SHARE * lowest <= fit.share <= MARGIN * lowest * 1.001
                lost = sum(trial.lost_um is not None and not trial.has_held for trial in one.trials)
                yield (
                    f"| {seed} {name} | {true_share:.2f} | {allowed:.2f} | {fit.share:.2f} | {fit.share / lowest:.2f}"
                    f"{'' if is_good else ' WRONG'} | {len(one.trials)}, {lost} | {clock.now_s() - began_s:.0f} |"
                )


def main() -> int:
    """Print the table."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    for line in rows(range(1, seeds + 1)):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
