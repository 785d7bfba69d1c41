"""The verdict on a tile: from its own prediction, what was expected, and its sharpness beside its neighbours."""

import itertools

import numpy as np
import pytest

from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.result import FocusResult
from parfocal.edge.focus.shots import Shot
from parfocal.edge.scan.tiling.heights import Expected
from parfocal.edge.scan.tiling.judging.judge import N_NEIGHBOURS, Seen, TileJudge
from parfocal.edge.scan.tiling.judging.reading import Known
from tests.edge.scan.tiling.small_slide import CENTRE_UM, FOCUS_Z_UM, UM_PER_PX, SmallSlide

NEAR = Expected(100.0, 0.5)


def judge(n_sharp: int = N_NEIGHBOURS) -> TileJudge:
    """A judge that knows the constant of the model, and some sharp neighbours."""
    made = TileJudge(None, FocusConfig(), 0.345)
    made.restore((Known(0.0, 0.0, 0.0, 0.0),) * 10)
    for _ in range(n_sharp):
        made.accept(seen(0.0))
    return made


def seen(distance_um: float | None, crispness: float | None = 1.0, tissue: bool = True) -> Seen:
    return Seen(distance_um, None if distance_um is None else 0.25, 100.0, crispness, tissue)


@pytest.mark.parametrize(
    ("shown", "verdict"),
    [
        (seen(0.1), "good"),
        (seen(None), "good"),
        (seen(0.0, tissue=False), "blank"),
        (seen(0.9), "predicted"),
        (seen(-6.0), "predicted"),  # a step: the picture counts, not what was expected
        (seen(0.1, crispness=0.4), "blurred"),
        (seen(None, crispness=0.4), "blurred"),
        (seen(0.1, crispness=0.65), "good"),
        (seen(0.1, crispness=None), "good"),  # too little in it to tell
    ],
)
def test_the_verdict_on_a_picture(shown: Seen, verdict: str) -> None:
    assert judge().judge(shown, 100.0, NEAR).verdict == verdict


def test_the_constant_of_single_shots_comes_from_every_field_that_two_shots_settled_near_its_focus() -> None:
    taught = TileJudge(None, FocusConfig(), 0.345)
    # Two fields that were only measured, from 0.9 um away, and one from far away, where a model says too little.
    for singles_um in (((-0.4, 0.3), (-1.6, -0.9)), ((0.2, 0.9),), ((7.0, 9.0),)):
        field = FocusResult("focused", 100.0, 2, (), (), left_um=-2.0, singles_um=singles_um)
        taught.learn_field(field, (10.0, 20.0))
    assert [known.told_um - known.true_um for known in taught.known] == pytest.approx([-0.7] * 3)
    assert {(known.x_um, known.y_um) for known in taught.known} == {(10.0, 20.0)}


def test_a_survey_settles_a_few_fields_by_two_shots_at_once_and_the_others_spread_over_the_slide() -> None:
    taught, settled = TileJudge(SmallSlide().eyes.single, FocusConfig(), 0.345), list[int]()
    for field in range(100):
        if taught.wants_field(field / 100):
            settled.append(field)
            taught.restore((Known(0.0, 0.0, 0.0, 0.0),))
    assert settled[:8] == list(range(8))
    assert len(settled) == 25
    assert max(b - a for a, b in itertools.pairwise(settled)) <= 7
    assert settled[-1] >= 90
    assert not TileJudge(None, FocusConfig(), 0.345).wants_field(0.0)


def test_a_picture_is_less_certain_far_from_all_fields_that_have_told_how_single_shots_read() -> None:
    small = SmallSlide()
    config = small.config.focus
    taught = TileJudge(small.eyes.single, config, UM_PER_PX)
    taught.restore((Known(0.0, 0.0, *CENTRE_UM),) * 10)
    shot = Shot(FOCUS_Z_UM, small.render(*CENTRE_UM, FOCUS_Z_UM, small.config.scan.lamp_duty), config)
    near, far = (taught.look(shot, (CENTRE_UM[0] + away_um, CENTRE_UM[1])) for away_um in (0.0, 50_000.0))
    assert near.sigma_um is not None
    assert near.sigma_um < 0.27
    assert far.sigma_um == pytest.approx(np.hypot(0.25, 0.2), abs=0.01)


def test_a_slide_of_two_stains_has_more_fields_settled_by_two_shots() -> None:
    taught = TileJudge(SmallSlide().eyes.single, FocusConfig(), 0.345)
    taught.restore(tuple(Known(1.5 * (k % 2), 0.0, 9_000.0 * (k % 2), 200.0 * k) for k in range(30)))
    assert taught.wants_field(1.0)


def test_tiles_with_hardly_anything_in_them_say_nothing_about_how_sharp_their_neighbours_should_be() -> None:
    taught = judge(0)
    for _ in range(N_NEIGHBOURS):
        taught.accept(seen(0.1, crispness=None))
        taught.accept(seen(0.1, crispness=9.0, tissue=False))
    assert taught.judge(seen(0.1, crispness=0.1), 100.0, NEAR).verdict == "good"


def test_content_with_little_detail_is_not_called_blurred_again_once_it_was_found_in_focus() -> None:
    plain = seen(0.1, crispness=0.4)
    taught = judge()
    taught.accept_as_sharp(plain, above_um=1.5)  # it was blurred indeed
    assert taught.judge(plain, 100.0, NEAR).verdict == "blurred"
    taught.accept_as_sharp(plain, above_um=0.2)
    assert taught.judge(plain, 100.0, NEAR).verdict == "good"
    # Less sharp still is blurred as before.
    assert taught.judge(seen(0.1, crispness=0.25), 100.0, NEAR).verdict == "blurred"


def test_neighbouring_tiles_tell_how_far_single_shots_scatter_whatever_few_fields_have_told() -> None:
    taught = TileJudge(None, FocusConfig(), 0.345)
    taught.restore(tuple(Known(0.6 * (-1) ** k, 0.0, 0.0, 0.0) for k in range(10)))
    before_um = taught.sigma_um
    rng = np.random.default_rng(3)
    for _ in range(200):
        taught.learn_beside(float(np.diff(rng.normal(0.0, 0.3, 2))[0]))
    assert before_um > 0.6
    assert taught.sigma_um == pytest.approx(0.37, abs=0.05)
