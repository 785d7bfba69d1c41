"""Where the time of neighbouring fields goes: the controller against the least that the motors allow.

`python -m tests.bench.focus_where [FIELDS [SEEDS]]` takes so many fields of each slide (default 40) as the section
"neighbours" of the focus bench does, the first ones of each slide included, with so many seeds (default 1, that of the
bench), and prints two tables in Markdown: by slide, and by what happens in a field. Seconds are of the microscope,
without the waiting for a free-running camera.
"""

import sys
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np

from tests.bench.focus_policies import Ours, policy_named, side_px_of
from tests.bench.focus_rows import SECTIONS, others
from tests.bench.focus_stand import Cost, Policy, Stand, oracle_s, slides

NAME = "controller"
SINGLE_RULES = ("single", "single_in_focus")
NEXT_SEED = 100  # slides of one seed have the numbers below it
FIRST_FIELDS = 4  # of a slide, in which single shots do not lead yet


class Field(NamedTuple):
    """One field. `kind` is what happened; `number` counts from 0 on each slide."""

    slide: str
    number: int
    kind: str
    cost: Cost
    limit_s: float

    @property
    def seconds(self) -> float:
        """What it took without waiting."""
        return self.cost.seconds - self.cost.waited_s


def kind_of(rules: list[str], images: int, is_away: bool) -> str:
    """What happened in a field. `is_away`: the least that the motors allow has a move in it."""
    if any(rule not in SINGLE_RULES for rule in rules):
        return "a pair" if is_away else "a pair, although the field was in focus"
    if images == 1:
        return "one image, just beyond half a depth of field" if is_away else "one image"
    return "a single shot, a move, a check" if is_away else "the same, although the field was in focus"


def fields_of(number: int, slide: str, stand: Stand, n: int) -> list[Field]:
    """The fields of one slide."""
    section = next(s for s in SECTIONS if s.kind == "neighbours")
    ours = policy_named(NAME, section.conditions, section.is_calibrated)(stand)
    assert isinstance(ours, Ours)
    rules: list[list[str]] = []
    begun = others(stand, _noting(ours, rules), msgspec.structs.replace(section, n=n), number)
    found = []
    for k, ((start_um, cost), of_it) in enumerate(zip(begun, rules, strict=True)):
        limit_s = oracle_s(start_um, stand)
        is_away = limit_s > stand.config.camera.exposure_s
        found.append(Field(slide, k, kind_of(of_it, cost.images, is_away), cost, limit_s))
    return found


def _noting(ours: Ours, rules: list[list[str]]) -> Policy:
    """The policy; the rules that decided each field are added to `rules`."""

    def run(stand: Stand) -> tuple[int, str]:
        ended = ours(stand)
        assert ours.result is not None
        rules.append([attempt.rule for attempt in ours.result.attempts])
        return ended

    return run


def table(fields: list[Field], head: str, name_of: Callable[[Field], str]) -> str:
    """A row for each name, in the order of their first fields."""
    columns = "fields | images | s | limit, s | beyond the limit, ms per field of all | mean um | largest um"
    lines = [f"| {head} | {columns} |", "|---" * 8 + "|"]
    for name in dict.fromkeys(name_of(field) for field in fields):
        of = [field for field in fields if name_of(field) == name]
        errors_um = np.abs([field.cost.error_um for field in of])
        beyond_ms = 1e3 * sum(field.seconds - field.limit_s for field in of) / len(fields)
        cells = (
            f"{len(of)} ({len(of) / len(fields):.0%})",
            f"{np.mean([field.cost.images for field in of]):.2f}",
            f"{np.mean([field.seconds for field in of]):.3f}",
            f"{np.mean([field.limit_s for field in of]):.3f}",
            f"{beyond_ms:.0f}",
            f"{errors_um.mean():.2f}",
            f"{errors_um.max():.2f}",
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    n, n_seeds = ([int(word) for word in sys.argv[1:]] + [40, 1][len(sys.argv) - 1 :])[:2]
    section = next(s for s in SECTIONS if s.kind == "neighbours")
    fields: list[Field] = []
    for seed in range(n_seeds):
        for number, (slide, pixels) in enumerate(slides().items(), start=NEXT_SEED * seed):
            stand = Stand(pixels, section.conditions, 1 + number, side_px_of(NAME))
            fields += fields_of(number, slide, stand, n)
    print(table(fields, "slide", lambda field: field.slide), "\n")  # noqa: T201
    print(table(fields, "what happens", lambda field: field.kind), "\n")  # noqa: T201
    groups = {
        "all": fields,
        "without bacteria": [field for field in fields if field.slide != "bacteria"],
        "without bacteria and first fields": [
            field for field in fields if field.slide != "bacteria" and field.number >= FIRST_FIELDS
        ],
    }
    for name, of in ((name, of) for name, of in groups.items() if of):
        seconds, limit_s = sum(f.seconds for f in of), sum(f.limit_s for f in of)
        waited_s = np.mean([f.cost.waited_s for f in of])
        images = np.mean([f.cost.images for f in of])
        outcomes = dict(Counter(f.cost.outcome for f in of))
        errors_um = np.abs([f.cost.error_um for f in of])
        print(  # noqa: T201
            f"{name}: {len(of)} fields, {outcomes}, {images:.2f} images, {seconds / len(of):.3f} s and "
            f"{waited_s:.3f} s waiting, {seconds / limit_s:.3f} times the limit; {errors_um.mean():.3f} um off, "
            f"{np.percentile(errors_um, 95):.2f} um (p95), {errors_um.max():.2f} um at most"
        )


if __name__ == "__main__":
    main()
