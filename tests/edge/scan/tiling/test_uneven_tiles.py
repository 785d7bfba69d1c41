"""A tile without a single focus is noticed, scanned along the axis, named in the journal, and kept as asked for."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.picture.places import spread_places
from parfocal.edge.focus.shots import Shot
from parfocal.edge.focus.uneven.field import FieldShape
from parfocal.edge.images.rgb import rgb_from_file
from parfocal.edge.scan.tiles import read_scan, stacks_folder
from parfocal.edge.scan.tiling.job import Ways
from parfocal.edge.scan.tiling.uneven_tiles import UnevenTiles
from parfocal.edge.stacks.read import read_stack
from parfocal.engines.model.contract import Contract
from parfocal.engines.predictor import Predictor
from tests.contracts import single_contract
from tests.edge.scan.conftest import Scan
from tests.edge.scan.tiling.small_slide import SmallSlide, drawn

PLACES = spread_places(192, 256, 96)
SHOT = Shot(2500.0, np.ascontiguousarray(drawn()[300:492, 300:556]), FocusConfig())


class Says:
    """A runner that says these distances of the patches."""

    def __init__(self, distances_um: NDArray[np.float64]) -> None:
        self._distances_um = distances_um

    @property
    def contract(self) -> Contract:
        return single_contract(patch_px=96)

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._distances_um[: len(batch), None].astype(np.float32)


@pytest.mark.parametrize(
    ("step_um", "noise_um", "verdict", "is_uneven"),
    [
        (0.0, 0.3, "uneven", False),  # even by its patches: no axial scan
        (6.0, 0.0, "uneven", True),
        (6.0, 0.0, "not confirmed", False),  # the axial scan decides
    ],
)
def test_patches_call_for_an_axial_scan_which_decides(
    step_um: float, noise_um: float, verdict: str, is_uneven: bool
) -> None:
    left = np.array([x for _, x in PLACES]) < 80
    distances_um = np.where(left, 0.0, step_um) + noise_um * np.random.default_rng(1).normal(size=len(left))
    asked: list[Shot] = []

    def examine(shot: Shot) -> FieldShape:
        asked.append(shot)
        return FieldShape(verdict, "step", 2503.0, (), 9)  # type: ignore[arg-type]

    tiles = UnevenTiles(Predictor(Says(distances_um)), FocusConfig(), 0.345, examine)
    assert (tiles.shape_of(SHOT) is not None) == is_uneven
    assert len(asked) == (1 if step_um else 0)
    assert (tiles.shape_of(SHOT, is_suspect=True) is not None) == (verdict == "uneven")
    assert asked


def test_an_uneven_tile_is_named_and_kept_as_a_composite_with_its_stack(
    scan: Scan, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    green = np.full((128, 160, 3), (10, 200, 30), np.uint8)

    def folded(_: UnevenTiles, shot: Shot, is_suspect: bool) -> FieldShape | None:
        assert is_suspect in (False, True)
        is_fold = 20_015.0 < small.exposed_um[-1][0] < 20_025.0 and small.exposed_um[-1][1] > 9_985.0
        return FieldShape("uneven", "step", shot.z_um, (), 9, picture=green) if is_fold else None

    small = SmallSlide()
    monkeypatch.setattr(UnevenTiles, "shape_of", folded)
    scan(small, n_tiles=12, ways=Ways(composite=True, z_stack=True))
    tiles = {tile.path.stem: tile for tile in read_scan(out).tiles}
    uneven = [tile for tile in tiles.values() if tile.uneven]
    assert [(tile.row, tile.column) for tile in uneven] == [(1, 3), (2, 3)][: len(uneven)]
    for tile in uneven:
        assert "uneven: its focus lies 0.0 um apart" in (tile.reason or "")
        assert (rgb_from_file(tile.path) == green).all()
        stack = read_stack(stacks_folder(out) / tile.path.stem)
        assert len(stack.planes) >= 4
        assert stack.z_um[0] < tile.z_um < stack.z_um[-1]
    assert {each.name for each in stacks_folder(out).iterdir()} == {tile.path.stem for tile in uneven}
    # Without being asked for, a composite is not kept.
    scan(SmallSlide())
    assert (rgb_from_file(tiles["0000-0002"].path) != green).any()
