"""Every figure of a scan in one file: `python -m tests.bench.scan_rows`, into build/bench/scan.json.

Rows: the survey, the scans over three focal surfaces with stops and without, at 20x, at 40x and at two other overlaps,
plans at three overlaps and two magnifications, stitching against truth, masters and exports with their encoding rate
and memory, and the focal surface against a plain spline with a wrong point. Each row is measured by a process of its
own, so that its memory is its own, and kept in a file: what is there is not measured again, so the same command goes on
after an interruption. A row that fails is named at the end, and the others are measured all the same. `--only NAME ...`
measures some, `--again` measures them anew, `--table` prints what there is as tables in Markdown and measures nothing.
All rows together take about 50 minutes of one core.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from parfocal.edge.scan.continuous.plan import quicker_plan, sweep_plan
from parfocal.edge.scan.tiling.plan import field_of, foretell, plan_tiles
from parfocal.edge.scan.tiling.writer import write_whole
from parfocal.edge.surface.points import FocusPoint
from parfocal.edge.surface.surface import fit_surface
from parfocal.edge.tissue.area import rectangle
from tests.bench import scan, slide, stitch, survey
from tests.bench.scan import ORIGIN_UM, PLAYS

FOLDER = Path("build/bench")
KEPT = FOLDER / "scan-rows"
Row = dict[str, Any]

OVERLAPS = (0.05, 0.10, 0.20)
N_TRIALS, SIGMA_UM, WRONG_UM = 100, 0.28, 20.0  # what focusing scatters: liao2021 2.2


def planned() -> Row:
    """15 x 15 mm by the plan, flat: seconds with stops and without, by camera and overlap."""
    x_um, y_um = ORIGIN_UM
    area = rectangle(x_um, y_um, x_um + 15e3, y_um + 15e3)
    plans: Row = {}
    for name, through in scan.THROUGH.items():
        config = through.real
        field_um = field_of(config.camera, config.camera.um_per_px)
        for overlap in OVERLAPS:
            stops = foretell(
                plan_tiles(area, config, field_um, overlap), config, 0.15, PLAYS, is_triggered=True
            )
            sweeps = sweep_plan(quicker_plan(area, config, field_um, overlap, PLAYS), config, PLAYS)
            plans[f"{name}, overlap {overlap:.0%}"] = {
                "tiles": stops.n_tiles,
                "limit_s": stops.limit_s,
                "with_stops_s": stops.scan_s,
                "swept_s": sweeps.scan_s,
                "sweeps": sweeps.n_rows,
                "speed_mm_per_s": sweeps.speed_um_per_s / 1000.0,
                "limited_by": sweeps.limited_by,
                "flash_us": sweeps.flash_s * 1e6,
            }
    return plans


def robust() -> Row:
    """The focal surface and a bicubic spline through the same 4 x 4 points over 15 x 15 mm, one of them wrong or none.

    The truth has a tilt of 30 um and a bend; points scatter as focusing does. Errors over the whole area, um.
    """
    rng = np.random.default_rng(1)
    ours: dict[str, list[float]] = {"none": [], "one": []}
    spline: dict[str, list[float]] = {"none": [], "one": []}
    at_mm = np.linspace(0.0, 15.0, 4)
    x, y = (each.ravel() * 1000.0 for each in np.meshgrid(at_mm, at_mm))
    fine_mm = np.linspace(0.0, 15.0, 16)
    fine_x, fine_y = (each.ravel() * 1000.0 for each in np.meshgrid(fine_mm, fine_mm))
    for _ in range(N_TRIALS):
        tilt, bend = rng.uniform(-2e-3, 2e-3, 2), rng.uniform(-0.05e-6, 0.05e-6, 3)

        def truth(
            x_um: np.ndarray, y_um: np.ndarray, tilt: np.ndarray = tilt, bend: np.ndarray = bend
        ) -> np.ndarray:
            u, v = x_um - 7500.0, y_um - 7500.0
            return np.asarray(2500.0 + tilt[0] * u + tilt[1] * v + bend @ np.array([u * u, u * v, v * v]))

        z = truth(x, y) + rng.normal(0.0, SIGMA_UM, 16)
        wrong = z.copy()
        wrong[rng.integers(16)] += WRONG_UM * rng.choice([-1.0, 1.0])
        for name, heights in (("none", z), ("one", wrong)):
            points = [FocusPoint(*each, SIGMA_UM) for each in zip(x, y, heights, strict=True)]
            found = fit_surface(points).heights_um(fine_x, fine_y) - truth(fine_x, fine_y)
            ours[name] += np.abs(found[np.isfinite(found)]).tolist()
            plain = _bicubic(at_mm, heights.reshape(4, 4), fine_mm) - truth(fine_x, fine_y)
            spline[name] += np.abs(plain).tolist()
    return {
        f"{who}_{name}_wrong_um": {"mean": float(np.mean(off)), "p95": float(np.percentile(off, 95))}
        for who, errors in (("surface", ours), ("spline", spline))
        for name, off in errors.items()
    }


def _bicubic(at_mm: np.ndarray, heights_um: np.ndarray, fine_mm: np.ndarray) -> np.ndarray:
    """The bicubic spline through a grid of 4 x 4 heights at the fine grid: a polynomial of third order each way."""
    to_fine = np.vander(fine_mm, 4) @ np.linalg.inv(np.vander(at_mm, 4))
    return np.asarray((to_fine @ heights_um @ to_fine.T).ravel())


def surveyed() -> Row:
    """16 x 16 points by single shots, with stops and without, against stacks."""
    return dict(survey.measured(16, scan.CONFIG.board.x.settle_s))


SCANS = (
    *(scan.Wanted(surface, continuous) for surface in scan.SURFACES for continuous in (False, True)),
    *(scan.Wanted(surface, True, flash=scan.BRIGHTER_FLASH) for surface in ("smooth", "waves")),
    *(
        scan.Wanted("waves", continuous, overlap=overlap)
        for overlap in OVERLAPS[1:]
        for continuous in (False, True)
    ),
    *(
        scan.Wanted(surface, continuous, "40x-13mpx")
        for surface in scan.SURFACES
        for continuous in (False, True)
    ),
    *(scan.Wanted("waves", continuous, "40x-13mpx", has_single=False) for continuous in (False, True)),
    # A fifth of the slide, in rows as long as those of the whole, which has 7,680 tiles.
    *(scan.Wanted("waves", continuous, "40x", side_mm=3.0) for continuous in (False, True)),
)


def stitched(stain: str, overlap: float) -> Row:
    return dict(stitch.measured(stain, overlap))


def written(codec: str) -> Row:
    """A master and its exports. The tiles are made by another process, so that the memory is that of the product."""
    with TemporaryDirectory(dir=FOLDER) as folder:
        command = [sys.executable, "-m", "tests.bench.slide", folder, "--tiles", codec]
        subprocess.run(command, check=True, timeout=1200)
        return dict(slide.measured(Path(folder) / "slide.zarr"))


ROWS: dict[str, Callable[[], Row]] = {
    "survey": surveyed,
    **{wanted.name: partial(scan.row_of, wanted, FOLDER) for wanted in SCANS},
    "plans": planned,
    "surface": robust,
    **{
        f"stitch, {stain}, {overlap:.0%}": partial(stitched, stain, overlap)
        for stain, overlap in (
            *(("ihc", each) for each in OVERLAPS),
            ("h_and_e", OVERLAPS[0]),
            ("faint", OVERLAPS[0]),
        )
    },
    "slide, jpg": partial(written, "jpg"),
    "slide, png": partial(written, "png"),
}


def path_of(name: str) -> Path:
    return KEPT / f"{scan.file_name(name)}.json"


def tables(rows: dict[str, Row]) -> Iterator[str]:
    """What was measured, as tables in Markdown."""
    scans = {name: row for name, row in rows.items() if "scan_over_limit" in row}
    yield from _table(
        "focal surface | 15 x 15 mm | of the limit | taken anew | in it | mean, p95 error | within a depth of field",
        (
            f"{name} | {row['whole_15_mm_s']:.0f} s | {row['scan_over_limit']:.2f} | {row['focused_anew']} | "
            f"{row['focused_anew_s']:.0f} s | {row['mean_error_um']:.2f}, {row['p95_error_um']:.2f} um | "
            f"{100.0 * row['within_depth_of_field']:.1f} %"
            for name, row in scans.items()
        ),
    )
    yield from _table(
        "plan | tiles | limit with stops | swept | sweeps | mm/s, limited by | flash",
        (
            f"{name} | {row['tiles']} | {row['limit_s']:.0f} s | {row['swept_s']:.0f} s | {row['sweeps']} | "
            f"{row['speed_mm_per_s']:.1f}, {row['limited_by']} | {row['flash_us']:.0f} us"
            for name, row in rows.get("plans", {}).items()
        ),
    )
    yield from _table(
        "stain, overlap | error: median, p95 | seams used, wrong | CPU a tile",
        (
            f"{name} | {row['error_px_median']:.2f}, {row['error_px_p95']:.2f} px | "
            f"{row['used']} of {row['seams']}, {row['used_wrong']} | {row['processor_ms_a_tile']:.0f} ms"
            for name, row in rows.items()
            if "used_wrong" in row
        ),
    )
    yield from _table(
        "tiles | master over tiles | foretold within | exports over tiles | CPU a tile: master, export | memory",
        (
            f"{name} | {row['master_over_tiles']:.2f} | {100.0 * abs(row['master_over_foretold'] - 1.0):.0f} % | "
            f"{row['ome-tiff_over_tiles']:.2f} | {row['master_processor_ms_a_tile']:.0f}, "
            f"{row['ome-tiff_processor_ms_a_tile']:.0f} ms | {row['memory_mb']} MB"
            for name, row in rows.items()
            if "master_over_tiles" in row
        ),
    )
    yield from _table(
        "surface through 16 points | mean error | p95",
        (
            f"{name} | {row['mean']:.2f} um | {row['p95']:.2f} um"
            for name, row in rows.get("surface", {}).items()
        ),
    )
    if "survey" in rows:
        yield json.dumps(rows["survey"], indent=1)


def _table(head: str, lines: Iterator[str]) -> Iterator[str]:
    yield f"| {head} |\n|{'---|' * (head.count('|') + 1)}"
    yield from (f"| {line} |" for line in lines)
    yield ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[*ROWS], default=[*ROWS], metavar="ROW")
    parser.add_argument("--again", action="store_true", help="measure what is there, too")
    parser.add_argument("--table", action="store_true", help="print what is there; measure nothing")
    parser.add_argument("--row", choices=[*ROWS], help=argparse.SUPPRESS)
    given = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    if given.row:
        write_whole(path_of(given.row), json.dumps(ROWS[given.row](), indent=1).encode())
        return
    failed = []
    for name in () if given.table else given.only:
        if given.again or not path_of(name).exists():
            sys.stderr.write(f"{name}\n")
            done = subprocess.run([sys.executable, "-m", "tests.bench.scan_rows", "--row", name], check=False)
            failed += [name] if done.returncode else []
    rows = {name: json.loads(path_of(name).read_text()) for name in ROWS if path_of(name).exists()}
    (FOLDER / "scan.json").write_text(json.dumps(rows, indent=1))
    sys.stdout.write("\n".join(tables(rows)) + "\n")
    missing = [name for name in ROWS if name not in rows]
    sys.stderr.write(f"not measured yet: {'; '.join(missing)}\n" if missing else "every row is there\n")
    if failed:
        sys.exit(f"failed: {'; '.join(failed)}")


if __name__ == "__main__":
    main()
