"""Shots: taken after an approach from below, at the height that the axis reports; and the sweep made of them."""

import numpy as np
import pytest

from parfocal.board.motion.gear import Engagement
from parfocal.edge.focus.shots import Shot, Shots
from tests.edge.scope import FOCUS_Z_UM, Scope


@pytest.fixture
def shots(scope: Scope) -> Shots:
    return Shots(scope.board.z, scope.camera, scope.config.focus)


def test_a_shot_reports_the_height_of_the_axis_which_takes_whole_steps(scope: Scope, shots: Shots) -> None:
    shot = shots.take(2480.1)
    assert shot.z_um == scope.board.z.position_um == 2480.0  # steps of 0.3125 um
    assert scope.true_z_um() == pytest.approx(2480.0, abs=0.05)
    assert scope.board.z.engagement is Engagement.UP


def test_a_sweep_takes_every_plane_up_to_the_last_one(shots: Shots) -> None:
    swept = shots.sweep(2490.0, 2510.0, 5.0)
    assert [seen.z_um for seen in swept] == [2490.0, 2495.0, 2500.0, 2505.0, 2510.0]
    assert max(swept, key=lambda seen: seen.sharpness).z_um == FOCUS_Z_UM
    assert shots.images == 5
    assert shots.path_um == (2490.0, 2495.0, 2500.0, 2505.0, 2510.0)
    assert shots.sweep(2510.0, 2490.0, 5.0) == []


def test_a_lower_height_is_approached_from_the_run_up_below_it(scope: Scope) -> None:
    overshoot_um = scope.board.z.overshoot_um
    for run_up_um, below_um in ((0.0, overshoot_um), (overshoot_um + 10.0, overshoot_um + 10.0)):
        shots = Shots(scope.board.z, scope.camera, scope.config.focus, run_up_um)
        assert shots.lowest_um == scope.board.z.limits_um[0] + below_um
        shots.take(2500.0)
        shots.restart_trace()
        shots.take(2490.0)
        assert shots.path_um == (2490.0 - below_um, 2490.0)
        assert shots.images == 1


def test_a_shot_is_shown_without_its_pixels_and_equals_only_itself(scope: Scope) -> None:
    pixels = np.zeros((500, 600, 3), np.uint8)
    shot = Shot(12.345, pixels, scope.config.focus)
    assert repr(shot) == "Shot(z_um=12.35, 600 x 500 px)"
    assert shot == shot
    assert shot != Shot(12.345, pixels, scope.config.focus)
    assert shot.part is shot.part  # cut once
