"""When the stage follows a drifting focus, and when a picture is too unsharp, whatever the model says. Pure."""

import msgspec

from parfocal.edge.focus.following.track import Track

# Shares of the depth of field. Closer than `NEAR` the stage stays.
NEAR = 0.3
# A move down costs a dip through the play, during which nothing is in focus. So it is put off for longer, and a focus
# that drifts downwards is awaited from below.
PUT_OFF = 0.65
AWAITED_BELOW = 0.65
# Time from the decision until the stage is at rest and seen again, s: a move, 0.05 s to settle, a frame.
MOVE_S, DIP_S = 0.12, 0.2
# A drift is counted on if it is this many of its uncertainties, and not slower than this.
SURE_DRIFT, MIN_DRIFT_UM_PER_S = 1.0, 0.15

# A picture is unsharp below this share of the best of its kind, and an alarm is raised after so many frames in a row:
# long enough for the model to notice a jump and to mend it.
UNSHARP_SHARE, ALARM_FRAMES = 0.4, 12
# The best is forgotten at this rate per frame, 10 % in 3 s at 30 frames per second: the field may change slowly.
FORGOTTEN = 0.001


def next_height_um(track: Track, z_um: float, now_s: float, depth_um: float, has_play: bool) -> float | None:
    """The height to go to from `z_um`, None to stay. `has_play`: a move down dips through the play of the gear."""
    if not track.is_agreed:
        return None
    drift = track.drift_um_per_s
    is_drifting = abs(drift) >= max(MIN_DRIFT_UM_PER_S, SURE_DRIFT * track.sigma_drift_um_per_s)
    is_sinking = has_play and is_drifting and drift < 0.0
    away_um = track.at_um(now_s) - z_um
    # How far below a sinking focus the stage waits: no farther than it is surely within the depth of field. A focus
    # that comes down anyway is awaited rather than met by a move up and another dip.
    awaited_um = max(0.0, AWAITED_BELOW * depth_um - track.bias_um) if is_sinking else 0.0
    patience_um = awaited_um + 2.0 * track.bias_um if is_sinking else 0.0
    farthest_up_um = NEAR * depth_um + patience_um
    farthest_down_um = (PUT_OFF if has_play else NEAR) * depth_um
    if -farthest_down_um <= away_um <= farthest_up_um:
        return None
    wait_s = DIP_S if has_play and away_um < 0.0 else MOVE_S
    ahead_um = drift * wait_s if is_drifting else 0.0
    target_um = track.at_um(now_s) + ahead_um - awaited_um
    # What is awaited from below must not turn a move up into one down.
    return None if (target_um - z_um) * away_um <= 0.0 else target_um


class Alarm(msgspec.Struct, frozen=True):
    """Sharpness of the pictures at rest: the `best` of them, slowly forgotten, and `n_unsharp` in a row."""

    best: float = 0.0
    n_unsharp: int = 0

    @property
    def is_raised(self) -> bool:
        """Whether the picture has been unsharp for too long."""
        return self.n_unsharp >= ALARM_FRAMES

    def heard(self, sharpness: float) -> "Alarm":
        """The alarm after one more picture."""
        best = max(sharpness, self.best * (1.0 - FORGOTTEN))
        return Alarm(best, self.n_unsharp + 1 if sharpness < UNSHARP_SHARE * best else 0)
