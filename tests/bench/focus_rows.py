"""The rows of the focus bench: what each policy is measured under, and what its fields come to."""

from collections import Counter

import msgspec
import numpy as np

from tests.bench.focus_policies import NAMES, OURS, policy_named, side_px_of
from tests.bench.focus_stand import (
    PLACES_UM,
    REFERENCE,
    Conditions,
    Cost,
    Policy,
    Stand,
    oracle_s,
    slides,
    starts,
)

NEAR_UM, FAR_UM = (2.0, 10.0), (10.0, 25.0)
FEW_SLIDES = ("ihc", "drawn", "bacteria", "H&E")
# What learns on a slide has seen so many fields of it before, up to so far from their focus.
WARMING, WARMING_UM = 8, (0.0, 4.0)


class Section(msgspec.Struct, frozen=True):
    """One part of the table: the same fields for each of `names`.

    `n`: fields of each slide. `kind`: "far" starts away from the focus; "neighbours" have pivots that are off by 1 um
    (standard deviation), with the move to the field or without; "blank" fields have nothing in them.
    """

    title: str
    conditions: Conditions = REFERENCE
    start_um: tuple[float, float] = NEAR_UM
    n: int = 2
    names: tuple[str, ...] = NAMES
    slides: tuple[str, ...] = ()
    is_calibrated: bool = True
    kind: str = "far"


class Row(msgspec.Struct, frozen=True):
    """What the fields of one policy come to. Means over fields, unless the name says otherwise.

    `ours_s` is computing time of this machine. `limit_s` is the least time that the motors allow, and `over_limit` the
    time without waiting for a free-running camera over it. A field that is blank, although it is not, counts as lost.
    `rise_um`: how far a stage went above the higher of start and focus.
    """

    section: str
    policy: str
    fields: int
    images: float
    seconds: float
    p95_s: float
    waited_s: float
    limit_s: float
    over_limit: float
    ours_s: float
    mean_um: float | None
    p95_um: float | None
    largest_um: float | None
    within_depth: float
    wrong: int
    lost: int
    outcomes: str
    rise_um: float


SECTIONS = (
    Section("2 to 10 um away", n=4),
    Section("10 to 25 um away", start_um=FAR_UM, n=4),
    Section("10 um of play", Conditions(play_um=10.0)),
    Section("no play", Conditions(play_um=0.0)),
    Section("noise of 8 grey levels", Conditions(noise_levels=8.0)),
    Section("40x, NA 0.65", Conditions(objective="40x/0.65"), slides=FEW_SLIDES),
    Section("40x, 10 to 25 um away", Conditions(objective="40x/0.65"), start_um=FAR_UM, n=4, names=OURS),
    Section("40x, neighbours", Conditions(objective="40x/0.65"), n=8, names=OURS, kind="neighbours"),
    Section("two depths, 4 um apart", Conditions(step_um=4.0), slides=FEW_SLIDES),
    Section("a few bacteria", n=8, slides=("bacteria",)),
    Section("not calibrated", n=4, names=OURS, is_calibrated=False),
    Section("condenser 0.45, not calibrated", Conditions(condenser=0.45), names=OURS, is_calibrated=False),
    Section("condenser 0.45, calibrated", Conditions(condenser=0.45), names=OURS),
    Section("neighbours", n=16, names=OURS, kind="neighbours"),
    Section("neighbours, with X/Y", n=16, names=OURS, kind="neighbours, with X/Y"),
    Section("blank", Conditions(is_blank=True), n=1, slides=("ihc",), kind="blank"),
)


def measured(section: Section, name: str) -> Row:
    """Run one policy through the fields of a section."""
    made = policy_named(name, section.conditions, section.is_calibrated)
    costs: list[Cost] = []
    limits_s: list[float] = []
    depth_um = 0.0
    for number, (slide, pixels) in enumerate(slides().items()):
        if section.slides and slide not in section.slides:
            continue
        stand = Stand(pixels, section.conditions, 1 + number, side_px_of(name))
        policy, depth_um = made(stand), stand.depth_um
        if section.kind == "far":
            begun = _far(stand, policy, section, number, WARMING if name == "controller" else 0)
        else:
            begun = others(stand, policy, section, number)
        for start_um, cost in begun:
            costs.append(cost)
            limits_s.append(oracle_s(start_um, stand))
    return figures(section, name, costs, limits_s, depth_um)


def _far(
    stand: Stand, policy: Policy, section: Section, number: int, n_warming: int
) -> list[tuple[float, Cost]]:
    """Fields of one slide that begin away from their focus, after `n_warming` others."""
    for k, start_um in enumerate(starts(number, n_warming, *WARMING_UM)):
        stand.at(PLACES_UM[k % len(PLACES_UM)], start_um)
        stand.cost_of(policy, start_um)
    done = []
    for k, start_um in enumerate(starts(number, section.n, *section.start_um)):
        stand.at(PLACES_UM[k % len(PLACES_UM)], start_um)
        cost = stand.cost_of(policy, start_um)
        if section.conditions.condenser != REFERENCE.condenser:
            cost = cost._replace(error_um=cost.error_um - stand.sharpest_um())
        done.append((start_um, cost))
    return done


def others(stand: Stand, policy: Policy, section: Section, number: int) -> list[tuple[float, Cost]]:
    """Neighbouring fields of one slide, or blank ones. The stage stays where the field before ended."""
    rng, done = np.random.default_rng([number, 53]), []
    stand.instrument.go_to(20_000.0, 10_000.0)
    stand.at(PLACES_UM[0], 0.0)
    for k in range(section.n):
        start_um = 0.0 if section.kind == "blank" else float(rng.normal(0.0, 1.0))
        stand.focus_z_um = stand.axis.position_um - start_um  # the slide is what differs in height
        stand.place_um = (700.0 + 150.0 * (k % 8), 700.0 + 150.0 * (k // 8))
        moved = _after_xy(policy, k) if section.kind.endswith("X/Y") else policy
        done.append((start_um, stand.cost_of(moved, start_um)))
    return done


def _after_xy(policy: Policy, k: int) -> Policy:
    """The policy, after a move to the neighbouring field."""

    def run(stand: Stand) -> tuple[int, str]:
        stand.instrument.go_to(20_000.0 + 230.0 * (k % 8), 10_000.0 + 230.0 * (k // 8))
        return policy(stand)

    return run


def figures(section: Section, name: str, costs: list[Cost], limits_s: list[float], depth_um: float) -> Row:
    """A row of the table."""
    errors = np.abs([cost.error_um for cost in costs])
    right = ("focused", "recovered", *(("blank",) if section.kind == "blank" else ()))
    done = np.array([cost.outcome in right for cost in costs])
    seconds, waited_s = np.array([c.seconds for c in costs]), np.array([c.waited_s for c in costs])
    counted = Counter(cost.outcome for cost in costs)
    return Row(
        section=section.title,
        policy=name,
        fields=len(costs),
        images=float(np.mean([c.images for c in costs])),
        seconds=float(seconds.mean()),
        p95_s=float(np.percentile(seconds, 95)),
        waited_s=float(waited_s.mean()),
        limit_s=float(np.mean(limits_s)),
        over_limit=float((seconds - waited_s).mean() / np.mean(limits_s)),
        ours_s=float(np.mean([c.ours_s for c in costs])),
        mean_um=float(errors[done].mean()) if done.any() else None,
        p95_um=float(np.percentile(errors[done], 95)) if done.any() else None,
        largest_um=float(errors[done].max()) if done.any() else None,
        within_depth=float((done & (errors <= depth_um)).mean()),
        wrong=int((done & (errors > depth_um)).sum()),
        lost=int((~done).sum()),
        outcomes=", ".join(f"{n} {outcome}" for outcome, n in counted.most_common()),
        rise_um=float(max(c.rise_um for c in costs)),
    )
