"""The focus loop beside the autofocus patterns of other open microscopes, on one virtual microscope.

`python -m tests.bench.focus [quick] [--out FOLDER] [POLICY ...]` writes `focus.json` and `focus.png` into build/bench
and prints tables in Markdown. With policies, only these are measured anew. Everything is simulated in virtual time: a
stub motor board with play, swing and an error of the screw, real and drawn tissue under simulated optics, camera noise,
a free-running camera. "ours" is computing time of this machine, and depends on what else it does.
"""

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from parfocal.edge.config import FocusConfig
from parfocal.edge.engine import opened_engine
from parfocal.edge.focus.estimate import estimate_single
from parfocal.edge.focus.focuser import Focuser
from parfocal.edge.focus.result import FocusLost
from parfocal.engines.predictor import Predictor
from tests.bench import peers
from tests.bench.focus_stand import (
    CONFIG,
    DEPTH_UM,
    PLACES_UM,
    SIDE_OF_SINGLE_PX,
    SIDE_PX,
    Cost,
    Policy,
    Stand,
    oracle_s,
    slides,
    starts,
)

RANGES_UM = {"2..10": (2.0, 10.0), "10..25": (10.0, 25.0)}
PLAYS_UM = (0.0, 10.0, 20.0)
OURS = ("two-shot", "controller, pairs", "controller")
WITH_SINGLE = ("single shot alone", "controller")
WARMING_UM = (0.0, 4.0)
Row = dict[str, Any]


class Ours:
    """One of our strategies. The history lasts as long as the slide."""

    def __init__(self, stand: Stand, pair: Predictor, single: Predictor | None, **changes: object) -> None:
        focus = msgspec.structs.replace(stand.config.focus, **changes)
        self._focuser = Focuser(stand.axis, stand, pair, focus, single)

    def __call__(self, stand: Stand) -> tuple[int, str]:
        try:
            result = self._focuser.focus(stand.axis.position_um)
        except FocusLost as lost:
            if lost.result is None:
                raise
            result = lost.result
        return result.images, result.outcome


class SingleShot:
    """liao2021 alone: one shot, one move, arrived at from below; a second shot shows the end."""

    def __init__(self, single: Predictor) -> None:
        self._single = single

    def __call__(self, stand: Stand) -> tuple[int, str]:
        shot = stand.shoot()
        found = estimate_single(shot.pixels, self._single, stand.config.focus)
        stand.axis.approach_up(shot.z_um + found.distance_um)
        stand.shoot()
        return stand.images, "focused"


def policies(pair: Predictor, single: Predictor) -> dict[str, Callable[[Stand], Policy]]:
    """What is compared, by name; each is made anew for every slide."""
    others: dict[str, Policy] = {
        "step and climb": peers.step_and_climb,
        "fast sweep": peers.fast_sweep,
        "two-stage sweep": peers.two_stage_sweep,
        "Brent": peers.brent,
        "coarse and fine": peers.coarse_and_fine,
        "z-stack, Gaussian": peers.z_stack,
        "paper to the letter": peers.PaperToTheLetter(pair),
        "single shot alone": SingleShot(single),
    }
    made: dict[str, Callable[[Stand], Policy]] = {
        name: functools.partial(_same, policy) for name, policy in others.items()
    }
    made["two-shot"] = lambda stand: Ours(stand, pair, None, strategy="two-shot")
    made["controller, pairs"] = lambda stand: Ours(stand, pair, None, strategy="controller")
    made["controller"] = lambda stand: Ours(stand, pair, single, strategy="controller")
    return made


def side_px_of(name: str) -> int:
    """Pictures as large as the policy needs."""
    return SIDE_OF_SINGLE_PX if name in WITH_SINGLE else SIDE_PX


def _same(policy: Policy, _stand: Stand) -> Policy:
    return policy


def figures(costs: list[Cost], oracles_s: list[float]) -> Row:
    """What the fields of one policy come to. A field that is blank, although it is not, counts as lost."""
    errors = np.abs([c.error_um for c in costs])
    done = np.array([c.outcome in ("focused", "recovered") for c in costs])
    seconds, waited_s = np.array([c.seconds for c in costs]), np.array([c.waited_s for c in costs])
    return {
        "fields": len(costs),
        "images": float(np.mean([c.images for c in costs])),
        "seconds": float(seconds.mean()),
        "waited_s": float(waited_s.mean()),
        "ours_s": float(np.mean([c.ours_s for c in costs])),
        "mean_um": float(errors[done].mean()) if done.any() else None,
        "p95_um": float(np.percentile(errors[done], 95)) if done.any() else None,
        "largest_um": float(errors[done].max()) if done.any() else None,
        "within_depth": float((done & (errors <= DEPTH_UM)).mean()),
        "wrong": int((done & (errors > DEPTH_UM)).sum()),
        "lost": int((~done).sum()),
        "rise_um": float(max(c.rise_um for c in costs)),
        "oracle_s": float(np.mean(oracles_s)),
        "over_oracle": float((seconds - waited_s).mean() / np.mean(oracles_s)),
    }


def far(
    name: str, made: Callable[[Stand], Policy], play_um: float, range_um: tuple[float, float], n: int
) -> Row:
    """One policy from starts of a range, over all slides. What learns on a slide has seen eight fields of it before."""
    costs, oracles_s = [], []
    for number, slide in enumerate(slides().values()):
        stand = Stand(slide, play_um, 1 + number, side_px_of(name))
        policy = made(stand)
        for k, start_um in enumerate(starts(number, 8 if name in WITH_SINGLE[1:] else 0, *WARMING_UM)):
            stand.at(PLACES_UM[k % len(PLACES_UM)], start_um)
            stand.cost_of(policy, start_um)
        for k, start_um in enumerate(starts(number, n, *range_um)):
            stand.at(PLACES_UM[k % len(PLACES_UM)], start_um)
            costs.append(stand.cost_of(policy, start_um))
            oracles_s.append(oracle_s(start_um, stand))
    return {"policy": name, "play_um": play_um, **figures(costs, oracles_s)}


def neighbours(name: str, made: Callable[[Stand], Policy], n: int, with_xy: bool) -> Row:
    """Neighbouring fields whose pivots are off by 1 um (standard deviation), with 20 um of play."""
    costs, oracles_s = [], []
    for number, slide in enumerate(slides().values()):
        stand = Stand(slide, 20.0, 1 + number, side_px_of(name))
        policy = made(stand)
        rng = np.random.default_rng([number, 53])
        stand.instrument.go_to(20_000.0, 10_000.0)
        stand.at(PLACES_UM[0], 0.0)
        for k in range(n):
            # The stage stays where the field before ended; the slide is what differs in height.
            start_um = float(rng.normal(0.0, 1.0))
            stand.focus_z_um = stand.axis.position_um - start_um
            stand.place_um = (700.0 + 150.0 * (k % 8), 700.0 + 150.0 * (k // 8))
            cost = stand.cost_of(_after_xy(policy, k) if with_xy else policy, start_um)
            costs.append(cost)
            oracles_s.append(oracle_s(start_um, stand))
    return {"policy": name, "play_um": 20.0, **figures(costs, oracles_s)}


def _after_xy(policy: Policy, k: int) -> Policy:
    """The policy, after a move to the neighbouring field."""

    def run(stand: Stand) -> tuple[int, str]:
        stand.instrument.go_to(20_000.0 + 230.0 * (k % 8), 10_000.0 + 230.0 * (k // 8))
        return policy(stand)

    return run


def blank(name: str, made: Callable[[Stand], Policy]) -> Row:
    """A field without anything in it."""
    stand = Stand(next(iter(slides().values())), 20.0, 1, side_px_of(name), blank=True)
    stand.at(PLACES_UM[2], 0.0)
    cost = stand.cost_of(made(stand), 0.0)
    return {"policy": name, "images": cost.images, "outcome": cost.outcome, "moved_um": abs(cost.error_um)}


COLUMNS = (
    ("images", "images", ".1f"),
    ("seconds", "s", ".2f"),
    ("waited_s", "of them waiting", ".2f"),
    ("over_oracle", "over the limit", ".2f"),
    ("ours_s", "ours, s", ".2f"),
    ("mean_um", "mean um", ".2f"),
    ("p95_um", "p95 um", ".2f"),
    ("largest_um", "largest um", ".2f"),
    ("within_depth", "within depth", ".0%"),
    ("lost", "lost", "d"),
    ("rise_um", "rise um", ".1f"),
)


def table(title: str, rows: list[Row]) -> str:
    """Rows in Markdown."""
    lines = [f"\n**{title}**\n", f"| policy | {' | '.join(head for _, head, _ in COLUMNS)} |"]
    lines.append("|---" * (len(COLUMNS) + 1) + "|")
    for row in rows:
        cells = [format(row[key], shape) if row[key] is not None else "-" for key, _, shape in COLUMNS]
        lines.append(f"| {row['policy']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(report: dict[str, list[Row]], path: Path) -> None:
    """Time against error of each policy, by play: one picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    titles = [title for title in report if title.startswith("start")]
    figure, axes = plt.subplots(1, len(titles), figsize=(4.2 * len(titles), 4.6), sharey=True, squeeze=False)
    for axis, title in zip(axes[0], titles, strict=True):
        for number, row in enumerate(report[title]):
            if row["p95_um"] is None:
                continue
            is_ours = row["policy"].startswith(("two-shot", "controller"))
            p95_um = min(max(row["p95_um"], 0.05), 30.0)
            axis.scatter(row["seconds"], p95_um, s=12 * row["images"], c="C3" if is_ours else "C0", alpha=0.7)
            axis.annotate(
                row["policy"],
                (row["seconds"], p95_um),
                (4, 5 - 11 * (number % 2)),
                textcoords="offset points",
                fontsize=7,
            )
        axis.axhline(DEPTH_UM, color="0.6", lw=0.8)
        axis.set(title=title, xlabel="s of the microscope a field", xscale="log", yscale="log")
    axes[0][0].set_ylabel("p95 of the error, um (line: depth of field; area: images)")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> int:
    """Run everything, print tables, write the report and the picture."""
    arguments = sys.argv[1:]
    is_quick = "quick" in arguments
    out = Path(arguments[arguments.index("--out") + 1] if "--out" in arguments else "build/bench")
    out.mkdir(parents=True, exist_ok=True)
    n = 2 if is_quick else 4
    pair = opened_engine(CONFIG.focus).predictor
    single = opened_engine(FocusConfig(model="single-20x")).predictor
    compared = policies(pair, single)
    asked = [name for name in compared if name in arguments] or list(compared)
    kept = out / "focus.json"
    report: dict[str, list[Row]] = json.loads(kept.read_text()) if len(asked) < len(compared) else {}

    def add(title: str, row: Row) -> None:
        rows = [other for other in report.get(title, []) if other["policy"] != row["policy"]]
        report[title] = sorted([*rows, row], key=lambda one: list(compared).index(one["policy"]))
        kept.write_text(json.dumps(report, indent=1) + "\n")
        print(title, json.dumps(row), file=sys.stderr, flush=True)  # noqa: T201

    for name in asked:
        made = compared[name]
        for words, range_um in RANGES_UM.items():
            add(f"start {words} um away, 20 um of play", far(name, made, 20.0, range_um, n))
        for play_um in () if is_quick else PLAYS_UM[:2]:
            row = far(name, made, play_um, RANGES_UM["2..10"], n // 2)
            add(f"start 2..10 um away, {play_um:.0f} um of play", row)
        if name in OURS:
            add("neighbouring fields, without X/Y", neighbours(name, made, 4 * n, False))
            add("neighbouring fields, with X/Y", neighbours(name, made, 4 * n, True))
            add("blank field", blank(name, made))
    for title, rows in report.items():
        if title != "blank field":
            print(table(title, rows))  # noqa: T201
    draw(report, out / "focus.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
