import math

import msgspec
import pytest

from parfocal.edge.focus.following.rule import ALARM_FRAMES, Alarm, next_height_um
from parfocal.edge.focus.following.track import Prediction, Track

DEPTH_UM = 0.96
KNOWN = Track(10.0, 100.0, 0.0, 0.01, 0.0, 0.0004, n_agreeing=5)


def drifting(um_per_s: float) -> Track:
    return msgspec.structs.replace(KNOWN, drift_um_per_s=um_per_s)


# The focus is at 100 um: where does the stage go from `z_um`?
@pytest.mark.parametrize(
    ("drift", "z_um", "has_play", "target_um"),
    [
        (0.0, 100.0, True, None),
        (0.0, 99.8, True, None),  # near enough
        (0.0, 99.6, True, 100.0),
        (0.0, 95.0, True, 100.0),
        (0.0, 100.5, True, None),  # a dip is put off
        (0.0, 100.7, True, 100.0),
        (0.0, 100.5, False, 100.0),  # a lens has nothing to put off
        (1.0, 99.6, True, 100.12),  # where the focus will be on arrival
        (-1.0, 99.6, True, None),  # the focus comes to the stage
        (-1.0, 99.0, True, 99.256),  # but not from that far above
        (-1.0, 100.7, True, 99.176),  # past the focus, to wait for it
        (-1.0, 100.4, False, 99.88),
        (0.1, 99.6, True, 100.0),  # too slow to count on
        (-4.0, 99.65, False, None),  # it will have come below the stage before a move up ends
    ],
)
def test_where_the_stage_goes(drift: float, z_um: float, has_play: bool, target_um: float | None) -> None:
    found = next_height_um(drifting(drift), z_um, 10.0, DEPTH_UM, has_play)
    assert found == (None if target_um is None else pytest.approx(target_um, abs=0.02))


def test_a_drift_that_is_not_sure_is_not_counted_on() -> None:
    unsure = msgspec.structs.replace(drifting(1.0), variance_drift=1.5)
    assert next_height_um(unsure, 99.6, 10.0, DEPTH_UM, True) == pytest.approx(100.0)


def test_a_model_with_a_bias_waits_nearer_to_a_sinking_focus_and_longer() -> None:
    biased = msgspec.structs.replace(drifting(-1.0), bias_um=0.35)
    assert next_height_um(biased, 100.7, 10.0, DEPTH_UM, True) == pytest.approx(
        99.8 - (0.624 - 0.35), abs=0.02
    )
    assert next_height_um(biased, 98.9, 10.0, DEPTH_UM, True) is None
    assert next_height_um(biased, 98.5, 10.0, DEPTH_UM, True) is not None


@pytest.mark.parametrize(
    "track",
    [
        msgspec.structs.replace(KNOWN, n_agreeing=2),
        msgspec.structs.replace(KNOWN, aside=(Prediction(9.9, 90.0, 0.3),)),
    ],
)
def test_nothing_moves_before_predictions_agree(track: Track) -> None:
    assert next_height_um(track, 95.0, 10.0, DEPTH_UM, True) is None


def raised_after(shares: list[float]) -> int | None:
    """After how many pictures of these shares of the best sharpness the alarm is raised."""
    alarm = Alarm().heard(100.0)
    for number, share in enumerate(shares, start=1):
        alarm = alarm.heard(100.0 * share)
        if alarm.is_raised:
            return number
    return None


def test_an_alarm_is_raised_by_a_picture_that_stays_unsharp() -> None:
    assert raised_after([0.3] * 20) == ALARM_FRAMES
    assert raised_after([0.5] * 20) is None
    assert raised_after(([0.3] * (ALARM_FRAMES - 1) + [0.9]) * 3) is None


def test_a_field_that_changes_slowly_raises_no_alarm() -> None:
    # A tenth of the sharpness after a minute and a half, at 30 frames a second.
    assert raised_after([math.exp(-0.00085 * k) for k in range(2700)]) is None
