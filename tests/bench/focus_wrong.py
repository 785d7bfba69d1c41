"""Does any field end focused and wrong? Two-shot and controller, from afar, on microscopes that were not calibrated.

`python -m tests.bench.focus_wrong [STRATEGY ...] [--condenser SHARE ...] [--seeds N]` prints a table in Markdown: a row
for each strategy and condenser (aperture of the condenser over that of the objective; the models are made for 0.6, and
are not told). Every slide is one run of starts in a mixed order, so the controller has its history. Errors are
against the plane of least wavefront variance at the reference, else against the sharpest plane of the field. With
`--each` every field is printed.
"""

import argparse
import sys
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np

from parfocal.edge.config import FocusConfig
from parfocal.edge.engine import opened_engine
from parfocal.edge.focus.focuser import Focuser
from parfocal.edge.focus.proof import Proof
from parfocal.edge.focus.result import FocusLost, FocusResult
from parfocal.edge.simscope.optics import Optics
from parfocal.engines.predictor import Predictor
from tests.bench.focus_stand import CONFIG, PLACES_UM, SIDE_OF_SINGLE_PX, Stand, slides

STARTS_UM = (-25, -20, -15, -12, -9, -5, -2, -1, 0, 1, 2, 5, 9, 12, 15, 20, 25)
REFERENCE = 0.6
WRONG_UM = 1.0
HEAD = (
    "| strategy | condenser | fields | focused | recovered | blank, lost | focused and wrong | within 1 um | mean um "
    "| largest um | images | s |\n" + "|---" * 12 + "|"
)


class Field(NamedTuple):
    """One field: where it began above its focus, how it ended, and the true error."""

    slide: str
    start_um: float
    result: FocusResult
    seconds: float
    error_um: float

    @property
    def is_wrong(self) -> bool:
        return self.result.outcome == "focused" and abs(self.error_um) > WRONG_UM


def fields(
    strategy: str,
    condenser: float,
    seed: int,
    predictors: tuple[Predictor, Predictor],
    names: list[str],
    starts_um: list[float],
) -> Iterator[Field]:
    """All starts on each of the slides. `predictors`: of two shots, and of one."""
    pair, single = predictors
    for number, (name, slide) in enumerate(slides().items()):
        if name not in names:
            continue
        optics = Optics(um_per_px=CONFIG.camera.um_per_px, condenser_sigma=condenser)
        stand = Stand(slide, 20.0, seed + number, SIDE_OF_SINGLE_PX, optics=optics)
        config = msgspec.structs.replace(stand.config.focus, strategy=strategy)
        focuser = Focuser(
            stand.axis, stand, pair, config, single if strategy == "controller" else None, Proof()
        )
        for k, start_um in enumerate(np.random.default_rng([seed, number]).permutation(starts_um).tolist()):
            stand.at(PLACES_UM[k % len(PLACES_UM)], start_um)
            results: list[FocusResult] = []
            cost = stand.cost_of(lambda stand, f=focuser, r=results: _focused(stand, f, r), start_um)  # type: ignore[misc]
            plane_um = 0.0 if condenser == REFERENCE else stand.sharpest_um()
            yield Field(name, start_um, results[0], cost.seconds, cost.error_um - plane_um)


def _focused(stand: Stand, focuser: Focuser, results: list[FocusResult]) -> tuple[int, str]:
    try:
        result = focuser.focus(stand.axis.position_um)
    except FocusLost as lost:
        if lost.result is None:
            raise
        result = lost.result
    results.append(result)
    return result.images, result.outcome


def described(field: Field) -> str:
    """A line about one field."""
    steps = ", ".join(f"{a.rule} {a.distance_um:+.2f} {a.doubt or ''}".strip() for a in field.result.attempts)
    return (
        f"{'WRONG ' if field.is_wrong else ''}{field.slide} {field.start_um:+.0f} um: {field.result.outcome}, "
        f"{field.error_um:+.2f} um, {field.result.images} images ({steps})"
    )


def main() -> int:
    """Run what was asked for and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("strategies", nargs="*", default=["two-shot", "controller"])
    parser.add_argument("--condenser", type=float, nargs="+", default=[REFERENCE, 0.30, 0.45, 0.75, 0.90])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--slides", nargs="+", default=list(slides()))
    parser.add_argument("--starts", type=float, nargs="+", default=STARTS_UM)
    parser.add_argument("--each", action="store_true")
    asked = parser.parse_args()
    models = CONFIG.focus, FocusConfig(model="single-20x")
    predictors = opened_engine(models[0]).predictor, opened_engine(models[1]).predictor
    print(HEAD)  # noqa: T201
    for condenser in asked.condenser:
        for strategy in asked.strategies:
            done = []
            for seed in range(1, asked.seeds + 1):
                for field in fields(strategy, condenser, seed, predictors, asked.slides, asked.starts):
                    done.append(field)
                    if asked.each or field.is_wrong:
                        print(described(field), file=sys.stderr, flush=True)  # noqa: T201
            print(row(strategy, condenser, done), flush=True)  # noqa: T201
    return 0


def row(strategy: str, condenser: float, done: list[Field]) -> str:
    """A row of the table."""
    outcomes = [field.result.outcome for field in done]
    ended = [f for f in done if f.result.outcome in ("focused", "recovered")]
    errors_um = np.abs([f.error_um for f in ended])
    cells = (
        strategy,
        f"{condenser:.2f}",
        str(len(done)),
        str(outcomes.count("focused")),
        str(outcomes.count("recovered")),
        f"{outcomes.count('blank')}, {outcomes.count('lost')}",
        str(sum(field.is_wrong for field in done)),
        f"{np.mean(errors_um <= WRONG_UM):.0%}",
        f"{errors_um.mean():.2f}",
        f"{errors_um.max():.2f}",
        f"{np.mean([field.result.images for field in done]):.1f}",
        f"{np.mean([field.seconds for field in done]):.2f}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
