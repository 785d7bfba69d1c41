"""Through an objective with more depth of field the loop does the same, and each distance is so many times as long.

The aperture is half of that of 20x/0.75, so the depth of field is four times as large, and four times a float is exact:
decisions must be the same to the last bit.
"""

from typing import TypeVar, cast

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.controlled import controller
from parfocal.edge.focus.controlled.claims import Claim, ClaimErrors, Record
from parfocal.edge.focus.controlled.controller import Bounds, Look
from parfocal.edge.focus.controlled.curve import Curve, claim_by_sharpness, curve_after, curve_before
from parfocal.edge.focus.controlled.history import History, Verified
from parfocal.edge.focus.judging import belief, proof, rule
from parfocal.edge.focus.judging.depth import REFERENCE_DEPTH_UM, depth_of_field_um, depth_scale
from parfocal.edge.focus.judging.estimate import Estimate
from parfocal.edge.focus.judging.rule import Seen
from parfocal.edge.focus.result import Attempt
from parfocal.edge.scan.tiling.judging.reading import Known, Reading
from parfocal.engines.model.head import Prediction

DEEP = "10x/0.375"
SCALE = 4.0
T = TypeVar("T")
NEAR_CONFIG = FocusConfig()


def longer(value: T) -> T:
    """A value through the deeper objective: fields in um, and numbers by themselves, are so many times as large."""
    return cast(T, _longer(value))


def _longer(value: object) -> object:
    if isinstance(value, float):
        return SCALE * value
    if isinstance(value, tuple):
        return tuple(_longer(one) for one in value)
    if isinstance(value, Curve):
        return curve_before(SCALE * value.depth_um, SCALE * value.above_um)
    if not isinstance(value, msgspec.Struct):
        return value
    changed = {}
    for name in value.__struct_fields__:
        field = getattr(value, name)
        is_length = name.endswith("_um") or name == "scale"
        is_made_of_others = isinstance(field, msgspec.Struct) or (
            isinstance(field, tuple) and name != "weights"
        )
        if is_length or is_made_of_others:
            changed[name] = _longer(field)
    return msgspec.structs.replace(value, **changed)


DEEP_CONFIG = msgspec.structs.replace(longer(NEAR_CONFIG), objective=DEEP)
REACH = rule.reach_of(10.0, NEAR_CONFIG)
BOUNDS = Bounds((2000.0, 3000.0), REACH)

distances_um = st.floats(-12.0, 12.0)
sigmas_um = st.floats(0.02, 1.5)
records = st.builds(Record, distances_um, distances_um, st.none() | sigmas_um, st.integers(0, 3))
claim_errors = st.builds(
    ClaimErrors,
    st.lists(records, min_size=3, max_size=9).map(tuple),
    st.lists(records, max_size=4).map(tuple),
)
claims = st.builds(Claim, distances_um, sigmas_um)
seen = st.builds(Seen, st.floats(2490.0, 2510.0), st.floats(50.0, 400.0))
estimates = st.builds(
    lambda distance_um, spread_um, sigma_um, doubt: Estimate(
        distance_um, spread_um, (distance_um,), (1.0,), sigma_um, doubt
    ),
    distances_um,
    st.floats(0.0, 2.0),
    st.none() | sigmas_um,
    st.sampled_from(["", "", "strange"]),
)
looks = st.builds(
    Look,
    st.floats(2490.0, 2510.0),
    st.floats(50.0, 400.0),
    st.floats(400.0, 1500.0),
    st.none() | estimates,
    st.none() | claims,
)
histories = st.builds(
    lambda errors, above_um, unverified: History(
        REFERENCE_DEPTH_UM,
        errors,
        tuple(Verified(1.0, 1000.0) for _ in range(4)),
        unverified,
        curve=None if above_um is None else curve_before(REFERENCE_DEPTH_UM, above_um),
    ),
    claim_errors,
    st.none() | st.sampled_from([0.0, 0.25, 0.5]),
    st.sampled_from([0, 16]),
)


def test_the_depth_of_field_goes_with_the_aperture_squared() -> None:
    assert depth_of_field_um("20x/0.75") == REFERENCE_DEPTH_UM
    assert depth_scale("20x/0.75") == 1.0
    assert depth_scale(DEEP) == SCALE
    assert depth_scale("10x/0.3") == pytest.approx(6.25)
    assert REACH.scale == 1.0
    assert rule.reach_of(10.0, DEEP_CONFIG).scale == SCALE
    assert rule.reach_of(40.0, DEEP_CONFIG, 20.0).scale == SCALE


@given(claim_errors, distances_um, st.none() | sigmas_um, records)
@settings(max_examples=60, deadline=None)
def test_claims_are_corrected_alike(
    errors: ClaimErrors, claimed_um: float, sigma_um: float | None, more: Record
) -> None:
    for one in (errors, errors.with_verified((more,)), errors.with_others((more,))):
        near = one.corrected(claimed_um, sigma_um)
        assert longer(near) == longer(one).corrected(longer(claimed_um), longer(sigma_um))


def test_a_deep_history_stays_one() -> None:
    deep = longer(ClaimErrors((Record(1.0, 1.0),) * 3))
    assert deep.with_verified((Record(4.0, 4.0),)).scale == SCALE
    assert deep.with_others((Record(4.0, 4.0),)).scale == SCALE


@given(st.none() | st.sampled_from([0.0, 0.25, 0.5]), st.lists(seen, min_size=1, max_size=5), claims)
@settings(max_examples=60, deadline=None)
def test_sharpness_tells_the_focus_alike(above_um: float | None, shots: list[Seen], near: Claim) -> None:
    flat = curve_before(REFERENCE_DEPTH_UM, above_um)
    deep = curve_before(SCALE * REFERENCE_DEPTH_UM, None if above_um is None else SCALE * above_um)
    learned = curve_after(flat, shots, 2500.0), curve_after(deep, longer(tuple(shots)), SCALE * 2500.0)
    for one, other in ((flat, deep), learned):
        assert (SCALE * one.width_um, SCALE * one.above_um) == pytest.approx((other.width_um, other.above_um))
        assert SCALE * one.above_sigma_um == pytest.approx(other.above_sigma_um)
        told = claim_by_sharpness(one, shots, near)
        deeper = claim_by_sharpness(other, longer(tuple(shots)), longer(near))
        assert (told is None) == (deeper is None)
        if told is not None and deeper is not None:
            assert longer(told).distance_um == pytest.approx(deeper.distance_um, abs=1e-6)
            assert longer(told).sigma_um == pytest.approx(deeper.sigma_um)


# Calibrated, with four fields on record: what is uncertain by 0.2 um is gone to, by 0.4 um from below.
TAUGHT = History(
    REFERENCE_DEPTH_UM,
    ClaimErrors((Record(1.0, 1.0), Record(-1.0, -1.0), Record(3.0, 2.9))),
    tuple(Verified(1.0, 1000.0) for _ in range(4)),
    curve=curve_before(REFERENCE_DEPTH_UM, 0.25),
)
UNCALIBRATED = msgspec.structs.replace(TAUGHT, curve=None)
ABOVE = Look(2500.0, 100.0, 1000.0, claim=Claim(2.0, 0.2))
UNSURE_ABOVE = Look(2500.0, 100.0, 1000.0, claim=Claim(2.0, 0.4))
FAR_BELOW = Estimate(-11.0, 0.2, (-11.0,), (1.0,), 0.4, "")
STARTED, ENDED = (
    Look(2500.0 + z_um, sharpness, 1000.0, claim=Claim(-z_um, 0.6))
    for z_um, sharpness in ((0.9, 90.0), (0.0, 100.0))
)


@given(looks, histories, st.booleans())
@example(ABOVE, TAUGHT, False)
@example(UNSURE_ABOVE, TAUGHT, False)
@settings(max_examples=150, deadline=None)
def test_the_controller_decides_alike_on_arrival(look: Look, history: History, measures: bool) -> None:
    bounds = msgspec.structs.replace(BOUNDS, measures=measures)
    step = controller.on_arrival(look, history, bounds, NEAR_CONFIG)
    assert longer(step) == controller.on_arrival(longer(look), longer(history), longer(bounds), DEEP_CONFIG)
    far = controller.on_far_arrival(look, history, bounds)
    assert longer(far) == controller.on_far_arrival(longer(look), longer(history), longer(bounds))


@given(looks, looks, histories)
@example(STARTED, ENDED, UNCALIBRATED)
@settings(max_examples=150, deadline=None)
def test_the_controller_checks_a_single_shot_alike(start: Look, final: Look, history: History) -> None:
    step = controller.on_single_check(start, final, history, BOUNDS, NEAR_CONFIG, 1)
    deep = controller.on_single_check(
        longer(start), longer(final), longer(history), longer(BOUNDS), DEEP_CONFIG, 1
    )
    assert longer(step) == deep


@given(estimates, st.none() | st.floats(2490.0, 2510.0), st.none() | distances_um, looks)
@example(FAR_BELOW, None, None, ABOVE)
@settings(max_examples=200, deadline=None)
def test_a_pair_leads_to_the_same_step(
    found: Estimate, earlier_um: float | None, before_um: float | None, look: Look
) -> None:
    attempts = () if before_um is None else (Attempt(2498.0, 2500.0, (before_um,), before_um, 0.2, "x"),)
    step = controller.on_pair(found, 2500.0, attempts, BOUNDS, NEAR_CONFIG, earlier_um, REFERENCE_DEPTH_UM)
    deep = controller.on_pair(
        longer(found),
        longer(2500.0),
        longer(attempts),
        longer(BOUNDS),
        DEEP_CONFIG,
        longer(earlier_um),
        longer(REFERENCE_DEPTH_UM),
    )
    assert longer(step) == deep
    followed = controller.on_pair_followed(found, look, step, BOUNDS)
    assert longer(followed) == controller.on_pair_followed(longer(found), longer(look), deep, longer(BOUNDS))
    confirmed = controller.confirmed_by(look, 2500.0, REACH)
    assert longer(confirmed) == controller.confirmed_by(longer(look), longer(2500.0), longer(REACH))


@given(seen, st.lists(seen, max_size=3))
@example(Seen(2500.0, 100.0), [Seen(2501.0, 95.0)])
@example(Seen(2500.0, 100.0), [Seen(2502.0, 95.0)])
def test_pictures_contradict_each_other_alike(final: Seen, others: list[Seen]) -> None:
    deep = rule.contradicts(longer(final), longer(tuple(others)), DEEP_CONFIG)
    assert rule.contradicts(final, others, NEAR_CONFIG) == deep


@given(seen, st.lists(seen, max_size=4), distances_um, st.integers(0, 4))
@example(Seen(2500.0, 100.0), [Seen(2502.0, 95.0)], 4.0, 3)
def test_a_proof_is_asked_for_alike(final: Seen, shots: list[Seen], distance_um: float, passed: int) -> None:
    limits_um = (2495.0, 2600.0)
    missing = proof.missing_um(final.z_um, shots, limits_um, 2.0)
    deep = longer(tuple(shots))
    assert longer(missing) == proof.missing_um(longer(final.z_um), deep, longer(limits_um), longer(2.0))
    assert longer(proof.sharpest_aside(final, shots, 2.0)) == proof.sharpest_aside(
        longer(final), deep, longer(2.0)
    )
    proven = proof.Proof(passed, 2.0)
    assert proven.is_due(distance_um, 2.0) == longer(proven).is_due(longer(distance_um), longer(2.0))


@given(st.lists(st.tuples(distances_um, sigmas_um), min_size=1, max_size=5))
def test_patches_are_believed_alike(patches: list[tuple[float, float]]) -> None:
    distance_um, sigma_um = np.array(patches, np.float32).T
    contrasts = np.ones(len(patches), np.float32)
    together = belief.by_belief(Prediction(distance_um, sigma_um), contrasts)
    deep = belief.by_belief(Prediction(longer(1.0) * distance_um, longer(1.0) * sigma_um), contrasts, SCALE)
    assert longer(together) == deep


@given(
    st.lists(st.tuples(distances_um, st.floats(-0.9, 0.9), st.floats(0.0, 9000.0)), max_size=12), distances_um
)
@settings(max_examples=40, deadline=None)
def test_single_shots_of_a_slide_are_read_alike(
    known: list[tuple[float, float, float]], told_um: float
) -> None:
    flat, deep, place_um = Reading(), Reading(SCALE), (4000.0, 0.0)
    of_gain = [(1.8 * k / 10.0, k / 10.0, 900.0 * k) for k in range(-9, 10)]
    for told, true, x_um in [*known, *of_gain]:
        flat.learn([Known(told, true, x_um, 0.0)])
        deep.learn([Known(SCALE * told, SCALE * true, x_um, 0.0)])
    assert SCALE * flat.distance_um(told_um, place_um) == deep.distance_um(SCALE * told_um, place_um)
    assert SCALE * flat.constant_um(place_um) == deep.constant_um(place_um)
    assert SCALE * flat.constant_sigma_um(place_um) == deep.constant_sigma_um(place_um)
    assert (flat.gain, SCALE * flat.scatter_um) == (deep.gain, deep.scatter_um)
