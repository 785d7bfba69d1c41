"""`parfocal focus --follow`: focus one field, and keep it in focus until Ctrl-C."""

import contextlib
import math
import time

import numpy as np
from rich.console import Console

from parfocal.edge.cli.showing.output import GrowingResult
from parfocal.edge.cli.showing.say import say
from parfocal.edge.cli.showing.tables import show_notes
from parfocal.edge.config import Config
from parfocal.edge.focus.following.follower import Follower, FollowEvent
from parfocal.edge.focus.picture.places import spread_places
from parfocal.edge.focus.result import FocusLost
from parfocal.edge.instrument import Instrument
from parfocal.edge.scan.follow_report import FollowLog, FollowReport
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.session import Session
from parfocal.edge.words import counted
from parfocal.engines.predictor import Predictor

PREDICTED_WITHIN_S = 0.025  # so that every frame of a camera with 30 frames per second is used
REPORTED_EVERY_S = 1.0


def follow_field(
    instrument: Instrument,
    predictor: Predictor,
    single: Predictor,
    config: Config,
    field: Field,
    seconds: float,
    console: Console,
    result: GrowingResult[FollowReport],
) -> None:
    """Focus `field`, and follow it for `seconds`; the lamp is off afterwards.

    Raises FocusLost if the field has no focus to begin with, and what Session and Follower raise; CalibRefused
    where the single-shot model must not be used on this microscope.
    """
    show_notes(console, instrument.notes)
    single = instrument.single.needed(single, "--follow")
    n_places = n_places_of(single, config)
    n_patches = patches_in_time(single, n_places)
    session = Session(instrument, predictor, config)
    with contextlib.closing(session.run((field,))) as run:
        done = next(run)
        if done.outcome in ("blank", "lost"):
            raise FocusLost(
                f"nothing to follow: the field at x={field.x_um:.0f} y={field.y_um:.0f} um is {done.outcome}. "
                "Set scan.origin_x_um and scan.origin_y_um to a field that holds tissue.",
                done.focus,
            )
        say(
            console,
            f"{done.outcome} at {done.z_um:.1f} um; following by {n_patches} of {n_places} patches of each frame. "
            "End it with Ctrl-C.",
        )
        board, clock = instrument.board, instrument.clock
        follower = Follower(board.z, instrument.camera, clock, single, config.focus, n_patches)
        log = FollowLog(done.report, n_patches, instrument.calibration)
        began_s = reported_s = clock.now_s()
        # Also a run that ends by Ctrl-C in its first second has a report.
        result.grown(log.report(follower, 0.0))
        for event in follower.run(seconds):
            if event is not None:
                log.add(event)
                say(console, _line(event))
            if event is not None or clock.now_s() - reported_s >= REPORTED_EVERY_S:
                reported_s = clock.now_s()
                result.grown(log.report(follower, reported_s - began_s))
        result.done(log.report(follower, clock.now_s() - began_s))


def n_places_of(single: Predictor, config: Config) -> int:
    """How many patches of the model a frame has."""
    side_px, down = single.contract.patch_px, config.focus.downsample
    return len(spread_places(config.camera.height_px // down, config.camera.width_px // down, side_px))


def patches_in_time(single: Predictor, n_places: int) -> int:
    """How many of `n_places` patches are predicted within `PREDICTED_WITHIN_S`, measured with one; at least 1."""
    side_px = single.contract.patch_px
    one = np.zeros((1, single.contract.channels, side_px, side_px), np.float32)
    single.predict(one)  # the first one also warms up
    began_s = time.perf_counter()
    single.predict(one)
    each_s = max(time.perf_counter() - began_s, 1e-6)
    return max(1, min(n_places, math.floor(PREDICTED_WITHIN_S / each_s)))


def show_followed(console: Console, report: FollowReport) -> None:
    """Print what was done in a line or two."""
    kinds = [event.kind for event in report.events]
    moves = f"{kinds.count('up')} moves up, {kinds.count('down')} down"
    alarms = kinds.count("found") + kinds.count("held")
    say(
        console,
        f"followed for {report.followed_s:.0f} s, {counted(report.frames, 'frame')}: {moves}, "
        f"{counted(alarms, 'alarm')}; {report.unsharp_frames} unsharp",
    )


def _line(event: FollowEvent) -> str:
    drift = "" if event.drift_um_per_s is None else f", drift {event.drift_um_per_s:+.2f} um/s"
    moved = f"{event.from_um:.2f} -> {event.z_um:.2f} um"
    words = {
        "up": f"up {moved}{drift}",
        "down": f"down {moved}{drift}",
        "found": f"the picture was unsharp: a sweep found the focus, {moved}",
        "held": f"the picture is unsharp, and no height within reach is sharp: held at {event.z_um:.2f} um",
        "nothing to see": "the picture is empty, black or saturated: nothing moves",
    }
    return f"{event.time_s:.1f} s: {words.get(event.kind, event.kind)}"
