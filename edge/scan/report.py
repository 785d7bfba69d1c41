"""The report of a run over fields: the structs behind `--json`, and the summary."""

from collections.abc import Sequence

import msgspec
import numpy as np

from parfocal.calib.value import UsedCalibration
from parfocal.edge.focus.judging.depth import REFERENCE_DEPTH_UM
from parfocal.edge.focus.result import Attempt, Outcome
from parfocal.edge.measured.calibration import PlayInUse
from parfocal.edge.measured.optics_in_use import OpticsInUse
from parfocal.edge.scan.learner import Learning
from parfocal.edge.scan.shape_report import ShapeReport
from parfocal.edge.scan.watch import Due

# Folds and dust explain a failure or two on an ordinary slide, but not one field in four.
MIN_FAILED_SHARE = 0.25
MIN_FAILED_FIELDS = 3


class FieldReport(msgspec.Struct, frozen=True):
    """One field. True focus and errors are None on a real microscope; `elapsed_s` is on the microscope's clock.

    In a survey `z_um` and `error_um` are those of the measured focus, which the stage may not have gone to.
    `sigma_um`, `believed` and `remarks` as in FocusResult. `shape`: of the focus inside the field, where that was asked
    for.
    """

    x_um: float
    y_um: float
    z_um: float
    true_focus_z_um: float | None
    error_um: float | None
    began_error_um: float | None
    images: int
    elapsed_s: float
    outcome: Outcome
    attempts: tuple[Attempt, ...]
    path_um: tuple[float, ...]
    reason: str | None = None
    sigma_um: float | None = None
    believed: bool | None = None
    shape: ShapeReport | None = None
    remarks: tuple[str, ...] = ()


class Summary(msgspec.Struct, frozen=True):
    """All fields in numbers. The errors are over fields that ended focused or recovered.

    `not_believed` counts the fields with an estimate that was not believed. `advice` says what to suspect if that, or a
    failure of predictions, happened in too many fields, or if the model drifts; else it is None.
    """

    fields: int
    focused: int
    recovered: int
    blank: int
    lost: int
    mean_abs_error_um: float | None
    p95_abs_error_um: float | None
    within_depth: float | None
    images_per_focus: float | None
    s_per_focus: float | None
    first_sweep_images: int
    first_sweep_s: float
    depth_of_field_um: float
    advice: str | None = None
    not_believed: int = 0


class RunReport(msgspec.Struct, frozen=True):
    """A whole run.

    `plays`: the play of each axis that it worked with. `condenser`: the one that the model was given; None if it takes
    none. `calibration` was in force; None without one. `optics`: how the model was corrected; None if it was not.
    `learned`: what the run learned about the model; None if there was nothing to learn from. `due`: the calibrations
    that its pictures contradict.
    """

    fields: tuple[FieldReport, ...]
    summary: Summary
    plays: tuple[PlayInUse, ...] = ()
    condenser: float | None = None
    calibration: UsedCalibration | None = None
    optics: OpticsInUse | None = None
    learned: Learning | None = None
    due: tuple[Due, ...] = ()


def run_report(
    fields: Sequence[FieldReport],
    first_sweep_images: int,
    first_sweep_s: float,
    plays: tuple[PlayInUse, ...] = (),
    condenser: float | None = None,
    calibration: UsedCalibration | None = None,
    optics: OpticsInUse | None = None,
    learned: Learning | None = None,
    due: tuple[Due, ...] = (),
    depth_um: float = REFERENCE_DEPTH_UM,
) -> RunReport:
    """Sum up a run. `depth_um`: depth of field of the objective, for the share of the fields within it."""
    done = [f for f in fields if f.outcome in ("focused", "recovered")]
    errors = np.array([abs(f.error_um) for f in done if f.error_um is not None])
    counts = {
        name: sum(f.outcome == name for f in fields) for name in ("focused", "recovered", "blank", "lost")
    }
    not_believed = sum(f.believed is False for f in fields)
    n_tried = len(done) + counts["lost"]
    summary = Summary(
        fields=len(fields),
        focused=counts["focused"],
        recovered=counts["recovered"],
        blank=counts["blank"],
        lost=counts["lost"],
        mean_abs_error_um=float(errors.mean()) if len(errors) else None,
        p95_abs_error_um=float(np.percentile(errors, 95)) if len(errors) else None,
        # A lost field counts as a miss: it holds something, and no focus was found.
        within_depth=float((errors <= depth_um).sum() / (len(done) + counts["lost"]))
        if len(errors)
        else None,
        depth_of_field_um=depth_um,
        images_per_focus=float(np.mean([f.images for f in done])) if done else None,
        s_per_focus=float(np.mean([f.elapsed_s for f in done])) if done else None,
        first_sweep_images=first_sweep_images,
        first_sweep_s=first_sweep_s,
        advice=_calibration_due(not_believed, n_tried)
        or _advice(counts["focused"], n_tried - counts["focused"])
        or (learned.told if learned is not None and learned.told else None),
        not_believed=not_believed,
    )
    return RunReport(
        fields=tuple(fields),
        summary=summary,
        plays=plays,
        condenser=condenser,
        calibration=calibration,
        optics=optics,
        learned=learned,
        due=due,
    )


def _calibration_due(not_believed: int, n_tried: int) -> str | None:
    """What to do if the model was not believed in a quarter of the fields or more, and not just in one or two."""
    if not_believed < MIN_FAILED_FIELDS or not_believed < MIN_FAILED_SHARE * n_tried:
        return None
    return (
        f"a calibration is due: in {not_believed} of {n_tried} fields the images are outside what the model was made "
        "for, and a second estimate or a sweep was needed. Give the aperture of the condenser as focus.condenser if "
        "the model takes it, check objective, pixel size and camera settings, or run `parfocal calibrate optics`."
    )


def _advice(focused: int, failed: int) -> str | None:
    """What to suspect if predictions failed in a quarter of the fields or more, and not just in one or two."""
    if failed < MIN_FAILED_FIELDS or failed < MIN_FAILED_SHARE * (focused + failed):
        return None
    return (
        f"predictions failed in {failed} of {focused + failed} fields. Likely causes, in this order: more play in the "
        "Z gear than was taken up (measure it with `parfocal calibrate backlash`, or set board.z.play_um higher; too "
        "high costs only time); a model made for another objective, "
        "condenser or pixel size; exposure, gain or lamp that change between two shots."
    )
