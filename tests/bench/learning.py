"""What a run learns of the gain of the two-shot model, and what its shots could tell, on the virtual microscope.

`python -m tests.bench.learning [SLIDE ...] [--strategy NAME ...] [--starts near far] [--drift SHARE] [--fields N]`
prints a table in Markdown. Starts are "near" (standard deviation 1 um, as of neighbouring fields) or "far" (evenly
within 6 um). With `--drift 0.08` the model comes to say distances that are 8 % too short, evenly over the run.

"learned" is the gain at the end of the run, "farthest" how far it was from the right one at most. The slopes are those
of the way to the focus on the predicted distance, over all pairs of the run within the range of the model, with their
standard errors: by the true focus, and by the end of the field corrected by a single shot taken there. A run that
learned from single shots would know the second one; nothing can be known beyond the first.

"way gone" are slopes of another kind: of the way that the stage went from the first pair of a field to its end, on what
that pair said, drift included; in the first and in the last third of the run. With `--drift 0.08` the second should be
0.05 above the first.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np

from parfocal.edge.config import FocusConfig
from parfocal.edge.engine import opened_engine
from parfocal.edge.focus.focuser import Focuser
from parfocal.edge.focus.judging.estimate import estimate_single
from parfocal.edge.focus.judging.proof import CALIBRATED
from parfocal.edge.focus.judging.rule import BELIEVED_SHARE
from parfocal.edge.focus.result import FocusLost, FocusResult
from parfocal.edge.scan.learner import Learner
from parfocal.engines.predictor import Predictor
from tests.bench.focus_stand import CONFIG, SIDE_OF_SINGLE_PX, Conditions, Stand, slides

HEADS = (
    "strategy",
    "slide",
    "starts",
    "fields",
    "with a pair",
    "learned",
    "farthest",
    "slope",
    "by single shots",
    "way gone: first third",
    "last third",
)
SEED = 3


class Told(msgspec.Struct, frozen=True):
    """What one pair predicted, and the way to the focus from its second shot: true, and by a single shot at the end."""

    predicted_um: float
    true_um: float
    single_um: float


class Gone(msgspec.Struct, frozen=True):
    """What the first pair of a field said, and how far the stage went from its second shot to the end."""

    said_um: float
    gone_um: float


class Run(msgspec.Struct, frozen=True):
    """What a run learned. `n_with_pair`: fields that took a pair of shots. `farthest`: from the right gain, at most.

    `gone`: a third of the run each.
    """

    n_with_pair: int
    learned: float
    farthest: float
    told: tuple[Told, ...]
    gone: tuple[tuple[Gone, ...], ...]


def run_of(
    stand: Stand,
    pair: Predictor,
    single: Predictor,
    strategy: str,
    starts_um: list[float],
    drift: float,
) -> Run:
    """Focus field after field, and learn as a session does."""
    config = msgspec.structs.replace(stand.config.focus, strategy=strategy)
    by_one = single if strategy == "controller" else None
    focuser = Focuser(stand.axis, stand, pair, config, by_one, CALIBRATED)
    learner, learned = Learner(pair, -stand.sharpest_um()), pair
    rng = np.random.default_rng([SEED, 61])
    told: list[Told] = []
    gone: tuple[list[Gone], ...] = ([], [], [])
    n_with_pair, farthest = 0, 0.0
    for k, start_um in enumerate(starts_um):
        right = 1.0 + drift * k / len(starts_um)
        now = learned.correction
        focuser.use(learned.corrected(replace(now, gain=now.gain / right, offset_um=now.offset_um / right)))
        x_um, y_um = rng.uniform(500.0, 7000.0, 2).tolist()
        stand.at((x_um, y_um), start_um)
        result = _focused(focuser, stand)
        found = _told(result, stand, single)
        n_with_pair += bool(found)
        gone[3 * k // len(starts_um)].extend(_gone(result))
        # Slopes are those of the model as it is, without drift and without what was learned.
        share = now.gain / right
        told += [msgspec.structs.replace(one, predicted_um=one.predicted_um / share) for one in found]
        learned = learner.seen(result) or learned
        farthest = max(farthest, abs(learner.learning.gain - right))
    return Run(n_with_pair, learner.learning.gain, farthest, tuple(told), tuple(map(tuple, gone)))


def _focused(focuser: Focuser, stand: Stand) -> FocusResult:
    try:
        return focuser.focus(stand.axis.position_um)
    except FocusLost as lost:
        if lost.result is None:
            raise
        return lost.result


def _told(result: FocusResult, stand: Stand, single: Predictor) -> list[Told]:
    if result.outcome != "focused" or result.end is None:
        return []
    end = result.end
    left_um = estimate_single(end.pixels, single, stand.config.focus).distance_um
    most_um = BELIEVED_SHARE * single.contract.range_um
    return [
        Told(one.distance_um, stand.focus_z_um - one.z2_um, end.z_um + left_um - one.z2_um)
        for one in result.attempts
        if one.z2_um > one.z1_um and abs(one.distance_um) <= most_um
    ]


def _gone(result: FocusResult) -> list[Gone]:
    """From the first pair of a field that was focused; none without one."""
    pairs = [one for one in result.attempts if one.z2_um > one.z1_um]
    if result.outcome != "focused" or not pairs or abs(pairs[0].distance_um) > BELIEVED_SHARE * 10.0:
        return []
    return [Gone(pairs[0].distance_um, result.z_um - pairs[0].z2_um)]


def slope(said_um: Sequence[float], way_um: Sequence[float]) -> str:
    """The slope of the way on what was said, with its standard error."""
    if len(said_um) < 4:
        return "-"
    line, covariance = np.polyfit(said_um, way_um, 1, cov=True)
    return f"{line[0]:.2f} +- {covariance[0, 0] ** 0.5:.2f}"


def starts_of(kind: str, n: int) -> list[float]:
    """Where the fields of a run begin above their focus, um."""
    rng = np.random.default_rng([SEED, 62])
    drawn: list[float] = (rng.normal(0.0, 1.0, n) if kind == "near" else rng.uniform(-6.0, 6.0, n)).tolist()
    return drawn


def main() -> int:
    """Run what was asked for, and print a row for each run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("slides", nargs="*", default=["H&E", "bacteria"])
    parser.add_argument("--strategy", nargs="+", default=["controller", "two-shot"])
    parser.add_argument("--starts", nargs="+", default=["near", "far"])
    parser.add_argument("--drift", type=float, default=0.0)
    parser.add_argument("--fields", type=int, default=60)
    asked = parser.parse_args()
    pair, single = (
        opened_engine(focus).predictor for focus in (CONFIG.focus, FocusConfig(model="single-20x"))
    )
    print(f"| {' | '.join(HEADS)} |\n{'|---' * len(HEADS)}|")  # noqa: T201
    for slide in asked.slides:
        for strategy in asked.strategy:
            for starts in asked.starts:
                stand = Stand(slides()[slide], Conditions(), SEED, SIDE_OF_SINGLE_PX)
                run = run_of(stand, pair, single, strategy, starts_of(starts, asked.fields), asked.drift)
                cells = (
                    strategy,
                    slide,
                    starts,
                    str(asked.fields),
                    str(run.n_with_pair),
                    f"{run.learned:.3f}",
                    f"{run.farthest:.3f}",
                    slope([one.predicted_um for one in run.told], [one.true_um for one in run.told]),
                    slope([one.predicted_um for one in run.told], [one.single_um for one in run.told]),
                    *(
                        slope([one.said_um for one in third], [one.gone_um for one in third])
                        for third in (run.gone[0], run.gone[-1])
                    ),
                )
                print(f"| {' | '.join(cells)} |", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
