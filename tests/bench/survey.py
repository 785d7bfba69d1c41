"""A survey against a survey by stacks: `python -m tests.bench.survey`, into build/bench/survey.json.

16 x 16 points over 10 x 10 mm (liao2021 fig. 3 and 4) of the slide of `tests.bench.scan`, in the microscope's time. Its
models know the truth but for noise, so the times are those of a survey, and the errors are not. Stacks of 41 and of 10
planes of 0.5 um are taken upwards at rest at `--stacks` of the points, and their time is told for all. The limit is
going from point to point, coming to rest, a mean wait for a frame, and one exposure each. The survey is done once more
with a camera that exposes as soon as the stage is at rest, as one does that the board triggers: a free-running one
waits for its next frame. And once more without stops. `--settle-s` is the time that X and Y take to come to rest.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from parfocal.edge.focus.shots import Shots
from parfocal.edge.instrument import Instrument
from parfocal.edge.scan.continuous.survey import SweptSurvey, survey_sweeps
from parfocal.edge.scan.grid import Region, points_of_region
from parfocal.edge.scan.on_demand import on_demand
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.session import Session
from parfocal.edge.scan.survey import surveyed
from tests.bench.scan import CONFIG, ORIGIN_UM, PLAYS, LargeSlide, smooth
from tests.edge.scan.tiling.small_slide import drawn

SIDE_UM, N_POINTS, PLANE_UM = 10_000.0, 256, 0.5


def way_s(instrument: Instrument, points: tuple[Field, ...]) -> float:
    """The time of going from point to point and coming to rest."""
    clock, board = instrument.clock, instrument.board
    began_s = clock.now_s()
    for point in points:
        clock.sleep_s(instrument.approach(point.x_um, point.y_um, board.z.position_um) - clock.now_s())
    return clock.now_s() - began_s


def stacks_s(instrument: Instrument, points: tuple[Field, ...], n_planes: int) -> float:
    """The time of a stack at each point, about its focus."""
    clock, shots = instrument.clock, Shots(instrument.board.z, instrument.camera, CONFIG.focus)
    # One move there is not one for each of `points`: without it, the time of some is told for all.
    instrument.go_to(points[0].x_um, points[0].y_um)
    began_s = clock.now_s()
    for point in points:
        low_um = smooth(point.x_um, point.y_um) - PLANE_UM * n_planes / 2.0
        clock.sleep_s(instrument.approach(point.x_um, point.y_um, low_um) - clock.now_s())
        for k in range(n_planes):
            shots.take(low_um + k * PLANE_UM)
    return clock.now_s() - began_s


def swept(points: tuple[Field, ...], settle_s: float) -> dict[str, object]:
    """The survey without stops."""
    slide = LargeSlide(focus=smooth, pixels=drawn(7, 1200), single_sigma_um=0.3, config=CONFIG)
    with slide.instrument(plays=PLAYS) as opened, on_demand(opened, CONFIG.camera) as instrument:
        settle_sideways(instrument, settle_s)
        instrument.home_if_allowed()
        began_s = instrument.clock.now_s()
        session = Session(instrument, slide.eyes.two_shot, CONFIG, slide.eyes.single, measures=True)
        planned = survey_sweeps(points, CONFIG, PLAYS)
        done = list(SweptSurvey(session, instrument, CONFIG, planned).run())
        took_s = instrument.clock.now_s() - began_s
    passed = [each for each in done if each.passed_um is not None]
    return {
        "swept_s": took_s,
        "swept_rows_s": sum(each.report.elapsed_s for each in passed),
        "swept_speed_mm_per_s": planned.sweeps.speed_um_per_s / 1000.0,
        "swept_visited": len(done) - len(passed),
        "swept_error_um": float(np.mean([abs(each.error_um or 0.0) for each in done])),
    }


def triggered_s(points: tuple[Field, ...], settle_s: float) -> float:
    """The time of the survey with a camera that the board triggers."""
    slide = LargeSlide(focus=smooth, pixels=drawn(7, 1200), single_sigma_um=0.3, config=CONFIG)
    with slide.instrument(plays=PLAYS) as opened, on_demand(opened, CONFIG.camera) as instrument:
        settle_sideways(instrument, settle_s)
        instrument.home_if_allowed()
        began_s = instrument.clock.now_s()
        list(surveyed(Session(instrument, slide.eyes.two_shot, CONFIG, slide.eyes.single, True), points))
        return instrument.clock.now_s() - began_s


def settle_sideways(instrument: Instrument, settle_s: float) -> None:
    """Let X and Y take `settle_s` to come to rest."""
    for axis in (instrument.board.x, instrument.board.y):
        axis.use_settle(settle_s)


def measured(n_stacks: int, settle_s: float) -> dict[str, object]:
    """Survey the points, then some of them by stacks."""
    x_um, y_um = ORIGIN_UM
    points = points_of_region(
        Region(x_um, y_um, x_um + SIDE_UM, y_um + SIDE_UM), CONFIG, N_POINTS, spacing_um=SIDE_UM
    )
    slide = LargeSlide(focus=smooth, pixels=drawn(7, 1200), single_sigma_um=0.3, config=CONFIG)
    with slide.instrument(plays=PLAYS) as instrument:
        settle_sideways(instrument, settle_s)
        instrument.home_if_allowed()
        began_s = instrument.clock.now_s()
        session = Session(instrument, slide.eyes.two_shot, CONFIG, slide.eyes.single, measures=True)
        fields = [done.report for done in surveyed(session, points)]
        survey_s = instrument.clock.now_s() - began_s
        some = points[:n_stacks]
        with instrument.lit(CONFIG.scan.lamp_duty):
            times = {
                f"stacks_of_{n}_s": stacks_s(instrument, some, n) * len(points) / len(some) for n in (41, 10)
            }
        moving_s = way_s(instrument, points)
    triggered = triggered_s(points, settle_s)
    without_stops = swept(points, settle_s)
    camera = CONFIG.camera
    limit_s = moving_s + len(points) * (camera.exposure_s + camera.frame_period_s / 2.0)
    focused = [field for field in fields if field.outcome in ("focused", "recovered")]
    return {
        "points": len(points),
        "focused": len(focused),
        "survey_s": survey_s,
        "first_sweep_s": session.first_sweep_s,
        "s_a_point": (survey_s - session.first_sweep_s) / len(points),
        "images_a_point": float(np.mean([field.images for field in focused])),
        "x_y_s": moving_s,
        "limit_s": limit_s,
        "over_limit": survey_s / limit_s,
        "after_the_first_sweep_over_limit": (survey_s - session.first_sweep_s) / limit_s,
        "began_off_um": float(np.median([abs(field.began_error_um or 0.0) for field in focused])),
        **times,
        "triggered_s": triggered,
        "triggered_share_of_stacks_of_41": triggered / times["stacks_of_41_s"],
        **without_stops,
        "swept_share_of_stacks_of_41": float(str(without_stops["swept_s"])) / times["stacks_of_41_s"],
        "error_um": float(np.mean([abs(field.error_um or 0.0) for field in focused])),
        "share_of_stacks_of_41": survey_s / times["stacks_of_41_s"],
        "share_of_stacks_of_10": survey_s / times["stacks_of_10_s"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stacks", type=int, default=16)
    parser.add_argument("--settle-s", type=float, default=CONFIG.board.x.settle_s)
    given = parser.parse_args()
    result = measured(given.stacks, given.settle_s)
    folder = Path("build/bench")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "survey.json").write_text(json.dumps(result, indent=1))
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
