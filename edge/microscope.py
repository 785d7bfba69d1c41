"""The microscope as a user's program sees it: move, look, focus."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from parfocal.edge.config import Config, config_from
from parfocal.edge.engine import Engines, checked_engine
from parfocal.edge.focus.result import FocusLost
from parfocal.edge.focus.shots import Shot, Shots
from parfocal.edge.instrument import Instrument, real_instrument
from parfocal.edge.lens_focus import check_lens, through_lens
from parfocal.edge.scan.field_result import FieldResult
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.session import Session


class Position(NamedTuple):
    """Where the stage stands, um; z grows towards the objective."""

    x_um: float
    y_um: float
    z_um: float


class Microscope:
    """An open microscope. Use it in a `with` block: the lamp goes off and the board is closed at its end.

    Whatever fails raises `BoardError`, `CalibError`, `CameraFailed`, `EngineError` or `FocusLost`; the message says
    what to do.
    """

    def __init__(
        self, opening: contextlib.AbstractContextManager[Instrument], engine: Engines, config: Config
    ) -> None:
        """Enter `opening`; nothing moves. Programs call `parfocal.open` or `parfocal.simulated`."""
        self._engine, self._config = engine, config
        self._session: Session | None = None
        self._is_lit = False
        self._stack = contextlib.ExitStack()
        self._instrument: Instrument | None = self._stack.enter_context(opening)
        self._in_use, self._focuses_by_lens = config, config.lens.focuses
        if self._focuses_by_lens:
            with contextlib.ExitStack() as if_refused:
                if_refused.callback(self.close)
                check_lens(self._instrument, config)
                if_refused.pop_all()

    @property
    def config(self) -> Config:
        """The configuration it was opened with."""
        return self._config

    @property
    def engine(self) -> str:
        """The engine in use, in words."""
        return self._engine.description

    @property
    def position(self) -> Position:
        """Where the stage stands. Raises PositionLost before homing."""
        board = self._opened.board
        return Position(board.x.position_um, board.y.position_um, board.z.position_um)

    def home(self) -> None:
        """Home all axes, Z first and away from the objective. Look at the stage first."""
        self._opened.board.home()

    def move(
        self, *, x_um: float | None = None, y_um: float | None = None, z_um: float | None = None
    ) -> Position:
        """Move the named axes, each approached from below, and wait until the stage is at rest.

        X and Y move before Z. Raises MoveRefused if any position is beyond a limit; then no axis has moved.
        """
        instrument = self._opened
        instrument.home_if_allowed()
        board, settled_s = instrument.board, instrument.clock.now_s()
        moves = [
            (axis, to_um)
            for axis, to_um in ((board.x, x_um), (board.y, y_um), (board.z, z_um))
            if to_um is not None
        ]
        for axis, to_um in moves:
            axis.check_approach(to_um)
        for axis, to_um in moves:
            settled_s = max(settled_s, axis.approach_up(to_um))
        instrument.clock.sleep_s(board.rests_from(settled_s) - instrument.clock.now_s())
        return self.position

    def move_px(self, dx_px: float, dy_px: float) -> Position:
        """Bring to the middle of the picture what lies (dx_px, dy_px) right of and below it.

        The angle of the camera is taken into account once `parfocal calibrate stage` has measured it. Raises as `move`.
        """
        dx_um, dy_um = self._opened.view.um_from_px(dx_px, dy_px)
        x_um, y_um, _ = self.position
        return self.move(x_um=x_um + dx_um, y_um=y_um + dy_um)

    def shot(self) -> Shot:
        """Take a frame where the stage stands, lit and at rest."""
        instrument = self._lit()
        axis = instrument.board.z
        return Shots(axis, instrument.camera, self._in_use.focus).take(axis.position_um)

    def focus(self, x_um: float | None = None, y_um: float | None = None) -> FieldResult:
        """Go to a field and focus it; the present position where x or y is left out.

        The first call also finds the slide's focus by an upward sweep. Later calls start from the height of the field
        before. With `lens.focuses`, the first call finds the focus with the Z motor, unless `lens.park_um` is given.
        From then on Z is the lens, here and in `move`.

        Returns:
            The field's result; its outcome is "focused", "recovered" or "blank".

        Raises:
            FocusLost: the field holds something but has no focus; `result` says what was tried.
            PositionLost: a real microscope that was not homed; call `home` first.
        """
        instrument = self._lit()
        here = self.position
        field = Field(here.x_um if x_um is None else x_um, here.y_um if y_um is None else y_um)
        if self._focuses_by_lens and self._config.lens.park_um is not None:
            self._put_lens(instrument, self._config.lens.park_um)
        if self._session is None:
            self._session = self._new_session()
        done = self._session.visit(field)
        if self._focuses_by_lens and done.outcome in ("focused", "recovered"):
            self._put_lens(instrument, done.z_um)
            self._session = self._new_session()
            done = self._session.visit(field, done.z_um)
        if done.outcome == "lost":
            raise FocusLost(
                f"field at x={field.x_um:.0f} y={field.y_um:.0f} um: {done.report.reason}", done.focus
            )
        return done

    def _put_lens(self, instrument: Instrument, park_um: float) -> None:
        """Let the lens be Z from now on, with the motor at `park_um`. Raises CalibError, ConfigError."""
        self._instrument, self._in_use = through_lens(instrument, self._config, park_um)
        self._focuses_by_lens = False

    def _new_session(self) -> Session:
        return Session(self._opened, self._engine.predictor, self._in_use, self._engine.single)

    def close(self) -> None:
        """Turn the lamp off and close board and camera. A second call does nothing."""
        self._instrument = None
        self._stack.close()

    def __enter__(self) -> Microscope:  # noqa: PYI034  # Self needs Python 3.11
        """The microscope itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        """Whether it is open, and with which engine."""
        return f"Microscope({'closed' if self._instrument is None else self.engine})"

    @property
    def _opened(self) -> Instrument:
        if self._instrument is None:
            raise RuntimeError(
                "this microscope is closed: open it again with parfocal.open or parfocal.simulated"
            )
        return self._instrument

    def _lit(self) -> Instrument:
        """The instrument, homed if it may home by itself, with the lamp on until `close`."""
        instrument = self._opened
        instrument.home_if_allowed()
        if not self._is_lit:
            self._stack.enter_context(instrument.lit(self._config.scan.lamp_duty))
            self._is_lit = True
        return instrument


def open_microscope(config: Config | str | Path | None = None) -> Microscope:
    """Open the real microscope: its engine, board and camera. Nothing moves.

    Args:
        config: a configuration, or the path of a TOML file. None takes `parfocal.toml` of the current folder if it
            exists, else the defaults, as the command line does.

    Raises:
        ConfigError, EngineError, BoardError, CameraFailed, CalibError: what cannot be used, and what to do about it.
    """
    settings = config_from(config)
    return Microscope(real_instrument(settings), checked_engine(settings), settings)
