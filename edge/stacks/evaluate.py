"""How well a model predicts on stacks: plane by plane, and summed up as in the papers' tables."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec
import numpy as np

from parfocal.edge.config import Config, FocusConfig
from parfocal.edge.engine import check_model
from parfocal.edge.focus import prepare, rule
from parfocal.edge.focus.estimate import Estimate, estimate, estimate_single
from parfocal.edge.focus.part import PATCHES_PER_SIDE, CentralPart, is_blank, reduced
from parfocal.edge.focus.places import places
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.stacks.label import Label, label_planes
from parfocal.edge.stacks.stack import Stack, StackRefused
from parfocal.edge.words import named
from parfocal.engines.model.contract import SIGN_OF_SINGLE, Contract, Expectation, require
from parfocal.engines.runner import Runner

# How far from delta two planes of a pair may be: the stage's own pairs are rounded to whole motor steps.
PAIR_TOLERANCE_SHARE = 0.1
# How far the sampling of a stack may be from the model's.
SAMPLING_TOLERANCE_SHARE = 0.02
# Within a um of the focus a wrong sign costs nothing (depth of field about 0.8 um, dastidar2020 2.2.1).
SIGN_COUNTS_BEYOND_UM = 1.0
BIN_EDGES_UM = (0.0, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 15.0, 25.0)
GREEN_UM = 0.54  # facts/optics: middle of the three channels


class PlaneResult(msgspec.Struct, frozen=True):
    """The prediction at the second shot of a pair, or at the only one (z1 is z2).

    `error_um` is predicted less true, both positive upwards. Where a shot has no contrast at all (black, or of one
    colour) nothing is predicted: the plane is blank, and these are None.
    """

    z1_um: float
    z2_um: float
    true_um: float
    predicted_um: float | None
    error_um: float | None
    spread_um: float | None
    rule: str
    accepted: bool
    blank: bool
    in_range: bool


class Figures(msgspec.Struct, frozen=True):
    """Over planes that hold something to judge and lie in the model's range. Shares are 0..1.

    Mean, deviation and median are those of the absolute error (dastidar2020 table 1, liao2021 table 1).
    """

    planes: int
    mean_um: float
    sd_um: float
    median_um: float
    bias_um: float
    mean_per_depth_of_field: float
    within_depth_of_field: float
    wrong_sign: float | None
    accepted: float
    accepted_mean_um: float | None


class BinFigures(msgspec.Struct, frozen=True):
    """The same of the planes whose true distance lies in a range."""

    from_um: float
    to_um: float
    figures: Figures


class StackResult(msgspec.Struct, frozen=True):
    """One stack; without planes and with the reason in `review` where its focus is not certain.

    `notes`: how what it holds was understood.
    """

    stack: str
    focus_z_um: float | None
    truth: Literal["stack", "label", "none"]
    review: str | None
    figures: Figures | None
    planes: tuple[PlaneResult, ...]
    notes: tuple[str, ...] = ()


class Evaluation(msgspec.Struct, frozen=True):
    """All stacks with one model."""

    model: str
    depth_of_field_um: float
    range_um: float
    figures: Figures | None
    bins: tuple[BinFigures, ...]
    stacks: tuple[StackResult, ...]


def depth_of_field_um(objective: str) -> float:
    """``lambda / NA^2`` of an objective like "20x/0.75" in air and green light, um. Raises ValueError."""
    aperture = float(objective.rpartition("/")[2])
    if not 0.0 < aperture < 2.0:
        raise ValueError(f"objective {objective!r} has no numerical aperture")
    return GREEN_UM / aperture**2


def evaluate_stacks(
    stacks: Iterable[Stack],
    runner: Runner,
    config: Config,
    grown: Callable[[Evaluation], None] | None = None,
) -> Evaluation:
    """Evaluate stacks, which may be read one at a time: many do not fit into memory.

    ``grown`` is called after each stack with the evaluation of all so far.

    Raises:
        ConfigError: a stack cannot be used.
        InputMismatch: the model was made for another instrument.
    """
    _check_model(runner, config)
    results: list[StackResult] = []
    for stack in stacks:
        results.append(evaluate_stack(stack, runner, config))
        if grown:
            grown(_summed(results, runner.contract))
    return _summed(results, runner.contract)


def _summed(results: Sequence[StackResult], contract: Contract) -> Evaluation:
    judged = [plane for result in results for plane in result.planes if plane.in_range and not plane.blank]
    depth_um = depth_of_field_um(contract.objective)
    return Evaluation(
        model=contract.name,
        depth_of_field_um=depth_um,
        range_um=contract.range_um,
        figures=figures_of(judged, depth_um),
        bins=_bins(judged, depth_um),
        stacks=tuple(results),
    )


def _check_model(runner: Runner, config: Config) -> None:
    """Of a single-shot model only sampling and objective must fit; the focus rule does not use it."""
    contract, focus = runner.contract, config.focus
    if contract.kind != "single":
        check_model(contract, config)
        return
    expected = Expectation(
        kind="single",
        delta_um=0.0,
        um_per_px=config.camera.um_per_px * focus.downsample,
        objective=focus.objective,
        patch_px=contract.patch_px,
        sign=SIGN_OF_SINGLE,
    )
    require(contract, expected)


def evaluate_stack(stack: Stack, runner: Runner, config: Config) -> StackResult:
    """Predict at every plane, of a two-shot model at every one that has another delta below it.

    Raises ConfigError where the stack does not fit.
    """
    pairs = _checked_pairs(stack, runner, config)
    label = focus_of(stack)
    focus_z_um = label.focus_z_um
    notes = stack.notes
    if stack.um_per_px is None:
        notes = (*notes, "it does not say its sampling, which was taken to be right; see --um-per-px")
    if focus_z_um is None:
        return StackResult(named(stack.path), None, "none", label.review, None, (), notes)
    truth: Literal["stack", "label"] = "label" if stack.focus_z_um is None else "stack"
    planes = tuple(
        (_plane if _has_contrast(stack, pair, runner, config.focus) else _empty_plane)(
            stack, pair, focus_z_um, runner, config.focus
        )
        for pair in pairs
    )
    judged = [plane for plane in planes if plane.in_range and not plane.blank]
    figures = figures_of(judged, depth_of_field_um(runner.contract.objective))
    return StackResult(named(stack.path), focus_z_um, truth, label.review, figures, planes, notes)


def _has_contrast(stack: Stack, pair: tuple[int, int], runner: Runner, config: FocusConfig) -> bool:
    """Whether both shots have a patch of more than one grey value: without, a prediction has no weight at all."""
    return all(_shot_has_contrast(stack.planes[k], runner, config) for k in pair)


def _shot_has_contrast(shot: UInt8Array, runner: Runner, config: FocusConfig) -> bool:
    if runner.contract.kind != "single":
        return bool(CentralPart(shot, config).contrasts.any())
    whole, side_px = prepare.smoothed(reduced(shot, config)), runner.contract.patch_px
    corners = places(whole.shape[0], whole.shape[1], side_px)
    return any(whole[y : y + side_px, x : x + side_px].mean(axis=2).std() > 0.0 for y, x in corners)


def _empty_plane(
    stack: Stack, pair: tuple[int, int], focus_z_um: float, runner: Runner, _config: FocusConfig
) -> PlaneResult:
    """Of a pair that shows nothing."""
    z1_um, z2_um = (stack.z_um[k] for k in pair)
    true_um = focus_z_um - z2_um
    in_range = abs(true_um) <= runner.contract.range_um
    return PlaneResult(z1_um, z2_um, true_um, None, None, None, "blank", False, True, in_range)


def focus_of(stack: Stack) -> Label:
    """What a stack says of its focus itself, else what the labeller finds."""
    if stack.focus_z_um is not None:
        return Label(stack.focus_z_um)
    return label_planes(stack.planes, stack.z_um)


def pairs_of(z_um: Sequence[float], delta_um: float) -> list[tuple[int, int]]:
    """For each plane the one nearest to delta below it, where there is one: first and second shot."""
    heights_um = np.asarray(z_um)
    pairs = []
    for second, z2_um in enumerate(heights_um):
        first = int(np.abs(heights_um - (z2_um - delta_um)).argmin())
        if abs(z2_um - heights_um[first] - delta_um) <= PAIR_TOLERANCE_SHARE * delta_um + 1e-6:
            pairs.append((first, second))
    return pairs


def figures_of(planes: Sequence[PlaneResult], depth_um: float) -> Figures | None:
    """Sum up; None without planes."""
    if not planes:
        return None
    errors_um = np.array([plane.error_um for plane in planes], np.float64)
    absolute_um = np.abs(errors_um)
    accepted = np.array([plane.accepted for plane in planes])
    far = [plane for plane in planes if abs(plane.true_um) > SIGN_COUNTS_BEYOND_UM]
    mean_um = float(absolute_um.mean())
    return Figures(
        planes=len(planes),
        mean_um=mean_um,
        sd_um=float(absolute_um.std()),
        median_um=float(np.median(absolute_um)),
        bias_um=float(errors_um.mean()),
        mean_per_depth_of_field=mean_um / depth_um,
        within_depth_of_field=float((absolute_um <= depth_um).mean()),
        wrong_sign=sum(p.true_um * (p.predicted_um or 0.0) < 0.0 for p in far) / len(far) if far else None,
        accepted=float(accepted.mean()),
        accepted_mean_um=float(absolute_um[accepted].mean()) if accepted.any() else None,
    )


def _bins(planes: Sequence[PlaneResult], depth_um: float) -> tuple[BinFigures, ...]:
    bins = []
    for low_um, high_um in itertools.pairwise(BIN_EDGES_UM):
        figures = figures_of([p for p in planes if low_um <= abs(p.true_um) < high_um], depth_um)
        if figures is not None:
            bins.append(BinFigures(low_um, high_um, figures))
    return tuple(bins)


def _checked_pairs(stack: Stack, runner: Runner, config: Config) -> list[tuple[int, int]]:
    contract, focus = runner.contract, config.focus
    n_across = 1 if contract.kind == "single" else PATCHES_PER_SIDE
    needed_px = n_across * contract.patch_px * focus.downsample
    if min(stack.shape_px) < needed_px:
        height_px, width_px = stack.shape_px
        raise StackRefused(
            stack.path,
            f"its planes are {width_px} x {height_px} px, model {contract.name} looks at {needed_px} x {needed_px}",
            "Record larger frames, or take another --model.",
        )
    if stack.um_per_px is not None:
        seen_um = stack.um_per_px * focus.downsample
        if abs(seen_um / contract.um_per_px - 1.0) > SAMPLING_TOLERANCE_SHARE:
            raise StackRefused(
                stack.path,
                f"its patches have {seen_um:g} um per px, model {contract.name} is for {contract.um_per_px:g}",
                "If the stack is wrong about itself, give what is right with --um-per-px; else it needs a --model made "
                "for its sampling.",
            )
    if contract.kind == "single":
        return [(k, k) for k in range(len(stack.z_um))]
    pairs = pairs_of(stack.z_um, contract.delta_um)
    if not pairs:
        raise StackRefused(
            stack.path,
            f"no two of its planes are {contract.delta_um:g} um apart, as model {contract.name} needs",
            f"If its heights are wrong, give what is right with --step-um; else record planes that are "
            f"{contract.delta_um:g} um apart, a whole number of steps.",
        )
    return pairs


def _found(first: UInt8Array, second: UInt8Array, runner: Runner, config: FocusConfig) -> Estimate:
    if runner.contract.kind == "single":
        return estimate_single(second, runner, config)
    return estimate(CentralPart(first, config), CentralPart(second, config), runner)


def _plane(
    stack: Stack, pair: tuple[int, int], focus_z_um: float, runner: Runner, config: FocusConfig
) -> PlaneResult:
    first, second = (stack.planes[k] for k in pair)
    z1_um, z2_um = (stack.z_um[k] for k in pair)
    found = _found(first, second, runner, config)
    reach = rule.reach_of(runner.contract.range_um, config)
    decision = rule.decide(found, z2_um, 1, (-math.inf, math.inf), config, reach)
    true_um = focus_z_um - z2_um
    return PlaneResult(
        z1_um=z1_um,
        z2_um=z2_um,
        true_um=true_um,
        predicted_um=found.distance_um,
        error_um=found.distance_um - true_um,
        spread_um=found.spread_um,
        rule=decision.rule,
        # Downwards the prediction is believed as well: the rule only comes to it from below. So is one that a second
        # estimate is to check where it leads.
        accepted=decision.rule in ("accept", "in_focus", "check", "down"),
        blank=is_blank(np.array(found.weights, np.float32), config),
        in_range=abs(true_um) <= runner.contract.range_um,
    )
