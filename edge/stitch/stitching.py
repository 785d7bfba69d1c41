"""All of it: tiles go by once, their places are found, and the mosaic can be made."""

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
import numpy as np

from parfocal.calib.camera.view import View
from parfocal.edge.errors import EdgeError
from parfocal.edge.stitch.layout import Floats, StagePlace, nominal_px
from parfocal.edge.stitch.light import Gain, LightOfTiles
from parfocal.edge.stitch.links import Link, Registration
from parfocal.edge.stitch.mosaic import Load, Mosaic
from parfocal.edge.stitch.solve import Solution, Trust, solved
from parfocal.edge.stitch.turned import view_by_tiles

# Where the light over a tile comes from: a calibration, or what the tiles have in common.
LightSource = Literal["measured", "estimated", "none"]

REACH_SIGMAS = 5.0  # of a step of the stage: a neighbour is looked for within
USUAL_TRUST = Trust()


class StitchRefused(EdgeError):
    """The tiles cannot be put together. `parfocal scan` the slide again, or stitch another one."""


class Seam(msgspec.Struct, frozen=True):
    """Two neighbours, by number. `correlation` -1..1, null where they share too little. `residual_px` (x, y): by how
    much their pictures disagree with the places that were found; it counts only where the seam was `used`.
    """

    first: int
    second: int
    correlation: float | None
    residual_px: tuple[float, float] | None
    used: bool


class StitchReport(msgspec.Struct, frozen=True):
    """How the tiles fit together. Residuals are over the seams that were used. `light`: what evened the light out.

    `turned`: how the camera lay otherwise than the scan was told; the tiles were put together as they say. Else None.
    """

    tiles: int
    width_px: int
    height_px: int
    seams: int
    seams_used: int
    correlation_needed: float
    median_residual_px: float | None
    p95_residual_px: float | None
    stage_step_error_um: float | None
    is_flattened: bool
    light: LightSource = "none"
    turned: str | None = None


class Stitching(msgspec.Struct, frozen=True, eq=False):
    """Places of the tiles, corners (n, 2) px as (x, y), and what they were found from."""

    corners_px: Floats
    size_px: tuple[int, int]
    um_per_px: float
    gain: Gain | None
    overlap_px: float
    seams: tuple[Seam, ...]
    report: StitchReport

    def mosaic(self, load: Load) -> Mosaic:
        """The picture, made block by block from the same tiles."""
        return Mosaic(self.corners_px, self.size_px, load, self.gain, self.overlap_px)


def stitched(
    places: Sequence[StagePlace],
    load: Load,
    view: View,
    trust: Trust = USUAL_TRUST,
    gain: Gain | None = None,
    on_tile: Callable[[int], None] = lambda _: None,
) -> Stitching:
    """Find the places of all tiles; each is loaded once. Without a measured `gain` the light is estimated.

    `load` gives tile k as RGB uint8 (h, w, 3), all of one size. Raises StitchRefused.
    """
    if not places:
        raise StitchRefused("no tile to stitch. Give one at least.")
    told, (view, turned) = view, view_by_tiles(places, load, view)
    first = load(0)
    size_px = (first.shape[1], first.shape[0])
    registration = Registration(places, view, size_px, REACH_SIGMAS * trust.step_um)
    light = LightOfTiles(len(places))
    for k in range(len(places)):
        pixels = first if k == 0 else load(k)
        if pixels.shape != first.shape:
            raise StitchRefused(
                f"tile {k + 1} is {pixels.shape[1]} x {pixels.shape[0]} px, the first is {size_px[0]} x {size_px[1]}: "
                "they are not of one scan. Leave only tiles of one camera mode in the folder."
            )
        registration.add(k, pixels)
        light.add(pixels)
        on_tile(k)
    links, threshold = registration.links()
    nominal = nominal_px(places, view)
    solution = solved(places, nominal, links, trust, view.um_per_px)
    source: LightSource = "none" if gain is None else "measured"
    if gain is None and (gain := light.gain(size_px)) is not None:
        source = "estimated"
    corners = solution.corners_px
    width, height = np.rint(corners - corners.min(axis=0)).astype(int).max(axis=0) + size_px
    return Stitching(
        corners,
        size_px,
        told.um_per_px,
        gain,
        _overlap_px(links, size_px),
        _seams(links, solution),
        StitchReport(
            tiles=len(places),
            width_px=int(width),
            height_px=int(height),
            seams=len(links),
            seams_used=sum(solution.is_used),
            correlation_needed=threshold,
            is_flattened=gain is not None,
            light=source,
            turned=turned,
            **_figures(links, solution, nominal, view.um_per_px),
        ),
    )


def _figures(
    links: Sequence[Link], solution: Solution, nominal: Floats, um_per_px: float
) -> dict[str, float | None]:
    used = np.array(solution.is_used, bool)
    if not used.any():
        return dict.fromkeys(("median_residual_px", "p95_residual_px", "stage_step_error_um"))
    residuals = np.hypot(*solution.residuals_px[used].T)
    off = np.array([np.subtract(n.offset_px, nominal[n.second] - nominal[n.first]) for n in links])[used]
    return {
        "median_residual_px": float(np.median(residuals)),
        "p95_residual_px": float(np.percentile(residuals, 95)),
        # Of one axis, as the stage's repeatability is told.
        "stage_step_error_um": float(np.sqrt(np.mean(off**2))) * um_per_px,
    }


def _seams(links: Sequence[Link], solution: Solution) -> tuple[Seam, ...]:
    return tuple(
        Seam(
            link.first,
            link.second,
            None if link.shift is None else link.shift.ncc,
            None if link.shift is None else (float(residual[0]), float(residual[1])),
            used,
        )
        for link, residual, used in zip(links, solution.residuals_px, solution.is_used, strict=True)
    )


def _overlap_px(links: Sequence[Link], size_px: tuple[int, int]) -> float:
    """The overlap of neighbours in the middle, px; 0 without any."""
    shared = [
        max(0.0, min(side - abs(offset) for side, offset in zip(size_px, link.offset_px, strict=True)))
        for link in links
    ]
    return float(np.median(shared)) if shared else 0.0
