"""Following a drifting sample in virtual time, with pictures that are blurred by their distance from the focus."""

import functools
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.board.motion.gear import Engagement
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.edge.config import Config
from parfocal.edge.focus.following.follower import Follower, FollowEvent
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.bench import stub_of
from parfocal.edge.simscope.camera import SimulatedCamera
from parfocal.edge.simscope.drift import DriftingStage
from parfocal.engines.model.contract import Contract
from parfocal.engines.predictor import Predictor
from tests.contracts import single_contract
from tests.edge.scope import FOCUS_Z_UM, small, tissue

DEPTH_UM = 0.96
SIDE_PX = 452
BLACK = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)


@functools.cache
def blurred(quarters: int) -> UInt8Array:
    """The tissue this many quarters of a um from the focus."""
    if quarters == 0:
        return tissue(SIDE_PX)
    return np.asarray(cv2.GaussianBlur(blurred(0), (0, 0), 0.4 * quarters), np.uint8)


class Followed:
    """A sample whose focus rises by `risen_um(time_s)`, followed from where it is in focus.

    The model says `told_um(distance, time)` of the distance in the frame; the picture is blurred, or `seen` gives
    another one for the time.
    """

    def __init__(
        self,
        risen_um: Callable[[float], float] = lambda _time_s: 0.0,
        told_um: Callable[[float, float], float] = lambda distance_um, _time_s: distance_um,
        seen: Callable[[float], UInt8Array | None] = lambda _time_s: None,
    ) -> None:
        config = small(Config())
        self.bench = VirtualBench(stub_of(config, 1, 20.0))
        board = self.bench.open_board(config.board)
        board.home()
        board.lamp(config.scan.lamp_duty)
        self.axis = board.z
        self.clock = self.bench.clock
        self.clock.sleep_s(self.axis.approach_up(FOCUS_Z_UM) - self.clock.now_s())
        self.began_s = self.clock.now_s()
        self.stage = DriftingStage(self.bench, self.began_s, risen_um)
        self._told_um, self._seen = told_um, seen
        self._shown_um = FOCUS_Z_UM  # of the frame that was looked at last
        camera = SimulatedCamera(self.stage, self.clock, config.camera, self._render)
        self.follower = Follower(self.axis, camera, self.clock, Predictor(self), config.focus, 1)
        self.errors_um: list[float] = []
        self.heights_um: list[float] = []
        self._look()

    @property
    def contract(self) -> Contract:
        return single_contract(patch_px=32)

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        told_um = self._told_um(FOCUS_Z_UM - self._shown_um, self.clock.now_s() - self.began_s)
        return np.full((len(batch), 1), told_um, np.float32)

    def run(self, seconds: float) -> list[FollowEvent]:
        return [event for event in self.follower.run(seconds) if event is not None]

    def within(self) -> float:
        """Share of the time within a depth of field."""
        return float((np.abs(self.errors_um) <= DEPTH_UM).mean())

    def _error_um(self) -> float:
        return self.stage.true_um(self.clock.now_s())[2] - FOCUS_Z_UM

    def _look(self) -> None:
        self.errors_um.append(self._error_um())
        self.heights_um.append(self.bench.true_um(self.clock.now_s())[2])
        self.clock.call_at(self.clock.now_s() + 0.02, self._look)

    def _render(self, _x_um: float, _y_um: float, z_um: float, _duty: float) -> UInt8Array:
        # At rest: the frame shows the height that was commanded. The stub's screw is off by up to half a um.
        self._shown_um = z_um
        true_um = self.bench.true_um(self.clock.now_s())[2]
        assert true_um == pytest.approx(self.axis.position_um, abs=0.6)
        other = self._seen(self.clock.now_s() - self.began_s)
        return blurred(min(40, round(abs(z_um - FOCUS_Z_UM) * 4.0))) if other is None else other


def test_a_rising_focus_is_followed_by_moves_up_alone() -> None:
    followed = Followed(lambda time_s: time_s)
    events = followed.run(2.5)
    assert {event.kind for event in events} == {"up"}
    assert followed.within() >= 0.99
    # No dip: the stage was never clearly lower than before.
    assert np.diff(followed.heights_um).min() > -0.6
    assert events[-1].drift_um_per_s == pytest.approx(1.0, abs=0.2)


def test_a_sinking_focus_is_awaited_from_below_and_each_dip_ends_upwards() -> None:
    followed = Followed(lambda time_s: -time_s)
    events = followed.run(4.0)
    assert {event.kind for event in events} == {"down"}
    assert len(events) <= 4
    assert followed.within() >= 0.9
    assert followed.axis.engagement is Engagement.UP


def test_a_still_sample_is_left_alone_although_predictions_scatter() -> None:
    rng = np.random.default_rng(4)
    followed = Followed(told_um=lambda distance_um, _time_s: distance_um + rng.normal(0.0, 0.35))
    assert len(followed.run(2.0)) <= 1
    assert followed.within() == 1.0


@pytest.mark.parametrize(("jump_um", "kind"), [(5.0, "up"), (-5.0, "down")])
def test_a_jump_is_followed_once_enough_predictions_agree(jump_um: float, kind: str) -> None:
    followed = Followed(lambda time_s: jump_um if time_s > 1.0 else 0.0)
    events = followed.run(2.0)
    assert [event.kind for event in events] == [kind]
    assert events[0].z_um == pytest.approx(FOCUS_Z_UM + jump_um, abs=0.5)
    assert 1.0 + 2.0 / 30.0 < events[0].time_s < 1.3
    assert followed.within() > 0.8


def test_single_wrong_predictions_move_nothing() -> None:
    followed = Followed(
        told_um=lambda distance_um, time_s: 8.0 if int(time_s * 30.0) % 4 == 0 else distance_um
    )
    assert followed.run(2.0) == []


def test_no_move_is_longer_than_the_model_can_tell() -> None:
    followed = Followed(lambda time_s: 14.0 if time_s > 0.5 else 0.0)
    events = followed.run(1.2)
    assert events[0].z_um - events[0].from_um == pytest.approx(9.0, abs=0.4)  # 9/10 of the range
    assert events[-1].z_um == pytest.approx(FOCUS_Z_UM + 14.0, abs=0.6)


def test_a_model_that_sees_nothing_wrong_is_overruled_by_the_picture() -> None:
    followed = Followed(
        lambda time_s: 3.0 if time_s > 0.5 else 0.0, told_um=lambda _distance_um, _time_s: 0.0
    )
    events = followed.run(3.0)
    assert [event.kind for event in events] == ["found"]
    assert abs(followed.errors_um[-1]) <= DEPTH_UM
    assert 0.5 + 11.0 / 30.0 <= events[0].time_s < 1.5


def test_where_no_height_is_sharp_the_stage_is_held_whatever_the_model_says() -> None:
    followed = Followed(
        told_um=lambda _distance_um, time_s: 5.0 if time_s > 1.5 else 0.0,
        seen=lambda time_s: blurred(30) if time_s > 0.5 else None,
    )
    events = followed.run(3.0)
    assert [event.kind for event in events] == ["held"]
    assert followed.axis.position_um == pytest.approx(FOCUS_Z_UM, abs=0.2)
    assert max(followed.heights_um) < FOCUS_Z_UM + 6.0  # no higher than the sweep


def test_a_held_stage_follows_again_when_the_picture_is_sharp_again() -> None:
    followed = Followed(
        lambda time_s: 2.0 if time_s > 3.8 else 0.0,
        seen=lambda time_s: blurred(30) if 0.5 < time_s < 3.6 else None,
    )
    assert [event.kind for event in followed.run(4.3)] == ["held", "up"]
    assert abs(followed.errors_um[-1]) <= DEPTH_UM


def test_without_light_nothing_moves_and_it_is_said_once() -> None:
    followed = Followed(
        told_um=lambda _distance_um, time_s: 5.0 if time_s > 0.5 else 0.0,
        seen=lambda time_s: BLACK if time_s > 0.5 else None,
    )
    assert [event.kind for event in followed.run(2.0)] == ["nothing to see"]
    assert max(followed.heights_um) < FOCUS_Z_UM + 0.6
