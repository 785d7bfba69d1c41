"""What the fields before say about a single-shot model on this slide. Pure; a new history comes of each field.

A single shot cannot be checked by itself. So its claims are held against the focus that pairs of shots or a sweep found
in the same fields: how far off they are, in which direction, and by how much they scatter. Nothing is taken from the
card of a model: it was measured on other slides.
"""

import math
from statistics import median

import msgspec

from parfocal.edge.focus.controlled.claims import Claim, Record, corrected
from parfocal.edge.focus.judging.estimate import Estimate

# Records and fields that count; older ones are forgotten, as stain and thickness change along a slide.
KEPT_RECORDS, KEPT_FIELDS = 48, 16
# Consecutive fields that a single shot may settle. Then one is settled by a pair, and the history goes on.
MAX_UNVERIFIED = 16
# A picture in focus has at least this share of the least clarity of the fields before. 3 um out of focus it is a third
# of what it is in focus, and neighbouring fields differ by up to a factor of two.
MIN_CLARITY_SHARE = 0.5
# One field that a pair got wrong by 0.6 um made every field after it wrong by as much.
MIN_FIELDS = 3
MAD_TO_SIGMA = 1.4826  # from the median of absolute deviations to the standard deviation, of normal errors


class Verified(msgspec.Struct, frozen=True):
    """A field whose focus was found by pairs or a sweep: the way from the pivot, and its clarity in focus."""

    shift_um: float
    clarity: float


class History(msgspec.Struct, frozen=True):
    """The fields of one slide so far.

    `unverified`: fields that single shots settled since the last other one; `verified`: how many others there were.
    """

    depth_of_field_um: float
    records: tuple[Record, ...] = ()
    fields: tuple[Verified, ...] = ()
    unverified: int = 0
    verified: int = 0

    @property
    def is_verification_due(self) -> bool:
        """Whether the next field must be settled by a pair."""
        return self.unverified >= MAX_UNVERIFIED

    def with_verification_due(self) -> "History":
        """The same, but the next field must be settled by a pair."""
        return msgspec.structs.replace(self, unverified=MAX_UNVERIFIED)

    def claim_of(self, single: Estimate | None) -> Claim | None:
        """What `single` may be believed to say; None if it may not, or too little is known about claims of its size."""
        if single is None or single.doubt or not math.isfinite(single.distance_um):
            return None
        return corrected(single.distance_um, single.sigma_um, self.records)

    def is_near(self, believed_um: float) -> bool:
        """Whether pivots have been near the focus: an unlikely false claim of focus far from it can be ruled out."""
        if len(self.fields) < MIN_FIELDS:
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
        numbered = (msgspec.structs.replace(record, field=self.verified) for record in records)
        return msgspec.structs.replace(
            self,
            records=(*self.records, *numbered)[-KEPT_RECORDS:],
            fields=(*self.fields, field)[-KEPT_FIELDS:],
            unverified=0,
            verified=self.verified + 1,
        )

    def with_unverified(self) -> "History":
        """The history after a field that single shots settled."""
        return msgspec.structs.replace(self, unverified=self.unverified + 1)
