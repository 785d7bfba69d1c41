"""The verdict on a tile: from its own prediction, what was expected, and its sharpness beside its neighbours."""

import pytest

from parfocal.edge.config import FocusConfig
from parfocal.edge.scan.tiling.heights import Expected
from parfocal.edge.scan.tiling.judge import N_NEIGHBOURS, Seen, TileJudge

NEAR = Expected(100.0, 0.5)


def judge(n_sharp: int = N_NEIGHBOURS) -> TileJudge:
    """A judge that knows the constant of the model, and some sharp neighbours."""
    made = TileJudge(None, FocusConfig(), 0.345)
    made.restore((0.0,) * 10)
    for _ in range(n_sharp):
        made.accept(seen(0.0))
    return made


def seen(distance_um: float | None, crispness: float = 1.0, tissue: bool = True) -> Seen:
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
    ],
)
def test_the_verdict_on_a_picture(shown: Seen, verdict: str) -> None:
    assert judge().judge(shown, 100.0, NEAR).verdict == verdict


def test_content_with_little_detail_is_not_called_blurred_again_once_it_was_found_in_focus() -> None:
    plain = seen(0.1, crispness=0.4)
    taught = judge()
    taught.accept_as_sharp(plain, above_um=1.5)  # it was blurred indeed
    assert taught.judge(plain, 100.0, NEAR).verdict == "blurred"
    taught.accept_as_sharp(plain, above_um=0.2)
    assert taught.judge(plain, 100.0, NEAR).verdict == "good"
    # Less sharp still is blurred as before.
    assert taught.judge(seen(0.1, crispness=0.25), 100.0, NEAR).verdict == "blurred"
