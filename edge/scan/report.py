"""The report of a run over fields: the structs behind `--json`, and the summary."""

from collections.abc import Sequence

import msgspec
import numpy as np

from parfocal.calib.value import UsedCalibration
from parfocal.edge.calibration import PlayInUse
from parfocal.edge.focus.result import Attempt, Outcome

# Folds and dust explain a failure or two on an ordinary slide, but not one field in four.
MIN_FAILED_SHARE = 0.25
MIN_FAILED_FIELDS = 3


class FieldReport(msgspec.Struct, frozen=True):
    """One field. True focus and errors are None on a real microscope; `elapsed_s` is on the microscope's clock."""

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


class Summary(msgspec.Struct, frozen=True):
    """All fields in numbers. The errors are over fields that ended focused or recovered.

    `advice` says what to suspect if predictions failed in too many fields; else it is None.
    """

    fields: int
    focused: int
    recovered: int
    blank: int
    lost: int
    mean_abs_error_um: float | None
    p95_abs_error_um: float | None
    within_1_um: float | None
    images_per_focus: float | None
    s_per_focus: float | None
    first_sweep_images: int
    first_sweep_s: float
    advice: str | None = None


class RunReport(msgspec.Struct, frozen=True):
    """A whole run. `plays`: the play of each axis that it worked with. `calibration` was in force; None without one."""

    fields: tuple[FieldReport, ...]
    summary: Summary
    plays: tuple[PlayInUse, ...] = ()
    calibration: UsedCalibration | None = None


def run_report(
    fields: Sequence[FieldReport],
    first_sweep_images: int,
    first_sweep_s: float,
    plays: tuple[PlayInUse, ...] = (),
    calibration: UsedCalibration | None = None,
) -> RunReport:
    """Sum up a run."""
    done = [f for f in fields if f.outcome in ("focused", "recovered")]
    errors = np.array([abs(f.error_um) for f in done if f.error_um is not None])
    counts = {
        name: sum(f.outcome == name for f in fields) for name in ("focused", "recovered", "blank", "lost")
    }
    summary = Summary(
        fields=len(fields),
        focused=counts["focused"],
        recovered=counts["recovered"],
        blank=counts["blank"],
        lost=counts["lost"],
        mean_abs_error_um=float(errors.mean()) if len(errors) else None,
        p95_abs_error_um=float(np.percentile(errors, 95)) if len(errors) else None,
        # A lost field counts as a miss: it holds something, and no focus was found.
        within_1_um=float((errors <= 1.0).sum() / (len(done) + counts["lost"])) if len(errors) else None,
        images_per_focus=float(np.mean([f.images for f in done])) if done else None,
        s_per_focus=float(np.mean([f.elapsed_s for f in done])) if done else None,
        first_sweep_images=first_sweep_images,
        first_sweep_s=first_sweep_s,
        advice=_advice(counts["focused"], counts["recovered"] + counts["lost"]),
    )
    return RunReport(fields=tuple(fields), summary=summary, plays=plays, calibration=calibration)


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
