"""What a pen left on a slide: even marks, strokes that cross tissue, and what the same dye has drawn paler."""

import cv2
import msgspec
import numpy as np

from parfocal.edge.tissue.dyes import TissueHues, hues
from parfocal.edge.tissue.glass import FloatArray, Floats, mean_of, range_of
from parfocal.edge.tissue.islands import BoolArray, Islands, odd, variation

# A pen draws one colour: within `VARIES_UM` its density varies little. The evenest tissue, lymphoid, varies by 6 % and
# more. A smear may be as even as ink, but no pen is as wide.
MAX_PEN_VARIATION = 0.05
MIN_PEN_SHARE = 0.5
VARIES_UM = 100.0  # over a few cells
EDGE_PX = 11
MIN_PEN_DENSITY = 0.25
MAX_PEN_UM = 4000.0
MIN_STROKE_UM = 2000.0
MIN_STROKE_LENGTH = 3.0  # widths: what is shorter is a dot, and may be a drop
# Surely tissue is what is wider than a pen, or varies more than ink in most of its inside, and in hue as well.
ROUGH_VARIATION, MIN_ROUGH_SHARE, MIN_HUE_VARIATION = 0.08, 0.5, 0.012
MIN_TISSUE_DENSITY, MIN_TISSUE_COLOUR, MIN_TISSUE_UM2 = 0.06, 0.35, 2e6
# How far the hue of a dot lies from those of tissue at most if it may be tissue; that of a pen at least if it tells
# what else the pen has drawn; that of a pale mark at least if nothing else tells that it is one.
LIKE_TISSUE, UNLIKE_TISSUE, FOREIGN = 0.05, 0.06, 0.12
# Without other tissue a dot may be some if it absorbs green most, as blood, eosin and hematoxylin do.
GREEN_MARGIN = 0.02
# So far apart lie two places of one dye, and farther by some deviations of the noise: these are 0.3 of it over the
# density.
SAME_HUE, HUE_PER_NOISE, NOISES, MIN_SAME_SHARE = 0.03, 0.3, 1.5, 0.75
MIN_PALE_DENSITY = 0.04
# A pale stroke of a hue that no tissue of the slide has is thin, and even but for the noise.
MAX_PALE_VARIATION, MAX_STROKE_UM = 0.06, 2000.0


class Seen(msgspec.Struct, frozen=True, eq=False):
    """A picture of a slide: the density of each channel (h, w, 3) with its mean (h, w), and the hues (h, w, 2).

    `around` is the mean density within `side_px`, and `deviation` by which share of it the density varies there.
    `noise` is that of the mean of the channels over glass; `least` the density of the palest tissue.
    """

    density: FloatArray
    mean: FloatArray
    hue: FloatArray
    around: FloatArray
    deviation: FloatArray
    side_px: int
    least: float
    noise: float
    um_per_px: float

    def varies_by(self, share: float) -> BoolArray:
        """Where the density varies by more than a share of it, beyond the noise, (h, w)."""
        of_noise = self.noise / np.maximum(self.around, 1e-3)
        return np.asarray(self.deviation**2 > share**2 + of_noise**2, bool)


def pen_marks(density: FloatArray, least: float, noise: float, um_per_px: float) -> BoolArray:
    """Marks of a pen, (h, w), with their soft edge.

    They are dense, even, and not wide. Also what a pen that drew a stroke left elsewhere, however pale, and pale marks
    in a green or yellow that no tissue of the slide has. A dot as even as a drop of blood is kept if it has the hue of
    tissue. In a grey picture only dense marks are found.

    `density`: of each channel, (h, w, 3). `least`: that of the palest tissue, `noise` that of glass, means of channels.
    """
    mean = mean_of(density)
    side_px = odd(VARIES_UM / um_per_px)
    around, deviation = variation(mean, side_px)
    even = np.asarray((around > MIN_PEN_DENSITY) & (deviation < MAX_PEN_VARIATION), bool)
    marks = Islands.of(np.asarray(mean > MIN_PEN_DENSITY / 2.0, bool), um_per_px)
    parts = Islands.of(even, um_per_px)
    is_mark, is_part = _even_nearly_all_over(marks, even, side_px), _long(parts)
    pen = marks.where(is_mark) | parts.where(is_part)
    if float(range_of(density).max()) > 0.0:
        seen = Seen(density, mean, hues(density), around, deviation, side_px, least, noise, um_per_px)
        tissue = _hues_of_tissue(seen, pen)
        is_mark, is_part = (
            is_mark & ~_may_be_tissue(marks, seen, tissue),
            is_part & ~_may_be_tissue(parts, seen, tissue),
        )
        pen = marks.where(is_mark) | parts.where(is_part)
        if tissue is not None:
            pale = Islands.of(
                np.asarray(cv2.blur(mean, (3, 3)) > max(least, MIN_PALE_DENSITY), bool), um_per_px
            )
            drawn = [*_of_strokes(marks, is_mark, seen), *_of_strokes(parts, is_part, seen)]
            pen |= _of_the_same_pen(pale, drawn, seen, tissue) | _of_a_foreign_hue(pale, seen, tissue)
    return cv2.dilate(pen.astype(np.uint8), np.ones((EDGE_PX, EDGE_PX), np.uint8)) > 0


def _even_nearly_all_over(marks: Islands, even: BoolArray, side_px: int) -> BoolArray:
    """Which islands, (n,), are `even` nearly all over and narrower than a pen is wide."""
    # Not at the edge, where density falls off.
    inner = _inside(marks.labels > 0, side_px)
    return np.asarray((marks.share(even, inner) > MIN_PEN_SHARE) & (marks.width_um < MAX_PEN_UM), bool)


def _long(parts: Islands) -> BoolArray:
    """Which even parts, (n,), are strokes that touch or cross something else. Those of tissue are small."""
    return np.asarray((parts.length_um > MIN_STROKE_UM) & (parts.width_um < MAX_PEN_UM), bool)


def _inside(found: BoolArray, side_px: int) -> BoolArray:
    return cv2.erode(found.astype(np.uint8), np.ones((side_px + 2, side_px + 2), np.uint8)) > 0


def _hues_of_tissue(seen: Seen, pen: BoolArray) -> TissueHues | None:
    """The hues of what is surely tissue; None where too little is."""
    found = Islands.of(np.asarray(cv2.blur(seen.mean, (3, 3)) > seen.least, bool), seen.um_per_px)
    inner = _inside(found.labels > 0, seen.side_px)
    is_rough = found.share(seen.varies_by(ROUGH_VARIATION), inner) > MIN_ROUGH_SHARE
    is_tissue = (found.width_um > MAX_PEN_UM) | (
        is_rough & (_hue_variation(found, inner, seen) > MIN_HUE_VARIATION)
    )
    near_pen = cv2.dilate(pen.astype(np.uint8), np.ones((EDGE_PX, EDGE_PX), np.uint8)) > 0
    # The frosted end and the rim are wide too, but grey.
    is_coloured = range_of(seen.density) > MIN_TISSUE_COLOUR * seen.mean
    tissue = (
        found.where(np.asarray(is_tissue, bool))
        & ~near_pen
        & is_coloured
        & (seen.around > MIN_TISSUE_DENSITY)
    )
    return TissueHues(seen.hue[tissue]) if tissue.sum() * seen.um_per_px**2 > MIN_TISSUE_UM2 else None


def _hue_variation(islands: Islands, inner: BoolArray, seen: Seen) -> Floats:
    """By how much the hue varies in the `inner` part of each island, beyond the noise, (n,)."""
    n = np.maximum(islands.sums(inner), 1.0)
    varies = np.zeros(len(n))
    for channel in (seen.hue[..., 0], seen.hue[..., 1]):
        varies += islands.sums(inner * channel**2) / n - (islands.sums(inner * channel) / n) ** 2
    of_noise = HUE_PER_NOISE * seen.noise * n / np.maximum(islands.sums(inner * seen.mean), 1e-3)
    return np.asarray(np.sqrt(np.maximum(varies - of_noise**2, 0.0)), np.float64)


def _may_be_tissue(islands: Islands, seen: Seen, tissue: TissueHues | None) -> BoolArray:
    """Which islands, (n,), are no strokes but dots, and have a hue of the tissue of the slide, or of blood."""
    hue = _hue_of(islands, seen)
    red, green = hue.T
    blue = 1.0 - red - green
    is_coloured = np.ptp(np.stack([red, green, blue]), axis=0) > MIN_TISSUE_COLOUR / 3.0
    is_dot = is_coloured & (islands.length_um < MIN_STROKE_LENGTH * islands.width_um)
    if tissue is not None:
        return np.asarray(is_dot & np.array([tissue.apart(each) < LIKE_TISSUE for each in hue]), bool)
    return np.asarray(is_dot & (green > np.maximum(red, blue) - GREEN_MARGIN), bool)


def _hue_of(islands: Islands, seen: Seen) -> Floats:
    """The hue of each island, (n, 2)."""
    red, green, blue = (islands.sums(seen.density[..., k]) for k in range(3))
    return np.stack([red, green], axis=1) / np.maximum(red + green + blue, 1e-6)[:, None]


def _of_strokes(islands: Islands, is_pen: BoolArray, seen: Seen) -> Floats:
    """The hues of those of the islands that are strokes, (n, 2)."""
    return _hue_of(islands, seen)[is_pen & (islands.length_um >= MIN_STROKE_LENGTH * islands.width_um)]


def _of_the_same_pen(pale: Islands, drawn: list[Floats], seen: Seen, tissue: TissueHues) -> BoolArray:
    """Where islands have the hue of one of the strokes `drawn`, if no tissue of the slide has it, (h, w)."""
    same = np.zeros(seen.mean.shape, bool)
    allowed = SAME_HUE + NOISES * HUE_PER_NOISE * seen.noise / np.maximum(seen.mean, 1e-3)
    for red, green in {
        (round(hue[0], 2), round(hue[1], 2)) for hue in drawn if tissue.apart(hue) > UNLIKE_TISSUE
    }:
        same |= np.hypot(seen.hue[..., 0] - red, seen.hue[..., 1] - green) < allowed
    return pale.where(_mostly(pale, same))


def _of_a_foreign_hue(pale: Islands, seen: Seen, tissue: TissueHues) -> BoolArray:
    """Where islands far from the hues of the tissue are green, yellow, or even strokes, (h, w)."""
    red, green = seen.hue[..., 0], seen.hue[..., 1]
    blue = 1.0 - red - green
    is_green = (green < 0.25) & (red > 0.35) & (blue > 0.25)
    is_yellow = (red < 0.15) & (green < 0.2) & (blue > 0.7)
    is_pen = _mostly(pale, np.asarray(is_green, bool)) | _mostly(pale, np.asarray(is_yellow, bool))
    inner = _inside(pale.labels > 0, seen.side_px)
    is_even = pale.share(~seen.varies_by(MAX_PALE_VARIATION), inner) > MIN_PEN_SHARE
    is_long = (pale.length_um >= MIN_STROKE_LENGTH * pale.width_um) & (pale.width_um < MAX_STROKE_UM)
    apart = np.array([tissue.apart(hue) > FOREIGN for hue in _hue_of(pale, seen)], bool)
    return pale.where((is_pen | (is_even & is_long)) & apart)


def _mostly(islands: Islands, found: BoolArray) -> BoolArray:
    """Which islands, (n,), are no wider than a pen and nearly all `found`."""
    share = islands.share(found, islands.labels > 0)
    return np.asarray((share > MIN_SAME_SHARE) & (islands.width_um < MAX_PEN_UM), bool)
