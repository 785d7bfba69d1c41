"""The result of one field, for programs and notebooks."""

import base64
import html

import cv2
import msgspec
import numpy as np

from parfocal.edge.focus.result import FocusResult, Outcome
from parfocal.edge.focus.shots import Shot
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.report import FieldReport

SHOWN_PX = 280  # side of each picture in a notebook


class FieldResult(msgspec.Struct, frozen=True):
    """One field: its report as it is written to JSON, and how it was focused, with the shots.

    `passed_um`: X and Y of the stage in a picture that was taken in passing; None where the stage stopped.
    """

    report: FieldReport
    focus: FocusResult
    passed_um: tuple[float, float] | None = None

    @property
    def start(self) -> Shot | None:
        """The shot at the pivot, before anything was tried; None if none was taken."""
        return self.focus.start

    @property
    def end(self) -> Shot | None:
        """The shot at the height where the stage was left; None if none was taken."""
        return self.focus.end

    @property
    def outcome(self) -> Outcome:
        """How it ended: "focused" by predictions, "recovered" by a sweep, "blank" (an empty field) or "lost"."""
        return self.report.outcome

    @property
    def z_um(self) -> float:
        """Height at which the stage was left; in a survey, the height of the focus."""
        return self.report.z_um

    @property
    def images(self) -> int:
        """Images taken in this field, without the first sweep of the slide."""
        return self.report.images

    @property
    def error_um(self) -> float | None:
        """True height of the stage above the true focus; in a survey, of the measured focus.

        None on a real microscope, where nobody knows it.
        """
        return self.report.error_um

    @property
    def pixels(self) -> UInt8Array | None:
        """The field as it was left, RGB uint8 (h, w, 3)."""
        return None if self.end is None else self.end.pixels

    def __repr__(self) -> str:
        """One line without pixels."""
        report = self.report
        error = "" if report.error_um is None else f", error {report.error_um:+.2f} um"
        return (
            f"FieldResult({report.outcome} at x={report.x_um:.0f} y={report.y_um:.0f} z={report.z_um:.2f} um: "
            f"{report.images} images, {report.elapsed_s:.2f} s{error})"
        )

    def _repr_html_(self) -> str:
        """The line and the middle of both shots, for a notebook."""
        shots = [("at the start", self.start), ("at the end", self.end)]
        figures = [
            f'<figure style="display:inline-block;margin:4px"><img alt="{name}" src="data:image/png;base64,'
            f'{_png(shot.pixels)}"><figcaption>{name}, z={shot.z_um:.2f} um</figcaption></figure>'
            for name, shot in shots
            if shot is not None
        ]
        return f"<p>{html.escape(repr(self))}</p>{''.join(figures)}"


def _png(pixels: UInt8Array) -> str:
    """The middle of an image (h, w, 3) as PNG in base64."""
    top, left = (max(0, (side - SHOWN_PX) // 2) for side in pixels.shape[:2])
    middle = np.ascontiguousarray(pixels[top : top + SHOWN_PX, left : left + SHOWN_PX])
    _, encoded = cv2.imencode(".png", cv2.cvtColor(middle, cv2.COLOR_RGB2BGR))
    return base64.b64encode(encoded.tobytes()).decode("ascii")
