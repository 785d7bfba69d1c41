"""A tunable lens that is not there: what its current does to the focus, fed only by time-stamped changes of it.

The membrane follows the current with a hysteresis (a play operator), swings, and drifts as the lens warms up.
What it does not model: a curve that ages, vibration, gravity on a tilted lens.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
import random

import msgspec

from parfocal.board.stub.stage.true_stage import HISTORY_S, check_history


class TunableLensConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One lens. The height for a settled current I is `um_per_ma` * I * (1 + bend * I / 120 + cube * (I / 120)^2).

    `hysteresis_ma`: width of the loop. `settle_tau_s`, `settle_hz`: of the damped swing after a change. The lens warms
    up with the square of the current, by `warmth_um` at 120 mA with time constant `warmth_tau_s`; the room moves it by
    `drift_um_per_min`. Beyond `flat_ma` the membrane follows no more.
    """

    um_per_ma: float = 0.33  # liao2021 appendix D: +-36 um lie within +-120 mA
    bend: float = 0.08
    cube: float = -0.04
    hysteresis_ma: float = 4.0
    settle_tau_s: float = 0.006  # at rest after 25 ms (liao2021 3.1)
    settle_hz: float = 80.0
    warmth_um: float = 0.4
    warmth_tau_s: float = 120.0
    drift_um_per_min: float = 0.1
    flat_ma: float = 400.0

    def height_um(self, current_ma: float) -> float:
        """Height for a current that has settled, without hysteresis and drift."""
        held_ma = min(max(current_ma, -self.flat_ma), self.flat_ma)
        share = held_ma / 120.0
        return self.um_per_ma * held_ma * (1.0 + self.bend * share + self.cube * share * share)


def drawn_lens(seed: int) -> TunableLensConfig:
    """The lens that `seed` draws."""
    draw = random.Random(f"lens {seed}")  # noqa: S311  # a lens, not a secret
    return TunableLensConfig(
        um_per_ma=draw.choice((-1.0, 1.0, 1.0)) * draw.uniform(0.28, 0.4),
        bend=draw.uniform(-0.12, 0.12),
        cube=draw.uniform(-0.06, 0.06),
        hysteresis_ma=draw.uniform(0.0, 6.0),
        settle_tau_s=draw.uniform(0.003, 0.007),
        settle_hz=draw.uniform(60.0, 120.0),
        warmth_um=draw.uniform(-0.5, 0.5),
        drift_um_per_min=draw.uniform(-0.2, 0.2),
    )


@dataclasses.dataclass(frozen=True)
class _Held:
    """A current from its start on: where the membrane stood, where it goes to (mA), and how warm the lens was."""

    start_s: float
    from_ma: float
    to_ma: float
    current_ma: float
    warmth: float


class TunableLens:
    """The true lens. Times never go back; the last `HISTORY_S` are known."""

    def __init__(self, config: TunableLensConfig, now_s: float) -> None:
        """No current, as cold as the room."""
        self.config, self._began_s = config, now_s
        self._held = [_Held(now_s, 0.0, 0.0, 0.0, 0.0)]

    def set_ma(self, time_s: float, current_ma: float) -> None:
        """The current changes now."""
        last, half_ma = self._held[-1], self.config.hysteresis_ma / 2.0
        to_ma = min(max(last.to_ma, current_ma - half_ma), current_ma + half_ma)
        self._held.append(
            _Held(time_s, self._follows_ma(last, time_s), to_ma, current_ma, self._warmth(last, time_s))
        )
        n_old = bisect.bisect_right(self._held, time_s - HISTORY_S, key=lambda held: held.start_s)
        del self._held[: max(n_old - 1, 0)]

    def um_at(self, time_s: float, now_s: float) -> float:
        """What the lens adds to the height of the stage at `time_s`, um. Raises ValueError outside the history."""
        check_history(time_s, now_s, HISTORY_S)
        index = bisect.bisect_right(self._held, time_s, key=lambda held: held.start_s) - 1
        held, config = self._held[max(index, 0)], self.config
        drift_um = config.drift_um_per_min * (time_s - self._began_s) / 60.0
        return (
            config.height_um(self._follows_ma(held, time_s))
            + config.warmth_um * self._warmth(held, time_s)
            + drift_um
        )

    def _follows_ma(self, held: _Held, time_s: float) -> float:
        since_s, config = max(0.0, time_s - held.start_s), self.config
        left = math.exp(-since_s / config.settle_tau_s) * math.cos(2.0 * math.pi * config.settle_hz * since_s)
        return held.to_ma + (held.from_ma - held.to_ma) * left

    def _warmth(self, held: _Held, time_s: float) -> float:
        """Share of the warmth of 120 mA."""
        final = (held.current_ma / 120.0) ** 2
        left = math.exp(-max(0.0, time_s - held.start_s) / self.config.warmth_tau_s)
        return final + (held.warmth - final) * left
