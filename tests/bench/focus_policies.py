"""What the focus bench compares: the autofocus patterns of other open microscopes, two papers, and our strategies."""

import functools
from collections.abc import Callable

import msgspec

from parfocal.edge.config import FocusConfig
from parfocal.edge.engine import opened_engine
from parfocal.edge.focus.focuser import Focuser
from parfocal.edge.focus.judging.estimate import estimate_single
from parfocal.edge.focus.judging.proof import CALIBRATED, Proof
from parfocal.edge.focus.result import FocusLost, FocusResult
from parfocal.edge.objectives import FOCUS_OF
from parfocal.engines.predictor import Correction, Predictor
from tests.bench import peers
from tests.bench.focus_stand import SIDE_OF_SINGLE_PX, SIDE_PX, Conditions, Policy, Stand

OURS = ("two-shot", "controller, pairs", "controller")
WITH_SINGLE = ("single shot alone", "controller")
PEERS: dict[str, Policy] = {
    "step and climb": peers.step_and_climb,
    "fast sweep": peers.fast_sweep,
    "two-stage sweep": peers.two_stage_sweep,
    "Brent": peers.brent,
    "coarse and fine": peers.coarse_and_fine,
    "z-stack, Gaussian": peers.z_stack,
}
# How far the sharpest plane is above the plane of least wavefront variance, um, by condenser: what a calibration finds
# on the sample tissue.
SHARPEST_UM = {0.6: 0.35, 0.45: 0.52}
NAMES = (*PEERS, "paper to the letter", "single shot alone", *OURS)


class Ours:
    """One of our strategies. The history lasts as long as the slide. `result` is that of the last field."""

    def __init__(
        self, stand: Stand, pair: Predictor, single: Predictor | None, strategy: str, is_calibrated: bool
    ) -> None:
        focus = msgspec.structs.replace(stand.config.focus, strategy=strategy)
        above_um = -SHARPEST_UM[stand.conditions.condenser] if is_calibrated else None
        self._focuser = Focuser(
            stand.axis,
            stand,
            pair,
            focus,
            single,
            CALIBRATED if is_calibrated else Proof(),
            above_sharpest_um=above_um,
        )
        self.result: FocusResult | None = None

    def __call__(self, stand: Stand) -> tuple[int, str]:
        try:
            result = self._focuser.focus(stand.axis.position_um)
        except FocusLost as lost:
            if lost.result is None:
                raise
            result = lost.result
        self.result = result
        return result.images, result.outcome


class SingleShot:
    """liao2021 alone: one shot, one move, arrived at from below; a second shot shows the end."""

    def __init__(self, single: Predictor) -> None:
        self._single = single

    def __call__(self, stand: Stand) -> tuple[int, str]:
        shot = stand.shoot()
        found = estimate_single(shot.pixels, self._single, stand.config.focus)
        stand.axis.approach_up(shot.z_um + found.distance_um)
        stand.shoot()
        return stand.images, "focused"


def policy_named(name: str, conditions: Conditions, is_calibrated: bool) -> Callable[[Stand], Policy]:
    """What makes a policy anew for every slide. `is_calibrated`: the models are told the condenser, and are proven."""
    if name in PEERS:
        return lambda _stand: PEERS[name]
    condenser = conditions.condenser if is_calibrated else None
    ships = msgspec.structs.replace(FocusConfig(), **FOCUS_OF[conditions.objective])
    pair = _predictor(FocusConfig(model=ships.model), condenser)
    if name == "paper to the letter":
        return lambda _stand: peers.PaperToTheLetter(pair)
    single = _predictor(FocusConfig(model=ships.single_model), condenser) if name in WITH_SINGLE else None
    if name == "single shot alone" and single is not None:
        return lambda _stand: SingleShot(single)
    strategy = name.split(",", maxsplit=1)[0]
    return lambda stand: Ours(stand, pair, single, strategy, is_calibrated)


def side_px_of(name: str) -> int:
    """Pictures as large as the policy needs."""
    return SIDE_OF_SINGLE_PX if name in WITH_SINGLE else SIDE_PX


@functools.cache
def _predictor(focus: FocusConfig, condenser: float | None) -> Predictor:
    predictor = opened_engine(focus).predictor
    return predictor if condenser is None else predictor.corrected(Correction(condenser=condenser))
