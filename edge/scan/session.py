"""A run over the fields of a plan: go there, focus, report."""

from collections.abc import Iterator

import msgspec

from parfocal.board.board import Board
from parfocal.board.clock import Clock
from parfocal.edge.camera.frame import Camera
from parfocal.edge.config import Config
from parfocal.edge.errors import FocusLost
from parfocal.edge.focus.focuser import Focused, Focuser, Outcome
from parfocal.edge.instrument import TruthAt
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.report import FieldReport
from parfocal.edge.words import counted
from parfocal.engines.runner import Runner


class FieldDone(msgspec.Struct, frozen=True):
    """One field's report with the shots (h, w, 3) as the stage came and as it was left, where there are any."""

    report: FieldReport
    start: UInt8Array | None = None
    pixels: UInt8Array | None = None


class Session:
    """Focuses the fields of a plan one after another, each from the height of the one before."""

    def __init__(
        self,
        board: Board,
        camera: Camera,
        runner: Runner,
        clock: Clock,
        config: Config,
        truth_at: TruthAt | None = None,
    ) -> None:
        """Checks what can be checked before anything moves. Raises MoveRefused."""
        self._board, self._camera, self._clock, self._config = board, camera, clock, config
        self._truth_at = truth_at
        self._focuser = Focuser(board.z, camera, runner, config.focus)
        self._focuser.check_first_sweep()
        self._pivot_um: float | None = None
        self.first_sweep_images = 0
        self.first_sweep_s = 0.0

    def run(self, plan: tuple[Field, ...]) -> Iterator[FieldDone]:
        """Visit the fields of `plan` in order.

        Raises:
            FocusLost: no field of the plan could be focused.
            BoardError, CameraFailed, EngineError: as they come; the fields done so far were given.
        """
        self._board.lamp(self._config.scan.lamp_duty)
        for field in plan:
            yield self._visit(field)
        if self._pivot_um is None:
            raise FocusLost(
                f"focus was asked for in {counted(len(plan), 'field')}, an upward sweep of "
                f"{self._config.focus.first_sweep_start_um}..{self._config.focus.first_sweep_stop_um} um found none "
                "in any. Check lamp and slide, or move focus.first_sweep_start_um / first_sweep_stop_um."
            )

    def _visit(self, field: Field) -> FieldDone:
        began_s = self._clock.now_s()
        settled_s = max(self._board.x.approach_up(field.x_um), self._board.y.approach_up(field.y_um))
        # The stage must be at rest sideways too before a shot counts.
        self._clock.sleep_s(settled_s - self._clock.now_s())
        if self._pivot_um is None:
            began_s += self._find_first_pivot()
        if self._pivot_um is None:
            return self._unfocused(field, began_s)
        began_error_um = self._error_um(field, self._pivot_um)
        reason = None
        try:
            done = self._focuser.focus(self._pivot_um)
        except FocusLost as lost:
            reason = str(lost)
            done = Focused(
                "lost",
                self._board.z.position_um,
                self._focuser.images,
                lost.trace,
                self._focuser.path_um,
                None,
            )
        if done.outcome in ("focused", "recovered"):
            self._pivot_um = done.z_um
        return FieldDone(self._report(field, done, began_s, began_error_um, reason), done.start, done.pixels)

    def _find_first_pivot(self) -> float:
        """Sweep for the slide's focus in the present field; returns its time, s, which is counted apart."""
        began_s = self._clock.now_s()
        self._pivot_um = self._focuser.first_pivot_um()
        self.first_sweep_images += self._focuser.images
        elapsed_s = self._clock.now_s() - began_s
        self.first_sweep_s += elapsed_s
        return elapsed_s

    def _unfocused(self, field: Field, began_s: float) -> FieldDone:
        """A field without a peak before any focus is known."""
        reason = self._focuser.why_without_focus()
        outcome: Outcome = "blank" if reason is None else "lost"
        done = Focused(
            outcome, self._board.z.position_um, self._focuser.images, (), self._focuser.path_um, None
        )
        return FieldDone(self._report(field, done, began_s, None, reason))

    def _report(
        self, field: Field, done: Focused, began_s: float, began_error_um: float | None, reason: str | None
    ) -> FieldReport:
        truth = self._truth_at(field.x_um, field.y_um) if self._truth_at else None
        return FieldReport(
            x_um=field.x_um,
            y_um=field.y_um,
            z_um=done.z_um,
            true_focus_z_um=truth.focus_z_um if truth else None,
            error_um=truth.stage_z_um - truth.focus_z_um if truth else None,
            began_error_um=began_error_um,
            images=done.images,
            elapsed_s=self._clock.now_s() - began_s,
            outcome=done.outcome,
            attempts=done.attempts,
            path_um=done.path_um,
            reason=reason,
        )

    def _error_um(self, field: Field, z_um: float) -> float | None:
        return z_um - self._truth_at(field.x_um, field.y_um).focus_z_um if self._truth_at else None
