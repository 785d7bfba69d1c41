"""The error of a survey by the shipped models: `python -m tests.bench.survey_errors STAIN`, into build/bench/.

16 x 16 points over 10 x 10 mm (liao2021 fig. 4) of one stain, rendered through the objective, on the tilted, bent and
wavy surface of `tests.bench.scan` without its fold, with stops or swept (`--continuous`). The truth is the sharpest
plane of a stack of 0.5 um at each point, by the Brenner gradient (liao2021 2.1). "Off" is how far above it a point was
left, with their median taken off: the constant between the plane that the models call the focus and the sharpest one.
`--picture` draws the map and its error map to a PNG file. Without a STAIN, what was measured so far is summed up.
"""

import argparse
import contextlib
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.config import config_from_toml
from parfocal.edge.engine import checked_engine, checked_single_engine
from parfocal.edge.focus.picture.sharpness import brenner_gradient, parabola_vertex
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.continuous.survey import SweptSurvey, survey_sweeps
from parfocal.edge.scan.grid import Region, points_of_region
from parfocal.edge.scan.on_demand import on_demand
from parfocal.edge.scan.session import Session
from parfocal.edge.scan.survey import survey_report, surveyed
from parfocal.edge.scan.tiling.writer import write_whole
from parfocal.edge.simscope.bench import Sample, in_virtual_time, stub_of
from parfocal.edge.simscope.optics import Optics
from parfocal.edge.simscope.scene import Scene
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide
from tests.bench.focus_stand import textures
from tests.bench.scan import ORIGIN_UM, waves
from tests.bench.survey import N_POINTS, SIDE_UM
from tests.bench.whole_slide import PLAYS
from tests.stains import faint, h_and_e, ihc

CONFIG = config_from_toml("[scan]\nflash_brightness = 340.0\n", "the bench")
PLANE_UM, REACH_UM = 0.5, 4.0  # of the stacks; liao2021 2.2: 0.5 um
STACK_PX = 448  # a side: the part that the focus is judged by
Floats = NDArray[np.float64]


def pictures() -> dict[str, tuple[UInt8Array, float]]:
    """Sharp pictures of tissue by stain, with their um per px."""
    drawn = {"ihc": (ihc(), 0.5), "h_and_e": (h_and_e(), 0.5), "faint": (faint(), 0.5)}
    real = {
        name.lower().replace(" ", "_").replace("&", "_and_"): found
        for name, found in textures().items()
        if name in ("H&E", "H&E of CMU", "blood", "marrow")
    }
    return {**drawn, **{f"real_{name}": found for name, found in real.items()}}


class Slide:
    """One stain on the wavy surface, through the objective."""

    def __init__(self, picture: tuple[UInt8Array, float], seed: int = 1) -> None:
        camera = CONFIG.camera
        laid = VirtualSlide(SlideImage(*picture), camera.um_per_px, seed)
        optics = Optics(um_per_px=camera.um_per_px)
        self._scene = Scene(laid, optics, (camera.height_px, camera.width_px), seed)
        self._middle = Scene(laid, optics, (STACK_PX, STACK_PX), seed + 1)
        self.sample = Sample(self._render, waves)
        self._place_um = ORIGIN_UM

    def _render(self, x_um: float, y_um: float, z_um: float, duty: float) -> UInt8Array:
        self._place_um = x_um, y_um
        return self._scene.shot(x_um, y_um, z_um - waves(x_um, y_um), duty / CONFIG.scan.lamp_duty)

    def sharpest_um(self) -> float:
        """How far above the true focus the sharpest plane lies where the last picture was taken."""
        heights_um = np.arange(-REACH_UM, REACH_UM + 0.01, PLANE_UM).tolist()
        sharp = [
            brenner_gradient(self._middle.shot(*self._place_um, above_um, 1.0)) for above_um in heights_um
        ]
        top = int(np.clip(np.argmax(sharp), 1, len(sharp) - 2))
        return parabola_vertex(heights_um[top - 1 : top + 2], sharp[top - 1 : top + 2])


def measured(picture: tuple[UInt8Array, float], is_swept: bool = False) -> dict[str, Any]:
    """Survey one stain, with stops or swept, with a stack at each point that has a focus."""
    slide = Slide(picture)
    x_um, y_um = ORIGIN_UM
    points = points_of_region(
        Region(x_um, y_um, x_um + SIDE_UM, y_um + SIDE_UM), CONFIG, N_POINTS, spacing_um=SIDE_UM
    )
    began_s, truth_um, fields = time.process_time(), {}, []
    with (
        in_virtual_time(slide.sample, CONFIG, stub_of(CONFIG, 1)) as opened,
        contextlib.ExitStack() as triggered,
    ):
        instrument = msgspec.structs.replace(opened, plays=PLAYS)
        instrument.home_if_allowed()
        if is_swept:
            instrument = triggered.enter_context(on_demand(instrument, CONFIG.camera))
        microscope_s = -instrument.clock.now_s()
        two_shot, single = checked_engine(CONFIG).predictor, checked_single_engine(CONFIG).predictor
        session = Session(instrument, two_shot, CONFIG, single, measures=True)
        visits = (
            SweptSurvey(session, instrument, CONFIG, survey_sweeps(points, CONFIG, PLAYS)).run()
            if is_swept
            else surveyed(session, points)
        )
        for done in visits:
            fields.append(done.report)
            if done.outcome in ("focused", "recovered"):
                truth_um[len(fields) - 1] = slide.sharpest_um()
        microscope_s += instrument.clock.now_s()
    report, surface = survey_report(fields, session.first_sweep_s)
    focused = [fields[k] for k in truth_um]
    sharpest_um = np.array(list(truth_um.values()))
    return {
        "stain_points": [
            {
                "x_um": field.x_um,
                "y_um": field.y_um,
                "z_um": field.z_um,
                "above_um": float(field.error_um or 0.0) - float(at_um),
                "on_map_um": float(
                    surface.heights_um(np.array([field.x_um]), np.array([field.y_um]))[0] - field.z_um
                )
                if surface
                else None,
                "images": field.images,
                "s": field.elapsed_s,
                "rule": field.attempts[-1].rule if field.attempts else None,
                "outcome": field.outcome,
            }
            for field, at_um in zip(focused, sharpest_um, strict=True)
        ],
        "outcomes": dict(Counter(field.outcome for field in fields)),
        "rules": dict(Counter(field.attempts[-1].rule for field in focused if field.attempts)),
        "rejected": sum(point.status == "rejected" for point in report.points),
        "model": report.surface.model if report.surface else None,
        "leave_one_out_um": report.surface.leave_one_out.rms_um if report.surface else None,
        "survey_s": microscope_s,
        "first_sweep_s": session.first_sweep_s,
        "images_a_point": float(np.mean([field.images for field in focused])),
        "processor_s": time.process_time() - began_s,
    }


def summed(name: str, found: dict[str, Any]) -> dict[str, object]:
    """The errors of one stain's points, and of the surface through them."""
    points = found["stain_points"]
    above_um = np.array([point["above_um"] for point in points])
    of_map_um = above_um + np.array([point["on_map_um"] for point in points], np.float64)
    constant_um = float(np.median(above_um))
    off_um, map_off_um = np.abs(above_um - constant_um), np.abs(of_map_um - constant_um)
    is_in = np.isfinite(map_off_um)
    return {
        "stain": name,
        "points": len(points),
        "constant_um": constant_um,
        "off_um_mean": float(off_um.mean()),
        "off_um_deviation": float(off_um.std()),
        "off_um_p95": float(np.percentile(off_um, 95)),
        "off_um_worst": float(off_um.max()),
        "within_1_um": float((off_um <= 1.0).mean()),
        "map_off_um_mean": float(map_off_um[is_in].mean()),
        **{key: value for key, value in found.items() if key != "stain_points"},
    }


def draw(path: Path, name: str, found: dict[str, Any]) -> None:
    """The map and its error map, as PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    points = found["stain_points"]
    x_mm, y_mm, z_um, above_um = (
        np.array([point[key] for point in points]) / scale
        for key, scale in (("x_um", 1e3), ("y_um", 1e3), ("z_um", 1.0), ("above_um", 1.0))
    )
    figure, axes = plt.subplots(1, 2, figsize=(12.0, 5.0))
    for axis, values, colours, title in (
        (axes[0], z_um, "viridis", f"{name}: height of the focus, um"),
        (axes[1], above_um - np.median(above_um), "RdBu", "above the sharpest plane, um"),
    ):
        limit = {"vmin": -1.2, "vmax": 1.2} if colours == "RdBu" else {}
        shown = axis.scatter(x_mm, y_mm, c=values, cmap=colours, marker="s", s=150, **limit)
        axis.set(title=title, xlabel="x, mm", ylabel="y, mm", aspect="equal")
        figure.colorbar(shown, ax=axis)
    figure.savefig(path, dpi=80, bbox_inches="tight")
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stain", nargs="?", help=f"one of {', '.join(pictures())}")
    parser.add_argument("--continuous", action="store_true", help="do not stop at the points")
    parser.add_argument("--picture", type=Path, help="draw the map and its error map of STAIN")
    given = parser.parse_args()
    folder = Path("build/bench/survey_errors")
    folder.mkdir(parents=True, exist_ok=True)
    if given.stain is not None:
        path = folder / f"{given.stain}{'-swept' if given.continuous else ''}.json"
        if not path.exists():
            write_whole(path, json.dumps(measured(pictures()[given.stain], given.continuous)).encode())
        if given.picture is not None:
            draw(given.picture, given.stain, json.loads(path.read_text()))
    found = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    rows = [summed(name, each) for name, each in found.items()]
    (folder.parent / "survey_errors.json").write_text(json.dumps(rows, indent=1))
    sys.stdout.write(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
