"""A run that learns: the loop ends nearer to the sharpest plane, and says what it learned."""

import msgspec
import pytest

from parfocal.edge.focus.result import Attempt, FocusResult
from parfocal.edge.scan.learner import observation_of
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.report import run_report
from parfocal.edge.scan.session import Session
from parfocal.engines.predictor import Predictor
from tests.edge.calibrate.plain import CONFIG, FOCUS_Z_UM, Plain
from tests.edge.calibrate.test_focus_loop import EndsHigh
from tests.edge.scope import with_focus


def visited(n: int, learn: bool = True, above_sharpest_um: float | None = 0.0) -> Session:
    plain = Plain({})
    instrument = msgspec.structs.replace(plain.instrument, above_sharpest_um=above_sharpest_um)
    runner = EndsHigh(plain)
    runner.says_um = -0.3  # 0.2 um too high
    # The two-shot rule takes shots on both sides of the focus in most fields, the controller in few.
    config = with_focus(CONFIG, learn=learn, strategy="two-shot")
    session = Session(instrument, Predictor(runner), config)
    instrument.home_if_allowed()
    scan = CONFIG.scan
    with instrument.lit(scan.lamp_duty):
        for k in range(n):
            session.visit(Field(scan.origin_x_um, scan.origin_y_um), FOCUS_Z_UM + 1.2 + 0.1 * k)
    return session


def test_a_model_that_ends_too_high_is_corrected_while_the_run_goes_on() -> None:
    learned = visited(11).learning
    assert learned is not None
    assert learned.fields == 11
    assert -0.3 <= learned.offset_um < -0.1
    assert run_report([], 0, 0.0, learned=learned).learned == learned


def test_nothing_is_learned_where_nobody_measured_where_the_loop_ends_or_the_user_does_not_want_it() -> None:
    assert visited(0, learn=False).learning is None
    assert visited(0, above_sharpest_um=None).learning is None


@pytest.mark.parametrize(("z2_um", "is_up"), [((2494.0, 2499.0), True), ((2504.0, 2498.0), False)])
def test_a_field_with_two_pairs_says_the_gain_and_the_direction_of_its_move(
    z2_um: tuple[float, float], is_up: bool
) -> None:
    pairs = tuple(Attempt(z - 2.0, z, (), 1.1 * (2500.0 - z), 0.1, "half_distance") for z in z2_um)
    result = FocusResult("focused", 2500.0, 5, pairs, ())
    seen = observation_of(result, 0.0)
    assert seen.gain == pytest.approx(1.0 / 1.1)
    assert seen.is_up is is_up


def test_a_change_that_a_person_must_know_is_the_advice_of_the_summary() -> None:
    learned = visited(0).learning
    assert learned is not None
    assert run_report([], 0, 0.0, learned=learned).summary.advice is None
    told = msgspec.structs.replace(learned, told="the optics changed suddenly")
    assert run_report([], 0, 0.0, learned=told).summary.advice == "the optics changed suddenly"
