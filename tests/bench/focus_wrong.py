"""Does any field end focused and wrong? Two-shot and controller, from afar, on microscopes that were not calibrated.

`python -m tests.bench.focus_wrong [STRATEGY ...] [--condenser SHARE ...] [--colours SHARE] [--objective NAME]
[--seeds N] [--textures]` prints two tables in Markdown: by strategy and condenser (aperture of the condenser over that
of the objective; the models are made for 0.6, and are not told), and by start. Every slide is one run of starts in a
mixed order, so the controller has its history. Errors are against the plane of least wavefront variance at the
reference, else against the sharpest plane of the field. "Within" and "wrong" count from about a depth of field on.

Each slide that is done is kept in `build/bench/focus-wrong.jsonl`, and is not run again: delete the file to begin anew.
`--textures` adds two to the seven slides. With `--each` every field is printed.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from parfocal.edge.config import FocusConfig
from parfocal.edge.engine import opened_engine
from parfocal.edge.focus.focuser import Focuser
from parfocal.edge.focus.judging.depth import depth_scale
from parfocal.edge.focus.judging.proof import Proof
from parfocal.edge.focus.result import FocusLost, FocusResult
from parfocal.edge.objectives import FOCUS_OF
from parfocal.engines.predictor import Predictor
from tests.bench.focus_stand import PLACES_UM, SIDE_OF_SINGLE_PX, Conditions, Stand, slides, textures

STARTS_UM = (-25.0, -20.0, -15.0, -12.0, -9.0, -5.0, -2.0, 0.0, 2.0, 5.0, 9.0, 12.0, 15.0, 20.0, 25.0)
REFERENCE = 0.6
WRONG_UM = 1.0  # through 20x/0.75; through another objective as many depths of field
HEADS = (
    "fields",
    "focused",
    "recovered",
    "blank, lost",
    "focused and wrong",
    "within",
    "mean um",
    "largest um",
    "images",
    "s",
)


class Case(msgspec.Struct, frozen=True):
    """One run of starts on one slide. `condenser`: share of the aperture; `colours`: share of the colour shift."""

    strategy: str
    condenser: float
    seed: int
    slide: str
    colours: float = 1.0
    objective: str = "20x/0.75"


class Field(msgspec.Struct, frozen=True):
    """One field: where it began above its focus, how it ended, and the true error. `steps`: rules and distances.

    `wrong_um`: a larger error is wrong.
    """

    start_um: float
    outcome: str
    images: int
    seconds: float
    error_um: float
    steps: str
    wrong_um: float = WRONG_UM

    @property
    def is_wrong(self) -> bool:
        """Whether it ended focused, and is not."""
        return self.outcome == "focused" and abs(self.error_um) > self.wrong_um


class Done(msgspec.Struct, frozen=True):
    """A case and its fields: one line of the file."""

    case: Case
    fields: tuple[Field, ...]


def fields(case: Case, pair: Predictor, single: Predictor, starts_um: list[float]) -> Iterator[Field]:
    """All starts on one slide, in a mixed order."""
    named = textures()
    number = list(named).index(case.slide)
    conditions = Conditions(condenser=case.condenser, colours=case.colours, objective=case.objective)
    stand = Stand(named[case.slide], conditions, case.seed + number, SIDE_OF_SINGLE_PX)
    config = msgspec.structs.replace(stand.config.focus, strategy=case.strategy)
    focuser = Focuser(
        stand.axis, stand, pair, config, single if case.strategy == "controller" else None, Proof()
    )
    order = np.random.default_rng([case.seed, number]).permutation(starts_um).tolist()
    for k, start_um in enumerate(order):
        stand.at(PLACES_UM[k % len(PLACES_UM)], start_um)
        results: list[FocusResult] = []
        cost = stand.cost_of(lambda stand, r=results: _focused(stand, focuser, r), start_um)  # type: ignore[misc]
        plane_um = 0.0 if case.condenser == REFERENCE else stand.sharpest_um()
        result = results[0]
        steps = [f"{a.rule} {a.distance_um:+.2f} {a.doubt or ''}".strip() for a in result.attempts]
        yield Field(
            start_um,
            result.outcome,
            result.images,
            cost.seconds,
            cost.error_um - plane_um,
            ", ".join([*steps, *([result.reason] if result.reason else [])]),
            WRONG_UM * depth_scale(case.objective),
        )


def _focused(stand: Stand, focuser: Focuser, results: list[FocusResult]) -> tuple[int, str]:
    try:
        result = focuser.focus(stand.axis.position_um)
    except FocusLost as lost:
        if lost.result is None:
            raise
        result = lost.result
    results.append(result)
    return result.images, result.outcome


def described(slide: str, field: Field) -> str:
    """A line about one field."""
    return (
        f"{'WRONG ' if field.is_wrong else ''}{slide} {field.start_um:+.0f} um: {field.outcome}, "
        f"{field.error_um:+.2f} um, {field.images} images ({field.steps})"
    )


def main() -> int:
    """Run what was asked for and is not yet done, and print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("strategies", nargs="*", default=["two-shot", "controller"])
    parser.add_argument("--condenser", type=float, nargs="+", default=[REFERENCE, 0.30, 0.45, 0.75, 0.90])
    parser.add_argument("--colours", type=float, default=1.0, help="share of the colour shift; -1 mirrors it")
    parser.add_argument("--objective", choices=tuple(FOCUS_OF), default=FocusConfig().objective)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--slides", nargs="+")
    parser.add_argument("--textures", action="store_true")
    parser.add_argument("--starts", type=float, nargs="+", default=STARTS_UM)
    parser.add_argument("--each", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("build/bench/focus-wrong.jsonl"))
    asked = parser.parse_args()
    cases = [
        Case(strategy, condenser, seed, slide, asked.colours, asked.objective)
        for condenser in asked.condenser
        for strategy in asked.strategies
        for seed in range(1, asked.seeds + 1)
        for slide in asked.slides or (textures() if asked.textures else slides())
    ]
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    done = done_in(asked.out, asked.starts)
    ships = msgspec.structs.replace(FocusConfig(), **FOCUS_OF[asked.objective])
    pair, single = (
        opened_engine(FocusConfig(model=name)).predictor for name in (ships.model, ships.single_model)
    )
    for case in cases:
        if case not in done:
            done[case] = tuple(fields(case, pair, single, asked.starts))
            with asked.out.open("ab") as file:
                file.write(msgspec.json.encode(Done(case, done[case])) + b"\n")
        for field in done[case]:
            if asked.each or field.is_wrong:
                print(described(case.slide, field), file=sys.stderr, flush=True)  # noqa: T201
    print_tables(cases, done)
    return 0


def done_in(path: Path, starts_um: list[float]) -> dict[Case, tuple[Field, ...]]:
    """The cases of a file that were run with these starts."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    kept = [msgspec.json.decode(line, type=Done) for line in lines]
    return {one.case: one.fields for one in kept if {f.start_um for f in one.fields} == set(starts_um)}


def print_tables(cases: list[Case], done: dict[Case, tuple[Field, ...]]) -> None:
    """By strategy and condenser, and by start where nothing else differs."""
    kinds = {(case.strategy, case.condenser): None for case in cases}
    print(_head("strategy", "condenser"))  # noqa: T201
    for strategy, condenser in kinds:
        together = [f for c in cases if (c.strategy, c.condenser) == (strategy, condenser) for f in done[c]]
        print(row(together, strategy, f"{condenser:.2f}"))  # noqa: T201
    for strategy, condenser in kinds:
        together = [f for c in cases if (c.strategy, c.condenser) == (strategy, condenser) for f in done[c]]
        print(f"\n{strategy}, condenser {condenser:.2f}\n\n{_head('start um')}")  # noqa: T201
        for start_um in sorted({field.start_um for field in together}):
            print(row([f for f in together if f.start_um == start_um], f"{start_um:+.0f}"))  # noqa: T201


def _head(*names: str) -> str:
    return f"| {' | '.join((*names, *HEADS))} |\n" + "|---" * (len(names) + len(HEADS)) + "|"


def row(done: list[Field], *names: str) -> str:
    """A row of a table."""
    outcomes = [field.outcome for field in done]
    ended = [f for f in done if f.outcome in ("focused", "recovered")]
    errors_um, wrong_um = np.abs([f.error_um for f in ended]), np.array([f.wrong_um for f in ended])
    errors = ("-", "-", "-")
    if errors_um.size:
        errors = (
            f"{np.mean(errors_um <= wrong_um):.0%}",
            f"{errors_um.mean():.2f}",
            f"{errors_um.max():.2f}",
        )
    cells = (
        *names,
        str(len(done)),
        str(outcomes.count("focused")),
        str(outcomes.count("recovered")),
        f"{outcomes.count('blank')}, {outcomes.count('lost')}",
        str(sum(field.is_wrong for field in done)),
        *errors,
        f"{np.mean([field.images for field in done]):.1f}",
        f"{np.mean([field.seconds for field in done]):.2f}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
