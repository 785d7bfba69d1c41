"""Uneven fields on the virtual slide: are they found, how good is the height map, how sharp the all-in-focus picture?

`python -m tests.bench.uneven [FIELDS] [SEED ...]` prints a table, a row for each relief; FIELDS fields (6) for each
seed (1 2). With `--pictures FOLDER` it writes one picture for each relief: the shot that was judged, the all-in-focus
picture, the height map.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.edge.config import Config
from parfocal.edge.engine import opened_engine
from parfocal.edge.focus.judging.depth import depth_of_field_um
from parfocal.edge.focus.picture.cells import CELL_PX
from parfocal.edge.focus.picture.places import spread_places
from parfocal.edge.focus.picture.sharpness import variance_of_laplacian
from parfocal.edge.focus.uneven.field import FieldShape, UnevenField
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.plan import snake
from parfocal.edge.simscope.bench import Sample, sample_from, stub_of
from parfocal.edge.simscope.camera import SimulatedCamera
from parfocal.edge.simscope.relief import RELIEFS, ReliefName
from parfocal.engines.predictor import Predictor

CONFIG = Config()
# The stage stands this far from the focus in the middle of a field when it is judged, standard deviation, um.
STARTS_UM = 1.0
PATCH_PX = 672
NEAR_UM = 0.5


class Looked(msgspec.Struct):
    """One field: its true range of heights, what was made of it, and the planes of its scan."""

    true_range_um: float
    shape: FieldShape
    error_um: NDArray[np.float64]
    sigma_um: NDArray[np.float64]
    sharper: list[float]


class Seen:
    """A sample that keeps the pictures that were drawn since `restart`."""

    def __init__(self, sample: Sample) -> None:
        self.sample, self.pictures = sample, list[UInt8Array]()

    def render(self, x_um: float, y_um: float, z_um: float, duty: float) -> UInt8Array:
        self.pictures.append(self.sample.render(x_um, y_um, z_um, duty))
        return self.pictures[-1]


def looked(
    relief: ReliefName | None, seed: int, n_fields: int, pair: Predictor, pictures: Path | None
) -> Iterator[Looked]:
    """Judge `n_fields` neighbouring fields of one slide; the blank ones are left out."""
    seen = Seen(sample_from(None, None, CONFIG, seed, relief))
    bench = VirtualBench(stub_of(CONFIG, seed))
    board = bench.open_board(CONFIG.board)
    board.home()
    board.lamp(CONFIG.scan.lamp_duty)
    camera = SimulatedCamera(bench, bench.clock, CONFIG.camera, seen.render)
    uneven = UnevenField(board.z, camera, pair, CONFIG.focus, CONFIG.camera.um_per_px)
    rng = np.random.default_rng(seed)
    for number, field in enumerate(snake(n_fields, CONFIG)):
        board.x.approach_up(field.x_um)
        bench.clock.sleep_s(board.y.approach_up(field.y_um) - bench.clock.now_s() + 0.2)
        x_um, y_um, _ = bench.true_um(bench.clock.now_s())
        board.z.approach_up(seen.sample.focus_z_um(x_um, y_um) + rng.normal(0.0, STARTS_UM))
        seen.pictures = []
        shape = uneven.examine()
        if shape is None:
            continue
        truth = true_map(seen.sample, x_um, y_um)
        yield compared(shape, truth, seen.pictures)
        if pictures is not None and number == 0 and shape.picture is not None:
            draw(pictures / f"{relief}-{seed}.png", shape, seen.pictures[0])


def true_map(sample: Sample, x_um: float, y_um: float) -> NDArray[np.float32]:
    """True height of the focus of each pixel, (h, w)."""
    if sample.focus_map_um is not None:
        return sample.focus_map_um(x_um, y_um)
    shape_px = CONFIG.camera.height_px, CONFIG.camera.width_px
    return np.full(shape_px, sample.focus_z_um(x_um, y_um), np.float32)


def compared(shape: FieldShape, truth: NDArray[np.float32], drawn: list[UInt8Array]) -> Looked:
    """Hold the map and the picture of a field against the truth and its single planes."""
    low_um, high_um = np.percentile(truth, (5.0, 95.0))
    error_um = sigma_um = np.array([])
    if shape.heights is not None:
        rows, columns = shape.heights.z_um.shape
        whole = truth[: rows * CELL_PX, : columns * CELL_PX]
        true_um = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
        known = np.isfinite(shape.heights.z_um)
        error_um, sigma_um = (shape.heights.z_um - true_um)[known], shape.heights.sigma_um[known]
    sharper = []
    if shape.picture is not None:
        for top, left in spread_places(truth.shape[0], truth.shape[1], PATCH_PX):
            part = np.s_[top : top + PATCH_PX, left : left + PATCH_PX]
            best = max(variance_of_laplacian(plane[part]) for plane in drawn[1:])
            sharper.append(variance_of_laplacian(shape.picture[part]) / best)
    return Looked(float(high_um - low_um), shape, error_um, sigma_um, sharper)


def draw(path: Path, shape: FieldShape, before: UInt8Array) -> None:
    """Side by side: the shot that was judged, the all-in-focus picture, the height map."""
    if shape.heights is None or shape.picture is None:
        return
    z_um = np.nan_to_num(shape.heights.z_um, nan=float(np.nanmin(shape.heights.z_um)))
    known = np.isfinite(shape.heights.z_um)
    levels = ((z_um - z_um.min()) * 255.0 / max(float(np.ptp(z_um)), 1e-6)).astype(np.uint8)
    coloured = cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)
    coloured[~known] = 255
    size_px = before.shape[1], before.shape[0]
    beside = [cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) for pixels in (before, shape.picture)]
    beside.append(cv2.resize(coloured, size_px, interpolation=cv2.INTER_NEAREST))
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.hstack(beside)[::2, ::2])


def row(name: str, fields: list[Looked], depth_um: float) -> str:
    """One line of the table."""
    uneven = [f for f in fields if f.true_range_um > depth_um]
    scanned = [f for f in fields if f.shape.heights is not None]
    error_um = np.concatenate([f.error_um for f in scanned]) if scanned else np.array([])
    sigma_um = np.concatenate([f.sigma_um for f in scanned]) if scanned else np.array([])
    called = [f for f in fields if f.shape.verdict == "uneven"]
    sharper = np.array([ratio for f in called for ratio in f.sharper])
    cells = [
        name,
        str(len(fields)),
        str(len(uneven)),
        f"{len(scanned)}",
        f"{sum(f in uneven for f in called)} + {sum(f not in uneven for f in called)} wrong",
        f"{np.mean([f.shape.images for f in scanned]):.1f}" if scanned else "",
        f"{100.0 * np.mean(np.abs(error_um) <= NEAR_UM):.1f} % of {len(error_um)}" if len(error_um) else "",
        f"{error_um.mean():+.2f}, {error_um.std():.2f}" if len(error_um) else "",
        f"{100.0 * np.mean(np.abs(error_um - np.median(error_um)) <= 2.0 * sigma_um):.0f} %"
        if len(error_um)
        else "",
        f"{sharper.min():.2f} .. {sharper.max():.2f}, {100.0 * (sharper > 1.0).mean():.0f} %"
        if len(sharper)
        else "",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fields", nargs="?", type=int, default=6)
    parser.add_argument("seeds", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--only", choices=("even", *RELIEFS))
    asked = parser.parse_args()
    pair = opened_engine(CONFIG.focus).predictor
    depth_um = depth_of_field_um(CONFIG.focus.objective)
    print(  # noqa: T201
        "| relief | fields | truly uneven | scanned | called uneven | images of a scan | cells within 0.5 um "
        "| error: mean, sd um | within 2 sigma | picture over best plane, patches sharper |\n"
        "|---|---|---|---|---|---|---|---|---|---|"
    )
    for relief in (None, *RELIEFS):
        if asked.only in (None, relief or "even"):
            fields = [
                f for seed in asked.seeds for f in looked(relief, seed, asked.fields, pair, asked.pictures)
            ]
            print(row(relief or "even", fields, depth_um), flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
