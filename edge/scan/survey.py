"""A survey: the focus at points over a region, each started from the height that the points nearby lead to expect."""

from collections.abc import Callable, Generator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.scan.field_result import FieldResult
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.report import FieldReport
from parfocal.edge.scan.session import Session
from parfocal.edge.scan.watch import Due
from parfocal.edge.surface.points import FocusPoint, SurfaceRefused
from parfocal.edge.surface.surface import FocalSurface, Model, SurfaceError, fit_surface

# A plane through the points nearby says where the next one is: how many, how uncertain each is, by how much a slide
# leaves a plane, and how steep it may be (standard deviations).
N_NEAR, ROUNDS = 8, 4
POINT_SIGMA_UM = 0.3
BEND_UM_PER_MM = 0.5
SLOPE_UM_PER_MM = 3.0
BY_SINGLE = ("single", "single_in_focus", "single_measured")  # the rule of a field that single shots settled
SINGLE_SIGMA_UM = 0.25  # of its height, at most 0.25 um on six slides (docs/survey.md)
DUST = "nothing but dust on glass"
# A way down goes through the play and up again, and X and Y do not wait for that. So the stage stays at most so many
# depths of field above the expected focus, and where it goes down, it goes so many below.
STAY_ABOVE, GO_BELOW = 0.8, 0.6


class SurfaceReport(msgspec.Struct, frozen=True):
    """The focal surface in numbers. `used` and `rejected` count points."""

    model: Model
    used: int
    rejected: int
    leave_one_out: SurfaceError


class SurveyReport(msgspec.Struct, frozen=True):
    """A survey: its fields in the order of the visit, the points they gave, and the surface through them.

    `surface` is None, and `refused` says why, if the points determine none. `due`: the calibrations that its pictures
    contradict.
    """

    fields: tuple[FieldReport, ...]
    points: tuple[FocusPoint, ...]
    elapsed_s: float
    first_sweep_s: float
    surface: SurfaceReport | None = None
    refused: str | None = None
    due: tuple[Due, ...] = ()


class Noted:
    """The points of a survey so far, as far as they tell where the next one is expected."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.focused: list[FieldReport] = []

    def note(self, done: FieldResult) -> FieldResult:
        """The result of a point with the height of its focus in place of that of the stage; dust alone is blank."""
        if done.outcome not in ("focused", "recovered"):
            return done
        if done.end is not None and self._session.shows_dust_alone(done.end.pixels):
            # Dust may lie on the cover glass: its height says nothing of the tissue.
            report = msgspec.structs.replace(done.report, outcome="blank", reason=DUST)
            return msgspec.structs.replace(done, report=report)
        at_focus = _at_its_focus(done)
        self.focused.append(at_focus.report)
        return at_focus

    def expected_um(self, field: Field) -> float | None:
        """Where the focus of a field is expected, um; None before the first one was found."""
        return expected_um(self.focused, field) if self.focused else None


def surveyed(session: Session, plan: tuple[Field, ...]) -> Generator[FieldResult, None, None]:
    """Visit the points of `plan` in order. The height in a report is that of the focus, which the stage may not have
    gone to. Raises what `Session.run` raises; close the iterator to end it early.
    """
    noted = Noted(session)

    def pivot_um(field: Field) -> float | None:
        at_um = noted.expected_um(field)
        if at_um is None or not is_by_single(noted.focused[-1]):
            return at_um
        return beside_um(at_um, session.z_um, session.depth_um)

    for done in session.run(plan, pivot_um):
        yield noted.note(done)


def _at_its_focus(done: FieldResult) -> FieldResult:
    """The result with the height of the focus in place of that of the stage."""
    report, left_um = done.report, done.focus.left_um
    error_um = None if report.error_um is None else report.error_um + left_um
    at_focus = msgspec.structs.replace(report, z_um=report.z_um + left_um, error_um=error_um)
    return msgspec.structs.replace(done, report=at_focus)


def beside_um(expected_um: float, z_um: float, depth_um: float) -> float:
    """The height at which a field is measured whose focus is expected at `expected_um`, um; the stage stands at `z_um`.

    A picture near the focus tells its height. `depth_um`: depth of field.
    """
    if z_um <= expected_um:
        return expected_um
    return z_um if z_um - expected_um <= STAY_ABOVE * depth_um else expected_um - GO_BELOW * depth_um


def expected_um(focused: Sequence[FieldReport], field: Field) -> float:
    """The height at which a field is expected in focus, um, by a plane through the points nearest to it.

    With one point it is its height. The slopes are drawn to zero as far as the points do not tell them, and farther
    points count less: a slide bends.
    """
    places = np.array([(p.x_um - field.x_um, p.y_um - field.y_um, p.z_um) for p in focused])
    away_mm = places[:, :2] / 1000.0
    near = np.argsort(np.hypot(*away_mm.T), kind="stable")[:N_NEAR]
    base_um = places[near[0], 2]
    weights = 1.0 / np.hypot(POINT_SIGMA_UM, BEND_UM_PER_MM * np.hypot(*away_mm[near].T))
    slopes = np.concatenate([np.zeros((2, 1)), np.eye(2) / SLOPE_UM_PER_MM], axis=1)
    terms = np.concatenate([np.ones((len(near), 1)), away_mm[near]], axis=1) * weights[:, None]
    heights = np.concatenate([(places[near, 2] - base_um) * weights, np.zeros(2)])
    certain = np.ones(len(heights))
    solved: NDArray[np.float64] = np.zeros(3)
    for _ in range(ROUNDS):
        found, *_ = np.linalg.lstsq(
            np.concatenate([terms, slopes]) * certain[:, None], heights * certain, rcond=None
        )
        solved = np.asarray(found, np.float64)
        # A point on a fold, or a wrong one, loses its weight.
        off = terms @ solved - heights[: len(near)]
        certain[: len(near)] = 1.0 / np.sqrt(1.0 + off**2)
    return float(base_um + solved[0])


def is_by_single(report: FieldReport) -> bool:
    """Whether single shots alone settled a field."""
    return report.outcome == "focused" and bool(report.attempts) and report.attempts[-1].rule in BY_SINGLE


def point_of(report: FieldReport) -> FocusPoint:
    """The focus point of a field; one that is blank or lost has no height."""
    if report.outcome in ("focused", "recovered"):
        sigma_um = max(report.sigma_um or 0.0, SINGLE_SIGMA_UM) if is_by_single(report) else report.sigma_um
        return FocusPoint(report.x_um, report.y_um, report.z_um, sigma_um)
    if report.outcome == "blank":
        return FocusPoint(
            report.x_um, report.y_um, status="blank", reason=report.reason or "the field is empty"
        )
    return FocusPoint(report.x_um, report.y_um, status="lost", reason=report.reason)


def survey_report(
    fields: Sequence[FieldReport], first_sweep_s: float, due: tuple[Due, ...] = ()
) -> tuple[SurveyReport, FocalSurface | None]:
    """The report of a survey, and its surface; None if the points determine none."""
    points: tuple[FocusPoint, ...] = tuple(point_of(field) for field in fields)
    surface, refused = None, None
    try:
        surface = fit_surface(points)
        points = surface.points
    except SurfaceRefused as error:
        refused = str(error)
    report = SurveyReport(
        fields=tuple(fields),
        points=points,
        elapsed_s=sum(field.elapsed_s for field in fields),
        first_sweep_s=first_sweep_s,
        surface=None if surface is None else surface_report(surface),
        refused=refused,
        due=due,
    )
    return report, surface


def surface_report(surface: FocalSurface) -> SurfaceReport:
    """The surface in numbers."""
    used, rejected = (sum(p.status == status for p in surface.points) for status in ("used", "rejected"))
    return SurfaceReport(surface.model, used, rejected, surface.error)


def pivots_on(
    surface: FocalSurface, plan: Sequence[Field], config: Config
) -> Callable[[Field], float | None]:
    """A function that gives the height of `surface` at a field of `plan`, for `Session.run`.

    Raises, before anything moves:
        SurfaceRefused: a field lies outside of the surface's points.
        ConfigError: the surface leaves the limits of Z at a field.
    """
    axis = config.board.z
    heights_um = {field: surface.z_um(field.x_um, field.y_um) for field in plan}
    for field, z_um in heights_um.items():
        if not axis.min_um <= z_um <= axis.highest_um:
            raise ConfigError(
                f"the surface is at z={z_um:.1f} um at x={field.x_um:.0f} y={field.y_um:.0f} um, but the stage allows "
                f"{axis.min_um:.0f}..{axis.highest_um:.1f} um; nothing moved. Survey this slide again."
            )
    return heights_um.get
