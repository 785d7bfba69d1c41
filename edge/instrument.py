"""An instrument ready to work, and a run over its fields with a progress bar."""

import contextlib
from collections.abc import Callable, Iterator

import msgspec
from rich.console import Console

from parfocal.board.board import Board
from parfocal.board.clock import Clock, MonotonicClock
from parfocal.board.guarded import open_guarded
from parfocal.edge.camera.frame import Camera
from parfocal.edge.camera.video import VideoCamera
from parfocal.edge.cli.progress import shown_progress
from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.focus.estimate import PATCHES_PER_SIDE
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.report import FieldReport, RunReport, TruthAt, run_report
from parfocal.edge.scan.session import FieldDone, Session, check_model
from parfocal.engines.cache import EngineCache, default_cache_folder
from parfocal.engines.model.shipped import model_path
from parfocal.engines.opening import OpenedEngine, open_chosen
from parfocal.engines.runner import Runner


class Instrument(msgspec.Struct, frozen=True):
    """Board, camera and clock that belong together; `truth_at` only where a simulation knows the truth.

    `may_home` lets a run home the axes by itself: a virtual stage may; in a real one somebody looks first.
    `notes`: what to know of its pictures, to be shown before a run.
    """

    board: Board
    camera: Camera
    clock: Clock
    truth_at: TruthAt | None = None
    may_home: bool = False
    notes: tuple[str, ...] = ()

    def show_notes(self, console: Console) -> None:
        """Print the notes, a line each."""
        for note in self.notes:
            console.print(f"camera: {note}", highlight=False, markup=False, soft_wrap=True)


def opened_engine(model: str, threads: int) -> OpenedEngine:
    """The engine chosen for a model, which is a name or a path; `threads` as in FocusConfig. Raises EngineError."""
    return open_chosen(model_path(model), EngineCache(default_cache_folder()), n_threads=threads)


def check_frame_size(config: Config) -> None:
    """Refuse camera frames that do not hold the part which is judged. Raises ConfigError; nothing is opened."""
    camera, focus = config.camera, config.focus
    side_px = PATCHES_PER_SIDE * focus.patch_px * focus.downsample
    if min(camera.width_px, camera.height_px) < side_px:
        raise ConfigError(
            f"frames of {camera.width_px} x {camera.height_px} px are configured: focus is judged by their middle "
            f"{side_px} x {side_px} px. Set camera.width_px and camera.height_px to a larger mode."
        )


def checked_engine(config: Config) -> OpenedEngine:
    """The engine chosen for the configured model, which was made for this configuration.

    Raises EngineError; ConfigError where the camera's frames are too small for it.
    """
    check_frame_size(config)
    opened = opened_engine(config.focus.model, config.focus.threads)
    check_model(opened.runner.contract, config)
    return opened


@contextlib.contextmanager
def real_instrument(config: Config) -> Iterator[Instrument]:
    """The board at the configured port and the configured video device.

    Raises what `open_guarded` does, and CameraFailed.
    """
    clock = MonotonicClock()
    with open_guarded(config.board, clock) as board:
        camera = VideoCamera(config.camera)
        try:
            yield Instrument(board, camera, clock, notes=camera.notes)
        finally:
            camera.close()


def focus_fields(
    instrument: Instrument,
    runner: Runner,
    config: Config,
    plan: tuple[Field, ...],
    console: Console,
    seen: Callable[[FieldDone], None] | None = None,
    grown: Callable[[RunReport], None] | None = None,
) -> tuple[list[FieldReport], int, float]:
    """Focus the fields of ``plan``; returns their reports, and images and seconds of the first sweep.

    ``seen`` is called after each field, ``grown`` with the report of all fields so far.
    Raises what Session raises; the lamp is turned off in any case.
    """
    instrument.show_notes(console)
    session = Session(
        instrument.board, instrument.camera, runner, instrument.clock, config, instrument.truth_at
    )
    if instrument.may_home and not instrument.board.z.is_homed:
        instrument.board.home()
    reports = []
    try:
        with shown_progress(console, "focusing", len(plan), "first sweep") as step:
            for done in session.run(plan):
                reports.append(done.report)
                if seen:
                    seen(done)
                if grown:
                    grown(run_report(reports, session.first_sweep_images, session.first_sweep_s))
                step(f"{done.report.outcome} at {done.report.z_um:.1f} um")
    finally:
        instrument.board.lamp(0.0)
    return reports, session.first_sweep_images, session.first_sweep_s
