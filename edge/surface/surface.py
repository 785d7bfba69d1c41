"""The focal surface: the height of the focus anywhere between the points of a survey, and how far to trust it."""

import math
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.surface import local
from parfocal.edge.surface.hull import hull_of, is_inside
from parfocal.edge.surface.outliers import agreeing
from parfocal.edge.surface.points import FocusPoint, SurfaceRefused, with_height
from parfocal.edge.surface.polynomial import N_TERMS, Floats, Order, design, hat, is_determined, solved
from parfocal.edge.words import counted

MIN_POINTS = 4  # a plane takes three; one more shows whether it fits
MIN_FOR_QUADRATIC = 12  # with fewer, no wrong point could be told from curvature
MIN_FOR_LOCAL = 16
MAX_POINTS = 2000  # the leave-one-out error takes their square in memory
GAIN = 0.95  # a richer model must lower the leave-one-out error to this share
Model = Literal["plane", "quadratic", "quadratic and local"]


class SurfaceError(msgspec.Struct, frozen=True):
    """Leave-one-out error of a surface, um: each used point against the surface of the others.

    `rms_um` lies between `low_um` and `high_um` with 95 % confidence. `worst_um` is the largest error.
    """

    rms_um: float
    low_um: float
    high_um: float
    worst_um: float


class FocalSurface(msgspec.Struct, frozen=True, eq=False):
    """A fitted surface. Made by `fit_surface`.

    `points` are all points given, with residual and status; `error` is the leave-one-out error; `hull_um` (m, 2) are
    the corners of the area that the used points enclose.
    """

    model: Model
    points: tuple[FocusPoint, ...]
    error: SurfaceError
    hull_um: Floats
    centre_um: tuple[float, float, float]
    scale_um: float
    coefficients: Floats
    used_um: Floats  # (n, 3): place of the used points, and their height above the polynomial
    reach_um: float

    def z_um(self, x_um: float, y_um: float) -> float:
        """Height of the focus at one place. Raises SurfaceRefused outside of the used points."""
        if not self.covers(x_um, y_um):
            low, high = self.hull_um.min(axis=0), self.hull_um.max(axis=0)
            raise SurfaceRefused(
                f"no focal height at x={x_um:.0f} y={y_um:.0f} um: the points of the surface enclose "
                f"x={low[0]:.0f}..{high[0]:.0f} y={low[1]:.0f}..{high[1]:.0f} um, less at cut corners. Survey a larger "
                "region."
            )
        return float(self.heights_um(np.array([x_um]), np.array([y_um]))[0])

    def covers(self, x_um: float, y_um: float) -> bool:
        """Whether a place lies within the hull of the used points."""
        return bool(is_inside(self.hull_um, np.array([x_um]), np.array([y_um]))[0])

    def heights_um(self, x_um: Floats, y_um: Floats) -> Floats:
        """Heights at places (n,); NaN outside of the used points."""
        x0_um, y0_um, z0_um = self.centre_um
        order = _order_of(self.model)
        terms = design((x_um - x0_um) / self.scale_um, (y_um - y0_um) / self.scale_um, order)
        z_um = z0_um + terms @ self.coefficients
        if self.model == "quadratic and local":
            apart_um = np.hypot(x_um[:, None] - self.used_um[:, 0], y_um[:, None] - self.used_um[:, 1])
            z_um = z_um + local.correction(local.weights(apart_um, self.reach_um), self.used_um[:, 2])
        return np.where(is_inside(self.hull_um, x_um, y_um), z_um, np.nan)


class _Scaled(msgspec.Struct, frozen=True, eq=False):
    """Points in the fit's own units: places within about +-1, heights about zero."""

    x_um: Floats
    y_um: Floats
    z_um: Floats
    centre_um: tuple[float, float, float]
    scale_um: float

    def terms(self, order: Order) -> Floats:
        x0_um, y0_um, _ = self.centre_um
        return design((self.x_um - x0_um) / self.scale_um, (self.y_um - y0_um) / self.scale_um, order)


def fit_surface(points: Sequence[FocusPoint]) -> FocalSurface:
    """The focal surface of `points`, robust against wrong ones. The same for the same points.

    A plane or a quadratic, with a local correction where there are points enough: the simplest that leave-one-out
    cannot tell from the best. A point that lies far from the surface of the others is rejected. Points without a height
    are passed through.

    Raises SurfaceRefused if the points do not determine a plane.
    """
    found = with_height(points)
    _check_number(len(found), len(points))
    scaled = _scaled(found)
    # The richest polynomial judges: a plane would take curvature for wrong points.
    judge: Order = _richest(scaled)
    kept = agreeing(scaled.terms(judge), scaled.z_um)
    used = _subset(scaled, kept)
    if not is_determined(used.terms(judge)):
        judge = "plane"
    if not is_determined(used.terms("plane")):
        raise _undetermined(len(found))
    model, off_um = _chosen(used, judge)
    order = _order_of(model)
    coefficients = solved(used.terms(order), used.z_um)
    above_um = used.z_um - used.terms(order) @ coefficients
    surface = FocalSurface(
        model=model,
        points=(),
        error=_error_of(off_um, N_TERMS[order]),
        hull_um=hull_of(np.stack([used.x_um, used.y_um], axis=1)),
        centre_um=scaled.centre_um,
        scale_um=scaled.scale_um,
        coefficients=coefficients,
        used_um=np.stack([used.x_um, used.y_um, above_um], axis=1),
        reach_um=local.reach_of(used.x_um, used.y_um),
    )
    residuals_um = _residuals_um(surface, scaled)
    judged = iter(zip(kept, residuals_um, strict=True))
    return msgspec.structs.replace(
        surface, points=tuple(p if p.z_um is None else _judged(p, *next(judged)) for p in points)
    )


def _check_number(n_found: int, n_points: int) -> None:
    if n_found < MIN_POINTS:
        raise SurfaceRefused(
            f"no focal surface from {counted(n_found, 'point')} with a focus, of {n_points}: it takes {MIN_POINTS} or "
            "more. Survey more points, or a region with more tissue."
        )
    if n_found > MAX_POINTS:
        raise SurfaceRefused(
            f"no focal surface from {n_found} points: {MAX_POINTS} or fewer can be fitted. Leave some out."
        )


def _undetermined(n_found: int) -> SurfaceRefused:
    return SurfaceRefused(
        f"no focal surface from {n_found} points: they lie on a line, or one of them alone decides the tilt. Survey "
        "points that are spread over both directions."
    )


def _scaled(found: Sequence[FocusPoint]) -> _Scaled:
    x_um = np.array([point.x_um for point in found])
    y_um = np.array([point.y_um for point in found])
    z_um = np.array([point.z_um for point in found], np.float64)
    x0_um, y0_um, z0_um = (float(v.min() + v.max()) / 2.0 for v in (x_um, y_um, z_um))
    scale_um = max(float(np.ptp(x_um)), float(np.ptp(y_um)), 1.0) / 2.0
    return _Scaled(x_um, y_um, z_um - z0_um, (x0_um, y0_um, z0_um), scale_um)


def _subset(scaled: _Scaled, kept: NDArray[np.bool_]) -> _Scaled:
    return msgspec.structs.replace(
        scaled, x_um=scaled.x_um[kept], y_um=scaled.y_um[kept], z_um=scaled.z_um[kept]
    )


def _richest(scaled: _Scaled) -> Order:
    if not is_determined(scaled.terms("plane")):
        raise _undetermined(len(scaled.z_um))
    enough = len(scaled.z_um) >= MIN_FOR_QUADRATIC and is_determined(scaled.terms("quadratic"))
    return "quadratic" if enough else "plane"


def _order_of(model: Model) -> Order:
    return "plane" if model == "plane" else "quadratic"


def _chosen(used: _Scaled, richest: Order) -> tuple[Model, Floats]:
    """The simplest model that is about as good as the richer ones, and its leave-one-out errors (n,), um."""
    model: Model = "plane"
    off_um = _left_out_um(used, model)
    richer: tuple[Model, ...] = ("quadratic", "quadratic and local") if richest == "quadratic" else ()
    for candidate in richer:
        if candidate == "quadratic and local" and len(used.z_um) < MIN_FOR_LOCAL:
            continue
        candidate_off_um = _left_out_um(used, candidate)
        if _rms(candidate_off_um) < GAIN * _rms(off_um):
            model, off_um = candidate, candidate_off_um
    return model, off_um


def _left_out_um(used: _Scaled, model: Model) -> Floats:
    """Height of each point above the surface that is fitted without it, (n,)."""
    terms = used.terms(_order_of(model))
    influence = hat(terms)
    residual_um = used.z_um - influence @ used.z_um
    off_um = np.asarray(residual_um / (1.0 - np.diag(influence)), np.float64)
    if model != "quadratic and local":
        return off_um
    apart_um = np.hypot(used.x_um[:, None] - used.x_um, used.y_um[:, None] - used.y_um)
    # Without point i the others are the same distances apart, but their residuals change with the polynomial.
    weight = local.weights(apart_um, local.reach_of(used.x_um, used.y_um))
    np.fill_diagonal(weight, 0.0)
    without_um = residual_um + influence * off_um[:, None]
    return np.asarray(off_um - local.correction(weight, without_um), np.float64)


def _error_of(off_um: Floats, n_terms: int) -> SurfaceError:
    """The error in numbers. The interval takes the errors as normal, by the chi-square of Wilson and Hilferty."""
    rms_um, freedom = _rms(off_um), max(1, len(off_um) - n_terms)

    def quantile(normal: float) -> float:
        share = 1.0 - 2.0 / (9.0 * freedom) + normal * math.sqrt(2.0 / (9.0 * freedom))
        return max(share, 0.05) ** 3

    low_um, high_um = (rms_um / math.sqrt(quantile(normal)) for normal in (1.96, -1.96))
    return SurfaceError(rms_um, low_um, high_um, float(np.abs(off_um).max()))


def _residuals_um(surface: FocalSurface, scaled: _Scaled) -> Floats:
    """Height of every point above the surface. Beyond the hull, where a rejected point may lie, it is extended."""
    extended = msgspec.structs.replace(surface, hull_um=np.empty((0, 2)))
    return scaled.z_um + surface.centre_um[2] - extended.heights_um(scaled.x_um, scaled.y_um)


def _judged(point: FocusPoint, is_kept: bool, residual_um: float) -> FocusPoint:
    reason = None if is_kept else f"{residual_um:+.1f} um from the surface of the other points"
    return msgspec.structs.replace(
        point,
        residual_um=float(residual_um),
        status="used" if is_kept else "rejected",
        reason=reason,
    )


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))
