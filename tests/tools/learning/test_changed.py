"""Held-out images with one thing changed at a time. Needs the training extra."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the training extra is not installed")

from parfocal.edge.focus.picture import prepare
from tools.learning.judged import changed, rows
from tools.networks.focus import FocusNet
from tools.rendering.objectives import OBJECTIVES

OBJECTIVE = OBJECTIVES["10x/0.3"]
SIDE_PX = 64


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IMAGE_PX", "PATCH_PX"):
        monkeypatch.setattr(rows, name, SIDE_PX)


def test_the_uncertainty_is_scaled_on_every_row_but_those_of_which_a_shot_shows_nothing(
    packaged_tiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = ("nothing", "condenser 0.30", "colour shift mirrored", "JPEG 85, 4:2:0")
    monkeypatch.setattr(changed, "ROWS", {name: rows.ROWS[name] for name in some})
    net = FocusNet(None, 3, SIDE_PX)
    found = changed.changed_images(net, "single", SIDE_PX, OBJECTIVE, packaged_tiles, fields=2)
    n_planes = [int((found.condenser == np.float32(sigma)).sum()) for sigma in (0.6, 0.3)]
    assert n_planes[0] > n_planes[1] > 0  # of two rows, and of one
    assert sum(n_planes) == len(found)
    assert len(np.unique(found.plane)) == len(found)
    assert np.abs(found.distance_um).max() <= OBJECTIVE.range_um
    assert found.spectral.shape == (len(found), 85)
    assert found.pooled.shape == (len(found), 0)


def test_a_large_image_shows_other_pieces_of_the_slide_and_every_model_its_own_patches(
    packaged_tiles: Path,
) -> None:
    fields = rows.HeldOutFields(packaged_tiles, 1, 1, OBJECTIVE, 3 * SIDE_PX)
    image = next(fields.images(rows.ROWS["nothing"]))
    assert image.shot.shape == (3 * SIDE_PX, 3 * SIDE_PX, 3)
    single, contrast = image.patches("single", SIDE_PX)
    assert single.shape == (9, 3, SIDE_PX, SIDE_PX)
    np.testing.assert_allclose(
        contrast, prepare.contrasts_of(prepare.planes_of(image.shot), SIDE_PX), atol=1e-3
    )
    assert [image.patches(kind, SIDE_PX)[0].shape[1] for kind in ("pair", "difference")] == [6, 3]
    whole = prepare.standardised(single).reshape(9, -1) / np.sqrt(single[0].size)
    alike = np.abs(whole @ whole.T - np.eye(9)).max()
    assert alike < 0.9
