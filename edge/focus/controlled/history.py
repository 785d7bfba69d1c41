"""What the fields before say about a single-shot model on this slide. Pure; a new history comes of each field.

A single shot cannot be checked by itself. So its claims are held against the focus that pairs of shots or a sweep found
in the same fields: how far off they are, in which direction, and by how much they scatter. Nothing is taken from the
card of a model: it was measured on other slides.
"""

import math
from collections.abc import Sequence
from statistics import median

import msgspec

from parfocal.edge.focus.controlled.claims import Claim, ClaimErrors, Record
from parfocal.edge.focus.controlled.curve import Curve, claim_by_sharpness, curve_after
from parfocal.edge.focus.judging.estimate import Estimate
from parfocal.edge.focus.judging.rule import Seen

KEPT_FIELDS = 16  # that count; older ones are forgotten, as stain and thickness change along a slide
# Fields that a single shot may settle. Then one is settled by a pair, and the history goes on.
MAX_UNVERIFIED = 16
# A picture in focus has at least this share of the least clarity of the fields before. 3 um out of focus it is a third
# of what it is in focus, and neighbouring fields differ by up to a factor of two.
MIN_CLARITY_SHARE = 0.5
# One field that a pair got wrong by 0.6 um made every field after it wrong by as much. Where a calibration tells how
# far the sharpest plane is from the focus, the shots of the first field are held against it, and it is enough.
MIN_FIELDS, MIN_CALIBRATED_FIELDS = 3, 1
MAD_TO_SIGMA = 1.4826  # from the median of absolute deviations to the standard deviation, of normal errors


class Verified(msgspec.Struct, frozen=True):
    """A field whose focus was found by pairs or a sweep: the way from the pivot, and its clarity in focus."""

    shift_um: float
    clarity: float


class History(msgspec.Struct, frozen=True):
    """The fields of one slide so far.

    `claim_errors`: of fields that a pair has settled, and of those that single shots settled after a move.
    `unverified`: how many single shots alone settled since the last pair; `settled`: how many fields there were.
    `curve`: what is known of the focus curve, None to leave sharpness out.
    """

    depth_of_field_um: float
    claim_errors: ClaimErrors = ClaimErrors()
    fields: tuple[Verified, ...] = ()
    unverified: int = 0
    settled: int = 0
    curve: Curve | None = None

    @property
    def is_verification_due(self) -> bool:
        """Whether the next field must be settled by a pair."""
        return self.unverified >= MAX_UNVERIFIED

    @property
    def is_calibrated(self) -> bool:
        """Whether a calibration has told how far the sharpest plane is from the focus."""
        return self.curve is not None and self.curve.is_calibrated

    @property
    def is_established(self) -> bool:
        """Whether enough fields were verified for single shots to lead one."""
        return len(self.fields) >= (MIN_CALIBRATED_FIELDS if self.is_calibrated else MIN_FIELDS)

    def with_verification_due(self) -> "History":
        """The same, but the next field must be settled by a pair."""
        return msgspec.structs.replace(self, unverified=MAX_UNVERIFIED)

    def claim_of(self, single: Estimate | None) -> Claim | None:
        """What `single` may be believed to say; None if it may not, or too little is known about claims of its size."""
        if single is None or single.doubt or not math.isfinite(single.distance_um):
            return None
        return self.claim_errors.corrected(single.distance_um, single.sigma_um)

    def by_sharpness(self, seen: Sequence[Seen], near: Claim) -> Claim | None:
        """The distance to focus from the last of `seen` by sharpness, about where `near` puts it; None if unknown."""
        return None if self.curve is None else claim_by_sharpness(self.curve, seen, near)

    def is_near(self, believed_um: float) -> bool:
        """Whether pivots have been near the focus: an unlikely false claim of focus far from it can be ruled out."""
        if not self.is_established:
            return False
        mean_square = sum(field.shift_um**2 for field in self.fields) / len(self.fields)
        return 3.0 * math.sqrt(mean_square) <= believed_um

    def is_mostly_near(self, believed_um: float) -> bool:
        """The same, but for some fields that lie apart, as on a fold."""
        if len(self.fields) < MIN_FIELDS:
            return False
        deviation_um = MAD_TO_SIGMA * median(abs(field.shift_um) for field in self.fields)
        return 3.0 * deviation_um <= believed_um

    def is_clear(self, clarity: float) -> bool:
        """Whether a picture is about as clear as those of fields that were in focus."""
        return bool(self.fields) and clarity >= MIN_CLARITY_SHARE * min(f.clarity for f in self.fields)

    def with_verified(self, records: tuple[Record, ...], field: Verified) -> "History":
        """The history after a field whose focus was found by pairs or a sweep."""
        return msgspec.structs.replace(
            self,
            claim_errors=self.claim_errors.with_verified(self._numbered(records)),
            fields=(*self.fields, field)[-KEPT_FIELDS:],
            unverified=0,
            settled=self.settled + 1,
        )

    def with_curve(self, seen: Sequence[Seen], focus_um: float) -> "History":
        """The history with what the shots `seen` of a field tell of the curve, whose focus a pair put at `focus_um`."""
        if self.curve is None:
            return self
        return msgspec.structs.replace(self, curve=curve_after(self.curve, seen, focus_um))

    def with_unverified(self, records: tuple[Record, ...] = (), is_by_sharpness: bool = False) -> "History":
        """The history after a field that single shots settled.

        `records`: what they claimed, if it took a move. `is_by_sharpness`: whether sharpness told their focus; on a
        microscope whose curve was calibrated that is as good as a pair.
        """
        is_verified = is_by_sharpness and self.is_calibrated
        return msgspec.structs.replace(
            self,
            claim_errors=self.claim_errors.with_others(self._numbered(records)),
            unverified=self.unverified + (not is_verified),
            settled=self.settled + 1,
        )

    def _numbered(self, records: tuple[Record, ...]) -> tuple[Record, ...]:
        """The records, with the number of the present field."""
        return tuple(msgspec.structs.replace(record, field=self.settled) for record in records)
