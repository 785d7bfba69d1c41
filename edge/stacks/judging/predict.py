"""One prediction on a pair of shots with known focus, judged as the focus rule would judge it."""

import math

import numpy as np

from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.judging import rule
from parfocal.edge.focus.judging.estimate import Estimate, estimate, estimate_single
from parfocal.edge.focus.picture import prepare
from parfocal.edge.focus.picture.part import CentralPart, is_blank, reduced
from parfocal.edge.focus.picture.places import places
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.stacks.judging.pairs import Pair
from parfocal.edge.stacks.judging.results import PlaneResult
from parfocal.engines.predictor import Predictor

# The evaluation accepts predictions downwards too, although the rule approaches from below only, and those that the
# rule confirms by a second estimate where they lead.
ACCEPTED_RULES = ("accept", "in_focus", "check", "down")


def judged_prediction(
    pair: Pair, focus_z_um: float, predictor: Predictor, config: FocusConfig
) -> PlaneResult:
    """Predict at the second shot of a pair and compare with the true distance to focus.

    Raises EngineError from the predictor.
    """
    true_um = focus_z_um - pair.z2_um
    in_range = abs(true_um) <= predictor.contract.range_um
    if not all(_has_contrast(shot, predictor, config) for shot in (pair.first, pair.second)):
        return PlaneResult(
            z1_um=pair.z1_um,
            z2_um=pair.z2_um,
            true_um=true_um,
            predicted_um=None,
            error_um=None,
            spread_um=None,
            rule="blank",
            accepted=False,
            blank=True,
            in_range=in_range,
        )
    estimated = _estimated(pair, predictor, config)
    reach = rule.reach_of(predictor.contract.range_um, config)
    decision = rule.decide(estimated, pair.z2_um, 1, (-math.inf, math.inf), config, reach)
    return PlaneResult(
        z1_um=pair.z1_um,
        z2_um=pair.z2_um,
        true_um=true_um,
        predicted_um=estimated.distance_um,
        error_um=estimated.distance_um - true_um,
        spread_um=estimated.spread_um,
        rule=decision.rule,
        accepted=decision.rule in ACCEPTED_RULES,
        blank=is_blank(np.array(estimated.weights, np.float32), config),
        in_range=in_range,
        sigma_um=estimated.sigma_um,
        believed=estimated.believed,
        doubt=estimated.doubt,
    )


def _estimated(pair: Pair, predictor: Predictor, config: FocusConfig) -> Estimate:
    if predictor.contract.kind == "single":
        return estimate_single(pair.second, predictor, config)
    return estimate(CentralPart(pair.first, config), CentralPart(pair.second, config), predictor, config)


def _has_contrast(shot: UInt8Array, predictor: Predictor, config: FocusConfig) -> bool:
    """Whether any patch of a shot has more than one grey value: without, every prediction has zero weight."""
    if predictor.contract.kind != "single":
        return bool(CentralPart(shot, config).contrasts.any())
    whole, side_px = prepare.smoothed(reduced(shot, config)), predictor.contract.patch_px
    corners = places(whole.shape[0], whole.shape[1], side_px)
    return any(whole[y : y + side_px, x : x + side_px].mean(axis=2).std() > 0.0 for y, x in corners)
