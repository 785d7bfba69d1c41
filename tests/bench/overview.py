"""Whether an overview loses real tissue: `python -m tests.bench.overview`, into build/bench/overview.json.

Real pictures of sections, smears and cells (one from a package, the others from the shared tiles where they are) lie
as two islands on a drawn slide, at 10, 20 and 50 um per px, with their own stain and with a fifth of it. "Lost" is the
share of the islands that is not found, "wrong" what is found far from them, over their size. A fifth of a stain may be
paler than the palest that is looked for (`MIN_DENSITY`): such islands are counted apart. At 50 um per px they lie under
a yellowed mount as well.
"""

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from parfocal.edge.images.rgb import rgb_from_file
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.slide import density_from_image
from parfocal.edge.tissue.mask import MIN_DENSITY, tissue_mask
from tests.bench.focus_stand import TILES
from tests.edge.tissue.test_overview import SHAPE, glass, islands, yellowed
from tests.stains import ihc

FOLDERS = {
    "he_cmu1": 0.5,
    "he_histolab": 0.5,
    "blood_chula": 0.19,
    "cytology_dsb2018": 0.5,
    "stained_dsb2018": 0.35,
}
SHARES, UM_PER_PX = (1.0, 0.2), (10.0, 20.0, 50.0)
MOUNTED_UM_PER_PX = 50.0
LOST = 0.1


def textures() -> Iterator[tuple[str, UInt8Array, float]]:
    """Real pictures with their name and um per px."""
    yield "ihc", ihc(), 0.5
    for folder, um_per_px in FOLDERS.items():
        for path in sorted((TILES / folder).glob("*.*")):
            if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".tif", ".tiff"):
                yield f"{folder}/{path.name}", rgb_from_file(path), um_per_px


def laid(picture: UInt8Array, factor: float, share: float) -> tuple[UInt8Array, float]:
    """The slide with `share` of a picture's stain, made smaller by `factor`, and the mean density of its islands."""
    density = density_from_image(picture) * np.float32(share)
    size = max(2, round(picture.shape[1] / factor)), max(2, round(picture.shape[0] / factor))
    small = cv2.resize(np.exp(-density), size, interpolation=cv2.INTER_AREA)
    mirrored = np.concatenate([small, small[::-1]])
    mirrored = np.concatenate([mirrored, mirrored[:, ::-1]], axis=1)
    times = [-(-side // n) for side, n in zip(SHAPE, mirrored.shape[:2], strict=True)]
    light = np.tile(mirrored, (*times, 1))[: SHAPE[0], : SHAPE[1]]
    shown = glass() * np.where(islands()[..., None] > 0, light, 1.0)
    return np.clip(np.rint(shown), 0, 255).astype(np.uint8), float(-np.log(light).mean())


def main() -> None:
    truth = islands() > 0
    far = cv2.dilate(truth.astype(np.uint8), np.ones((15, 15), np.uint8)) == 0
    rows: list[dict[str, Any]] = []
    for name, picture, picture_um_per_px in textures():
        for um_per_px in UM_PER_PX:
            for share in SHARES:
                pixels, mean = laid(picture, um_per_px / picture_um_per_px, share)
                mounted = np.clip(yellowed(pixels.astype(np.float32), 3.0), 0, 255).astype(np.uint8)
                for is_mounted in (False, True) if um_per_px == MOUNTED_UM_PER_PX else (False,):
                    found = tissue_mask(mounted if is_mounted else pixels, um_per_px).mask
                    rows.append(
                        {
                            "picture": name,
                            "um_per_px": um_per_px,
                            "share": share,
                            "is_mounted": is_mounted,
                            "density": mean,
                            "lost": float((truth & ~found).sum() / truth.sum()),
                            "wrong": float((found & far).sum() / truth.sum()),
                        }
                    )
    folder = Path("build/bench")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "overview.json").write_text(json.dumps(rows, indent=1))
    for is_mounted, is_dense in itertools.product((False, True), (True, False)):
        some = [
            row
            for row in rows
            if (row["density"] > 1.5 * MIN_DENSITY) == is_dense and row["is_mounted"] == is_mounted
        ]
        lost = [row for row in some if row["lost"] > LOST]
        where = "under a yellowed mount, " if is_mounted else ""
        sys.stdout.write(
            f"{where}{'denser than the palest stain' if is_dense else 'paler'}: {len(some)} slides, more than "
            f"{LOST:.0%} lost in {len(lost)}, anything wrong in {sum(row['wrong'] > 0.0 for row in some)}\n"
        )
        for row in lost[:20]:
            sys.stdout.write(f"  {row}\n")


if __name__ == "__main__":
    main()
