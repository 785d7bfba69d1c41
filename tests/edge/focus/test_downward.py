"""The sweep downwards, which only a calibration may use."""

import pytest

from parfocal.board.motion.gear import Engagement
from parfocal.edge.focus.downward import sweep_down
from tests.edge.scope import FOCUS_Z_UM, Scope


def test_shots_of_a_downward_sweep_stand_above_their_height_by_the_play(scope: Scope) -> None:
    axis = scope.board.z
    axis.approach_up(FOCUS_Z_UM)
    for shot in sweep_down(axis, scope.camera, scope.config.focus, (FOCUS_Z_UM - 30.0, FOCUS_Z_UM - 35.0)):
        assert shot.z_um == axis.position_um
        assert scope.true_z_um() == pytest.approx(shot.z_um + 20.0, abs=0.05)
    assert axis.engagement is Engagement.DOWN


@pytest.mark.parametrize(
    "heights_um", [(FOCUS_Z_UM,), (FOCUS_Z_UM + 1.0,), (FOCUS_Z_UM - 5.0, FOCUS_Z_UM - 4.0)]
)
def test_a_height_that_does_not_descend_is_refused_before_the_stage_goes_there(
    scope: Scope, heights_um: tuple[float, ...]
) -> None:
    scope.board.z.approach_up(FOCUS_Z_UM)
    with pytest.raises(ValueError, match="does not lie below"):
        list(sweep_down(scope.board.z, scope.camera, scope.config.focus, heights_um))
    assert scope.board.z.position_um <= FOCUS_Z_UM
