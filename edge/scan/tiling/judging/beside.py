"""Where the focus of a tile is, by what it shares with its neighbours. For a scan without a single-shot model.

Neighbouring tiles show the same strip of the slide. Where they stand at different heights, the strip is sharper in the
one that is nearer to its focus, and by how much tells where the focus lies, as the sharpness of two shots of one field
does (`parfocal.edge.focus.controlled.curve`). So every other row is taken a little above where the focus is expected,
and those between as much below. A tile that is taken again is held against its own first picture too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.board.own.sweeping import Along
from parfocal.calib.camera.view import View
from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.controlled.claims import Claim
from parfocal.edge.focus.controlled.curve import claim_by_sharpness, curve_after, curve_before
from parfocal.edge.focus.judging.depth import depth_of_field_um
from parfocal.edge.focus.judging.rule import Seen as Sharp
from parfocal.edge.focus.picture.sharpness import halved_grey, laplacian
from parfocal.edge.focus.result import FocusResult
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.tiling.plan import PlannedTile
from parfocal.edge.stitch.layout import overlap_of, px_from_um
from parfocal.edge.stitch.shift import shift_between

# How far rows are taken above and below where their focus is expected, in depths of field. Two rows are then 0.6
# depths of field apart, and each costs a twentieth of its sharpness.
APART_SHARE = 0.3
# The strip lies at the edge of the tile: its focus differs from that of the middle by so much, um, beyond the slope of
# the surface (half of what neighbouring tiles differ by, `heights.ROUGHNESS_UM`).
EDGE_SIGMA_UM = 0.125
NEAR_UM = 0.5  # standard deviation of where the focus of a tile is expected
# How far the heights of two tiles lie apart that tell: at least, um, as rows come nearer to each other where the slide
# slopes, and at most, in depths of field. Farther apart, one of them shows next to nothing, and a fold may be between.
LEAST_APART_UM, MOST_APART_SHARE = 0.2, 2.0
REACH_UM = 5.0  # by which a stage may err from one tile to the next
MIN_NCC = 0.5  # strips of one place correlate by 0.8 and more, out of focus or not
MIN_SIDE_PX = 12  # of a strip at half the size
KEPT_TILES = 256  # whose pictures are kept, at half the size: two rows and more
KEPT_FIELDS = 40
CONTRADICTS = 3.0  # standard deviations by which two neighbours contradict each other
# Detail is measured at the scale of `sharpness.variance_of_laplacian`, in pixels that are not halved: how halved ones
# fall on an edge differs from tile to tile. It is kept as a mean over so many pixels a side.
DETAIL_PX, DETAIL_CELL_PX = 1.7, 4

Floats = NDArray[np.float32]
SurfaceAt = Callable[[float, float], float]


class Beheld(msgspec.Struct, frozen=True):
    """What the neighbours of a tile tell of its focus, um.

    `distance_um`: from its picture to its focus, positive upwards; `spread_um`: how far neighbours lie apart that
    contradict each other, 0 if none do.
    """

    distance_um: float
    sigma_um: float
    spread_um: float


class _Picture(msgspec.Struct, frozen=True, eq=False):
    """What is kept of a tile: its grey values at half the size, its detail by cells, and where it was taken, um."""

    grey: NDArray[np.float16]
    detail: Floats
    x_um: float
    y_um: float
    z_um: float


class Beside:
    """Holds each tile against its neighbours, and learns the focus curve of the slide."""

    def __init__(
        self,
        config: FocusConfig,
        view: View,
        along: Along,
        surface_um: SurfaceAt = lambda _x_um, _y_um: 0.0,
        above_sharpest_um: float | None = None,
    ) -> None:
        """`along`: the axis that rows lie along. `surface_um`: the focal surface at X and Y of the slide.

        `above_sharpest_um`: how far the focus is above the sharpest plane, None if that was not calibrated.
        """
        self._config, self._along, self._surface_um = config, along, surface_um
        self._depth_um = depth_of_field_um(config.objective)
        self._px_from_um = px_from_um(view) / (2.0 * config.downsample)
        self._reach_px = REACH_UM / (2.0 * config.downsample * view.um_per_px)
        above_um = None if above_sharpest_um is None else -above_sharpest_um
        self._curve = curve_before(self._depth_um, above_um)
        self._fields = list[tuple[Sharp, ...]]()
        self._pictures = dict[tuple[int, int], _Picture]()
        self._earlier = dict[tuple[int, int], list[Sharp]]()

    @property
    def known(self) -> tuple[tuple[Sharp, ...], ...]:
        """The shots of fields that taught the focus curve, by height above the focus, for a scan that is continued."""
        return tuple(self._fields)

    def restore(self, known: Iterable[tuple[Sharp, ...]]) -> None:
        """Take up what an earlier session of the same scan has learned."""
        for shots in known:
            self._fields.append(shots)
            self._curve = curve_after(self._curve, shots, 0.0)

    def learn_field(self, found: FocusResult) -> None:
        """Learn the focus curve from a field that two shots have settled."""
        if len(self._fields) < KEPT_FIELDS:
            focus_um = found.z_um + found.left_um
            self.restore([tuple(Sharp(one.z_um - focus_um, one.sharpness) for one in found.seen)])

    def aim_um(self, tile: PlannedTile) -> float:
        """How far above the expected focus a tile is to be taken, um; 0 for one that was taken before."""
        if (tile.row, tile.column) in self._earlier:
            return 0.0
        line = tile.row if self._along == "x" else tile.column
        return (APART_SHARE if line % 2 else -APART_SHARE) * self._depth_um

    def look(
        self, tile: PlannedTile, place_um: tuple[float, float], z_um: float, pixels: UInt8Array
    ) -> Beheld | None:
        """What a picture shows of its focus; None if no neighbour tells. The picture is kept for the next ones.

        `pixels`: RGB uint8 (h, w, 3), reduced as the focus uses them; `place_um`: where on the slide their middle lies.
        """
        now = _Picture(halved_grey(pixels).astype(np.float16), _detail(pixels), *place_um, z_um)
        claims = list(self._claims(tile, now))
        place = (tile.row, tile.column)
        self._earlier.setdefault(place, []).append(Sharp(z_um, _sharpness(now.detail)))
        self._pictures.pop(place, None)
        self._pictures[place] = now
        while len(self._pictures) > KEPT_TILES:
            del self._pictures[next(iter(self._pictures))]
        if not claims:
            return None
        together = _together(claims, self._curve.above_sigma_um)
        return Beheld(together.distance_um, together.sigma_um, _contradiction_um(claims))

    def _claims(self, tile: PlannedTile, now: _Picture) -> Iterator[Claim]:
        """What each neighbour says, and the earlier pictures of the tile."""
        here_um = self._surface_um(now.x_um, now.y_um)
        for row, column in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            other = self._pictures.get((tile.row + row, tile.column + column))
            if other is None or not self._tells(other.z_um - now.z_um):
                continue
            ratio = self._ratio(other, now)
            if ratio is None:
                continue
            said = self._said([Sharp(other.z_um, ratio)], now.z_um, 1.0)
            if said is not None:
                # The strip lies half-way to the neighbour, where the slide is higher or lower.
                higher_um = (self._surface_um(other.x_um, other.y_um) - here_um) / 2.0
                yield Claim(said.distance_um - higher_um, math.hypot(said.sigma_um, EDGE_SIGMA_UM))
        earlier = self._earlier.get((tile.row, tile.column), [])
        said = self._said(earlier, now.z_um, _sharpness(now.detail))
        if said is not None:
            yield said

    def _tells(self, apart_um: float) -> bool:
        return LEAST_APART_UM <= abs(apart_um) <= MOST_APART_SHARE * self._depth_um

    def _said(self, others: list[Sharp], z_um: float, sharpness: float) -> Claim | None:
        # Far on one side of the focus two distances explain a ratio: the nearer one counts.
        seen = [*others, Sharp(z_um, sharpness)]
        return claim_by_sharpness(self._curve, seen, Claim(0.0, NEAR_UM), LEAST_APART_UM)

    def _ratio(self, other: _Picture, now: _Picture) -> float | None:
        """How many times as sharp as in this picture the strip is in the other one; None if it does not tell."""
        offset_px = self._px_from_um @ np.array((now.x_um - other.x_um, now.y_um - other.y_um))
        height_px, width_px = now.grey.shape
        of_other, of_this = overlap_of(_whole(offset_px), (width_px, height_px))
        one, this = (
            picture.grey[part].astype(np.float32) for picture, part in ((other, of_other), (now, of_this))
        )
        if min(this.shape) < MIN_SIDE_PX or float(this.std()) < self._config.blank_contrast:
            return None
        shift = shift_between(one, this, self._reach_px)
        if shift is None or shift.ncc < MIN_NCC:
            return None
        offset_px = _whole(offset_px) + np.array((shift.dx_px, shift.dy_px))
        height, width = now.detail.shape
        of_other, of_this = overlap_of(_whole(offset_px * 2.0 / DETAIL_CELL_PX), (width, height))
        one, this = other.detail[of_other], now.detail[of_this]
        return _sharpness(one) / max(_sharpness(this), 1e-6) if this.size else None


def _whole(offset: NDArray[np.float64]) -> tuple[int, int]:
    x, y = np.rint(offset)
    return int(x), int(y)


def _detail(pixels: UInt8Array) -> Floats:
    """Mean size of the Laplacian in cells of `DETAIL_CELL_PX`, grey levels. Of a strong edge it is not the square."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    size = np.abs(laplacian(np.asarray(cv2.GaussianBlur(grey, (0, 0), DETAIL_PX), np.float32)))
    cells = (size.shape[1] // DETAIL_CELL_PX, size.shape[0] // DETAIL_CELL_PX)
    return np.asarray(cv2.resize(size, cells, interpolation=cv2.INTER_AREA), np.float32)


def _sharpness(detail: Floats) -> float:
    """What falls with the distance from the focus as the variance of the Laplacian does."""
    return float(detail.mean()) ** 2


def _contradiction_um(claims: list[Claim]) -> float:
    """How far the two claims lie apart, um, that contradict each other most; 0 if none do."""
    apart_um = [
        abs(a.distance_um - b.distance_um)
        for a, b in itertools.combinations(claims, 2)
        if abs(a.distance_um - b.distance_um) > CONTRADICTS * math.hypot(a.sigma_um, b.sigma_um)
    ]
    return max(apart_um, default=0.0)


def _together(claims: list[Claim], common_sigma_um: float) -> Claim:
    """The mean of claims that have an error in common, weighted by their certainty beside it."""
    own = [max(claim.sigma_um**2 - common_sigma_um**2, 1e-4) for claim in claims]
    weights = [1.0 / variance for variance in own]
    total = sum(weights)
    mean_um = sum(w * claim.distance_um for w, claim in zip(weights, claims, strict=True)) / total
    return Claim(mean_um, math.sqrt(1.0 / total + common_sigma_um**2))
