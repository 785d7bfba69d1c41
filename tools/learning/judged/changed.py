"""Features of held-out images with one thing changed at a time: what the uncertainty of a head is scaled on.

Stacks of the reference microscope show errors of one instrument. A microscope has another condenser, camera or stain.
"""

from pathlib import Path

import numpy as np
import torch

from parfocal.engines.model.contract import Kind
from tools.learning.data.features import Features
from tools.learning.judged import tables
from tools.learning.judged.rows import ROWS, HeldOutFields
from tools.networks.focus import FocusNet
from tools.networks.standardising import standardised
from tools.rendering.objectives import Objective

# Not that of the fields on which `tools.rows` measures by default.
SEED = 11
# A single shot has the direction from its colours, and does not show that they are odd: no uncertainty covers that.
ODD_COLOURS = ("no colour shift", "colour shift mirrored")


def changed_images(
    net: FocusNet, kind: Kind, patch_px: int, objective: Objective, tiles: Path, fields: int
) -> Features:
    """Return the features of the patches of `fields` held-out fields in each row but those with odd colours.

    Patches are within the range of the objective and have enough contrast. `tiles` is the folder of sharp images.
    """
    held_out = HeldOutFields(tiles, fields, SEED, objective)
    columns: list[tuple[np.ndarray, ...]] = []
    for name, row in ROWS.items():
        if name in ODD_COLOURS:
            continue
        condenser = row.optics_of(objective.optics).condenser_sigma
        for image in held_out.images(row):
            patches, contrast = image.patches(kind, patch_px)
            usable = contrast >= tables.MIN_CONTRAST
            n = int(usable.sum())
            if n == 0 or abs(image.distance_um) > objective.range_um:
                continue
            with torch.no_grad():
                spectral, pooled = net.parts(standardised(torch.from_numpy(patches[usable])))
            columns.append(
                (
                    spectral.numpy(),
                    pooled.numpy(),
                    np.full(n, image.distance_um, np.float32),
                    contrast[usable],
                    np.full(n, condenser, np.float32),
                    np.full(n, image.group),
                    np.full(n, len(columns)),
                )
            )
    return Features(*(np.concatenate(column) for column in zip(*columns, strict=True)))
