"""How far apart the sharpness of the parts of a picture lies, in even fields and in uneven ones.

`python -m tests.bench.crispness [FIELDS]` prints a table: of FIELDS (24) fields with each relief, and twice as many
without, on each stain at hand, how many lie beyond what is usual for the even ones of the stain, by some factors. They
are 0.3 um (standard deviation) out of focus.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from parfocal.edge.config import Config
from parfocal.edge.focus.uneven.crispness import crispness_of
from parfocal.edge.simscope.bench import Sample, sample_from
from parfocal.edge.simscope.relief import RELIEFS, ReliefName
from tests.bench.focus_stand import textures

CONFIG = Config()
STAINS = ("ihc", "ihc faint", "H&E", "H&E of CMU", "blood", "marrow")
OFF_UM, REGION_UM, SEED = 0.3, 3000.0, 3
SHARES = (1.1, 1.25, 1.5)


def spreads(sample: Sample, n_fields: int, rng: np.random.Generator) -> Iterator[float]:
    """How far the parts of fields lie apart; those with too little in them are left out."""
    scan = CONFIG.scan
    for _ in range(n_fields):
        x_um, y_um = (
            zero_um + rng.uniform(-REGION_UM, REGION_UM) for zero_um in (scan.origin_x_um, scan.origin_y_um)
        )
        map_um = sample.focus_map_um
        focus_um = sample.focus_z_um(x_um, y_um) if map_um is None else float(np.median(map_um(x_um, y_um)))
        pixels = sample.render(x_um, y_um, focus_um + rng.normal(0.0, OFF_UM), scan.lamp_duty)
        spread = crispness_of(pixels, CONFIG.focus.blank_contrast).spread
        if spread is not None:
            yield spread


def measured(n_fields: int) -> dict[str, list[float]]:
    """Spreads of fields without a relief and with each, over the median of those without on the same stain."""
    found: dict[str, list[float]] = {"even": [], **{relief: [] for relief in RELIEFS}}
    reliefs: tuple[ReliefName | None, ...] = (None, *RELIEFS)
    with tempfile.TemporaryDirectory() as folder:
        path, rng = Path(folder) / "slide.png", np.random.default_rng(5)
        for stain, (pixels, um_per_px) in textures().items():
            if stain not in STAINS:
                continue
            cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
            usual = 0.0
            for relief in reliefs:
                sample = sample_from(path, um_per_px, CONFIG, SEED, relief)
                values = list(spreads(sample, n_fields if relief else 2 * n_fields, rng))
                usual = usual or float(np.median(values))
                found[relief or "even"] += [value / usual for value in values]
            sys.stderr.write(f"{stain}: the usual one is {usual:.2f}\n")
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("fields", nargs="?", type=int, default=24, help="with each relief, on each stain")
    cv2.setNumThreads(1)
    rows = [
        "| fields | " + " | ".join(f"beyond {share:g}" for share in SHARES) + " |",
        "|---" * (1 + len(SHARES)) + "|",
    ]
    for name, values in measured(parser.parse_args().fields).items():
        beyond = (f"{sum(value > share for value in values)}" for share in SHARES)
        rows.append(f"| {name}, {len(values)} | " + " | ".join(beyond) + " |")
    sys.stdout.write("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
