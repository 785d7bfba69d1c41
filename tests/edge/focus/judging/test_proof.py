"""What pictures on both sides of a predicted focus prove, and the loop on a microscope that the model does not know."""

import msgspec
import numpy as np
import pytest

from parfocal.edge.config import Config, FocusConfig
from parfocal.edge.focus.focuser import Focuser
from parfocal.edge.focus.judging.proof import CALIBRATED, FIELDS, REACH, Proof, missing_um, sharpest_aside
from parfocal.edge.focus.judging.rule import Seen
from parfocal.engines.predictor import Predictor
from tests.edge.scope import FOCUS_Z_UM, KnowsTruth, KnowsTruthOfOne, Scope

Z_UM, LIMITS_UM = 2500.0, (2000.0, 3000.0)
PROBE_UM = FocusConfig().proof_um


def test_a_run_is_proven_by_three_fields_and_a_calibrated_microscope_by_none() -> None:
    proof = Proof()
    for _ in range(FIELDS):
        assert not proof.is_given
        assert proof.is_due(0.0, PROBE_UM)
        proof = proof.after(0.6, 2.0)
    assert proof.is_given
    assert not proof.is_due(1.0, PROBE_UM)
    assert CALIBRATED.is_given
    assert not CALIBRATED.is_due(1e6, PROBE_UM)


def test_a_distance_far_beyond_those_proven_needs_a_proof_of_its_own() -> None:
    proof = Proof(FIELDS, 2.0)
    assert not proof.is_due(2.0 + REACH * PROBE_UM, PROBE_UM)
    assert proof.is_due(-2.1 - REACH * PROBE_UM, PROBE_UM)
    assert not proof.after(0.6, -6.0).is_due(6.0 + REACH * PROBE_UM, PROBE_UM)


def test_a_field_that_disproves_predictions_costs_the_trust_and_more_fields_to_gain_it() -> None:
    proof = Proof(FIELDS, 2.0).after(0.91, 2.0)
    assert not proof.is_given
    for _ in range(FIELDS):
        proof = proof.after(0.6, 1.0)
    assert not proof.is_given
    for _ in range(FIELDS):
        proof = proof.after(0.6, 1.0)
    assert proof.is_given


@pytest.mark.parametrize(
    ("seen_um", "missing"),
    [
        ((), (2.0, -2.0)),
        ((-2.0, 0.0), (2.0,)),
        ((-2.6, 1.8), ()),
        ((-4.0, 1.0), (2.0, -2.0)),  # too far, too near
        ((5.0, 2.0, -1.9), ()),
    ],
)
def test_a_proof_takes_shots_only_where_none_was_taken(
    seen_um: tuple[float, ...], missing: tuple[float, ...]
) -> None:
    seen = [Seen(Z_UM + away_um, 1.0) for away_um in seen_um]
    assert missing_um(Z_UM, seen, LIMITS_UM, PROBE_UM) == tuple(Z_UM + away_um for away_um in missing)


def test_no_shot_of_a_proof_lies_beyond_the_limits() -> None:
    assert missing_um(Z_UM, [], (2000.0, Z_UM + 1.0), PROBE_UM) == (Z_UM - 2.0,)
    assert missing_um(Z_UM, [], (Z_UM - 1.0, 3000.0), PROBE_UM) == (Z_UM + 2.0,)


def test_a_field_that_is_only_just_in_focus_proves_nothing_for_the_next() -> None:
    proof = Proof(1, 2.0)
    assert proof.after(0.85, 5.0) == proof
    assert proof.after(0.8, 5.0) == Proof(2, 5.0)


def test_the_sharpest_shot_aside_is_held_against_the_end() -> None:
    final = Seen(Z_UM, 100.0)
    near, below, above = Seen(Z_UM + 0.7, 104.0), Seen(Z_UM - 2.0, 60.0), Seen(Z_UM + 4.0, 70.0)
    assert sharpest_aside(final, [final, near, below, above], PROBE_UM) == above
    assert sharpest_aside(final, [final, near], PROBE_UM) is None


def unproven(scope: Scope, strategy: str, gain: float, offset_um: float) -> Focuser:
    """A loop on a microscope on which the models say `gain` times the distance, and `offset_um` more."""
    config = msgspec.structs.replace(scope.config.focus, strategy=strategy)
    pair = KnowsTruth(scope.bench, FOCUS_Z_UM, [[offset_um] * 4], gain=gain)
    single = KnowsTruthOfOne(scope.bench, FOCUS_Z_UM, [[offset_um]], gain=gain)
    return Focuser(scope.board.z, scope.camera, Predictor(pair), config, Predictor(single), Proof())


@pytest.mark.parametrize("strategy", ["two-shot", "controller"])
@pytest.mark.parametrize(("gain", "offset_um"), [(0.45, -1.0), (1.0, 1.9)])
def test_no_field_of_a_foreign_microscope_ends_focused_and_wrong(
    config: Config, strategy: str, gain: float, offset_um: float
) -> None:
    scope = Scope(config)
    focuser = unproven(scope, strategy, gain, offset_um)
    outcomes = []
    for start_um in (-6.0, 1.0):
        outcomes.append(focuser.focus(FOCUS_Z_UM + start_um).outcome)
        assert abs(scope.error_um()) <= 1.0
    assert set(outcomes) <= {"focused", "recovered"}
    assert "recovered" in outcomes


@pytest.mark.parametrize("strategy", ["two-shot", "controller"])
def test_three_fields_prove_a_microscope_that_is_known(config: Config, strategy: str) -> None:
    scope = Scope(config)
    focuser = unproven(scope, strategy, 1.0, 0.0)
    done = [focuser.focus(FOCUS_Z_UM + start_um) for start_um in (-2.0, -1.5, -1.0, -2.0)]
    assert {one.outcome for one in done} == {"focused"}
    assert np.abs(scope.error_um()) <= 0.35
    assert min(one.images for one in done[:FIELDS]) >= max(one.images for one in done[FIELDS:])
    for one in done[:FIELDS]:
        away_um = [seen.z_um - one.z_um for seen in one.seen]
        assert any(1.8 <= away <= 2.6 for away in away_um)
        assert any(-2.6 <= away <= -1.8 for away in away_um)


def test_a_sweep_goes_on_where_it_still_rises(config: Config) -> None:
    scope = Scope(config)
    # Says 5.5 um too much. The sharpest shot of the proof lies 3.5 um above the focus, beyond a short sweep about it.
    result = unproven(scope, "controller", 1.0, 5.5).focus(FOCUS_Z_UM + 8.0)
    assert result.outcome == "recovered"
    assert abs(scope.error_um()) <= 0.5
    assert result.images <= 20  # the wide sweep alone takes 25
