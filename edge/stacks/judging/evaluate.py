"""Evaluates a model on stacks: a prediction at every plane, and a summary."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from parfocal.edge.config import Config, FocusConfig
from parfocal.edge.engine import check_model
from parfocal.edge.focus.judging.depth import depth_of_field_um
from parfocal.edge.focus.picture.part import PATCHES_PER_SIDE
from parfocal.edge.stacks.judging.figures import bins_of, figures_of, judged
from parfocal.edge.stacks.judging.pairs import Pair, pairs_of
from parfocal.edge.stacks.judging.predict import judged_prediction
from parfocal.edge.stacks.judging.results import Evaluation, StackResult
from parfocal.edge.stacks.label import label_stack
from parfocal.edge.stacks.stack import Stack, StackRefused
from parfocal.edge.words import named
from parfocal.engines.model.contract import SIGN_OF_SINGLE, Contract, Expectation, require
from parfocal.engines.predictor import Predictor

# How far the sampling of a stack may be from the model's.
SAMPLING_TOLERANCE_SHARE = 0.02


def evaluate_stacks(
    stacks: Iterable[Stack],
    predictor: Predictor,
    config: Config,
    on_stack: Callable[[Evaluation], None] | None = None,
) -> Evaluation:
    """Evaluate stacks one at a time, so an iterator may read each when it is needed: many do not fit into memory.

    `on_stack` is called after each stack with the evaluation of all stacks so far.

    Raises:
        ConfigError: a stack cannot be used.
        InputMismatch: the model was made for another instrument.
    """
    _check_model_fits(predictor.contract, config)
    results: list[StackResult] = []
    for stack in stacks:
        results.append(evaluate_stack(stack, predictor, config))
        if on_stack:
            on_stack(_summed_up(results, predictor))
    return _summed_up(results, predictor)


def evaluate_stack(stack: Stack, predictor: Predictor, config: Config) -> StackResult:
    """Predict at every plane, with a two-shot model at every plane that has another one delta below it.

    Raises StackRefused where stack and model do not fit.
    """
    contract = predictor.contract
    _check_size_fits(stack, contract, config.focus)
    _check_sampling_fits(stack, contract, config.focus)
    pairs = _checked_pairs(stack, contract)
    notes = stack.notes
    if stack.um_per_px is None:
        notes = (
            *notes,
            "it does not give its sampling, which was assumed to be the model's; see --um-per-px",
        )
    label = label_stack(stack)
    focus_z_um = label.focus_z_um
    if focus_z_um is None:
        return StackResult(named(stack.path), None, "none", label.review, None, (), notes, stack.calibration)
    truth: Literal["stack", "label"] = "label" if stack.focus_z_um is None else "stack"
    planes = tuple(judged_prediction(pair, focus_z_um, predictor, config.focus) for pair in pairs)
    figures = figures_of(judged(planes), depth_of_field_um(contract.objective))
    return StackResult(
        named(stack.path), focus_z_um, truth, label.review, figures, planes, notes, stack.calibration
    )


def _summed_up(results: Sequence[StackResult], predictor: Predictor) -> Evaluation:
    contract = predictor.contract
    planes = judged(plane for result in results for plane in result.planes)
    depth_um = depth_of_field_um(contract.objective)
    return Evaluation(
        model=contract.name,
        depth_of_field_um=depth_um,
        range_um=contract.range_um,
        figures=figures_of(planes, depth_um),
        bins=bins_of(planes, depth_um),
        stacks=tuple(results),
        condenser=predictor.condenser,
    )


def _check_model_fits(contract: Contract, config: Config) -> None:
    """Refuse a model made for another instrument. Raises InputMismatch.

    Of a single-shot model only sampling and objective must fit, as the focus rule does not use it.
    """
    focus = config.focus
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


def _check_size_fits(stack: Stack, contract: Contract, config: FocusConfig) -> None:
    """Refuse planes smaller than the part that the model sees. Raises StackRefused."""
    n_across = 1 if contract.kind == "single" else PATCHES_PER_SIDE
    needed_px = n_across * contract.patch_px * config.downsample
    height_px, width_px = stack.shape_px
    if min(height_px, width_px) < needed_px:
        raise StackRefused(
            stack.path,
            f"its planes are {width_px} x {height_px} px, model {contract.name} needs {needed_px} x {needed_px} px",
            "Record larger frames, or use another --model.",
        )


def _check_sampling_fits(stack: Stack, contract: Contract, config: FocusConfig) -> None:
    """Refuse a stack with another sampling than the model's. Raises StackRefused."""
    if stack.um_per_px is None:
        return
    patch_um_per_px = stack.um_per_px * config.downsample
    if abs(patch_um_per_px / contract.um_per_px - 1.0) > SAMPLING_TOLERANCE_SHARE:
        raise StackRefused(
            stack.path,
            f"its patches have {patch_um_per_px:g} um per px, model {contract.name} is for {contract.um_per_px:g}",
            "If the stack gives a wrong sampling, correct it with --um-per-px; otherwise use a --model made for it.",
        )


def _checked_pairs(stack: Stack, contract: Contract) -> list[Pair]:
    """The pairs of a stack for a model, at least one. Raises StackRefused."""
    pairs = pairs_of(stack, 0.0 if contract.kind == "single" else contract.delta_um)
    if not pairs:
        raise StackRefused(
            stack.path,
            f"no two of its planes are {contract.delta_um:g} um apart, as model {contract.name} needs",
            "If its heights are wrong, give the right distance with --step-um; otherwise record planes that are "
            f"{contract.delta_um:g} um apart, which must be a whole number of steps.",
        )
    return pairs
