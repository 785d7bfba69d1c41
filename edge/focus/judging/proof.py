"""Whether predictions hold on this microscope: the pictures of a few fields must prove it. Pure.

On a microscope that a model does not know, its distances have another factor and another zero. Estimates still agree
with each other, and a stage that comes from one side meets ever sharper pictures, and stops too early. So shots on both
sides of the predicted focus must be less sharp. A few fields prove it for a run; a calibration has proven it before.
"""

import math
from collections.abc import Sequence

import msgspec

from parfocal.edge.focus.judging.rule import Seen

# A shot `focus.proof_um` away, 2 um, is less sharp if the sharpest plane is nearer than half of it. Curves are not
# symmetric: without the margin, ends up to 1.2 um off passed with a condenser of 0.45.
DISPROVES = 0.9
# A field whose shots on both sides have at most this share of its sharpness speaks for the next ones too. At the
# reference 0.4 to 0.8; a condenser of 0.45 leaves 0.8 to 0.9: each field then needs its own proof.
PROVES = 0.8
# Shots that were taken anyway count, if they lie about there: shares of that distance.
LEAST_AWAY, MOST_AWAY = 0.9, 1.3
FIELDS = 3  # that prove the predictions of a run; as many more for each field that disproves them
# Fields prove predictions up to their distance and so many times as much. The factor of a model shows only from farther
# away.
REACH = 1.5


class Proof(msgspec.Struct, frozen=True):
    """What fields have proven: how many, up to which predicted distance, um, and how many were disproved."""

    passed: int = 0
    reach_um: float = 0.0
    failed: int = 0

    @property
    def is_given(self) -> bool:
        """Whether enough fields have proven the predictions near the focus."""
        return self.passed >= FIELDS * (1 + self.failed)

    def is_due(self, distance_um: float, probe_um: float) -> bool:
        """Whether a field whose last predicted distance was `distance_um` needs a proof, by shots `probe_um` aside."""
        return not self.is_given or abs(distance_um) > self.reach_um + REACH * probe_um

    def after(self, share: float, distance_um: float) -> "Proof":
        """After a field. `share`: the sharpness of the sharpest shot aside over that of its end."""
        if share >= DISPROVES:
            return Proof(0, 0.0, self.failed + 1)
        if share > PROVES:
            return self
        return Proof(self.passed + 1, max(self.reach_um, abs(distance_um)), self.failed)


# Of a model that was calibrated on this microscope.
CALIBRATED = Proof(FIELDS, math.inf)


def missing_um(
    final_um: float, seen: Sequence[Seen], limits_um: tuple[float, float], probe_um: float
) -> tuple[float, ...]:
    """Heights of the shots that a proof of `final_um` still needs, the upper one first; none beyond the limits.

    They lie `probe_um` above and below.
    """
    missing = []
    for side in (1.0, -1.0):
        away_um = [side * (one.z_um - final_um) for one in seen]
        z_um = final_um + side * probe_um
        is_there = any(LEAST_AWAY * probe_um <= away <= MOST_AWAY * probe_um for away in away_um)
        if not is_there and limits_um[0] <= z_um <= limits_um[1]:
            missing.append(z_um)
    return tuple(missing)


def sharpest_aside(final: Seen, seen: Sequence[Seen], probe_um: float) -> Seen | None:
    """The sharpest shot that is not near `final`, for a proof with shots `probe_um` aside; None without one."""
    aside = [one for one in seen if abs(one.z_um - final.z_um) >= LEAST_AWAY * probe_um]
    return max(aside, key=lambda one: one.sharpness, default=None)
