"""What a run of fields reports: the structs behind `--json`, and the summary."""

from collections.abc import Sequence

import msgspec
import numpy as np

from parfocal.edge.focus.result import Attempt, Outcome

# One field in four is more than folds and dust explain on an ordinary slide; a field or two may always fail.
MIN_FAILED_SHARE = 0.25
MIN_FAILED_FIELDS = 3


class FieldReport(msgspec.Struct, frozen=True):
    """One field. Truth and error are None on a real microscope; `elapsed_s` is time of the microscope."""

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
    """Over all fields; the errors over those that ended focused or recovered.

    `advice` says what to suspect where predictions failed in too many fields, None where they did not.
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
    """A whole run."""

    fields: tuple[FieldReport, ...]
    summary: Summary


def run_report(fields: Sequence[FieldReport], first_sweep_images: int, first_sweep_s: float) -> RunReport:
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
        # Lost fields count as missed: what was not blank and not found is a failure.
        within_1_um=float((errors <= 1.0).sum() / (len(done) + counts["lost"])) if len(errors) else None,
        images_per_focus=float(np.mean([f.images for f in done])) if done else None,
        s_per_focus=float(np.mean([f.elapsed_s for f in done])) if done else None,
        first_sweep_images=first_sweep_images,
        first_sweep_s=first_sweep_s,
        advice=_advice(counts["focused"], counts["recovered"] + counts["lost"]),
    )
    return RunReport(fields=tuple(fields), summary=summary)


def _advice(focused: int, failed: int) -> str | None:
    """What to suspect where predictions fail in a quarter of the fields or more, and not just in one or two."""
    if failed < MIN_FAILED_FIELDS or failed < MIN_FAILED_SHARE * (focused + failed):
        return None
    return (
        f"predictions failed in {failed} of {focused + failed} fields. Suspect, in this order: more play in the Z gear "
        "than board.z.play_um says (set it higher: too much costs time only); a model made for another objective, "
        "condenser or pixel than this microscope's; exposure, gain or lamp that change between two shots."
    )
