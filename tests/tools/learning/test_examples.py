"""Examples cut from stacks are what the microscope feeds a network."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.edge.errors import ConfigError
from parfocal.edge.focus.picture import prepare
from parfocal.edge.stacks.stack import Stack
from parfocal.edge.stacks.write import write_stack
from parfocal.engines.model.contract import Kind
from tools.learning.data.examples import MIN_CONTRAST, PATCHES_PER_PLANE, Examples, stack_paths

SIDE_PX = 64
Z_UM = (96.0, 98.1, 100.0, 101.0)


def shots(seed: int, side_px: int = SIDE_PX, levels: float = 40.0) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    return [
        np.clip(128.0 + levels * rng.standard_normal((side_px, side_px, 3)), 0, 255).astype(np.uint8)
        for _ in Z_UM
    ]


def written(
    folder: Path,
    name: str = "one",
    focus_z_um: float | None = 99.5,
    side_px: int = SIDE_PX,
    levels: float = 40.0,
) -> list[NDArray[np.uint8]]:
    planes = shots(1, side_px, levels)
    write_stack(Stack(folder / f"{name}.ome.tiff", Z_UM, tuple(planes), 0.345, focus_z_um))
    return planes


def read(folder: Path, kind: Kind) -> Examples:
    examples = Examples(folder, kind, delta_um=2.0, patch_px=SIDE_PX)
    examples.refresh()
    return examples


@pytest.mark.parametrize("kind", ["difference", "pair"])
def test_pairs_are_delta_apart_and_their_distance_is_from_the_second_shot(tmp_path: Path, kind: Kind) -> None:
    written(tmp_path)
    # 96 -> 98.1 and 98.1 -> 100; nothing lies 2 um below 96 or 101.
    assert read(tmp_path, kind).distance_um == pytest.approx([1.4, -0.5])


def test_a_single_shot_needs_no_other(tmp_path: Path) -> None:
    written(tmp_path)
    assert read(tmp_path, "single").distance_um == pytest.approx([3.5, 1.4, -0.5, -1.5])


def test_a_standardised_pair_is_what_the_microscope_feeds(tmp_path: Path) -> None:
    planes = written(tmp_path)
    first, second = (prepare.smoothed(plane) for plane in planes[:2])
    fed = prepare.standardised(prepare.patches_of(prepare.two_shot_image(first, second, True), SIDE_PX))
    stored = np.stack(read(tmp_path, "pair").patches[:1]).astype(np.float32)
    assert np.allclose(prepare.standardised(stored), fed, atol=1e-4)


def test_patches_without_contrast_are_left_out(tmp_path: Path) -> None:
    written(tmp_path, levels=MIN_CONTRAST / 4)
    assert len(read(tmp_path, "single")) == 0


def test_only_some_patches_of_a_large_plane_are_used(tmp_path: Path) -> None:
    written(tmp_path, side_px=4 * SIDE_PX)
    assert len(read(tmp_path, "single")) == PATCHES_PER_PLANE * len(Z_UM)


def test_the_group_is_the_folder_and_each_stack_is_read_once(tmp_path: Path) -> None:
    written(tmp_path / "blood")
    examples = read(tmp_path, "pair")
    written(tmp_path / "tissue", "two")
    examples.refresh()
    assert examples.group == ["blood"] * 2 + ["tissue"] * 2


def test_a_stack_without_certain_focus_is_left_out_and_named(tmp_path: Path) -> None:
    written(tmp_path, focus_z_um=None)
    examples = read(tmp_path, "pair")
    assert len(examples) == 0
    assert len(examples.left_out) == 1
    assert "one.ome.tiff" in examples.left_out[0]


def test_a_stack_smaller_than_a_patch_is_left_out_and_named(tmp_path: Path) -> None:
    written(tmp_path, "small", side_px=SIDE_PX - 1)
    written(tmp_path, "large")
    examples = read(tmp_path, "pair")
    assert len(examples) == 2
    assert examples.left_out == [
        f"{tmp_path / 'small.ome.tiff'}: 63 x 63 px are smaller than a patch of 64 px"
    ]


def test_a_damaged_stack_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.ome.tiff").write_bytes(b"II*\0 no stack")
    with pytest.raises(ConfigError, match=r"bad\.ome\.tiff"):
        read(tmp_path, "pair")


def test_stacks_are_found_as_files_and_as_folders(tmp_path: Path) -> None:
    written(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "stack.csv").write_text("file,z_um\n")
    assert stack_paths(tmp_path) == [tmp_path / "b", tmp_path / "a" / "one.ome.tiff"]
