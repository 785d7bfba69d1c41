"""A path names one stack, or all stacks in a folder."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from parfocal.edge.stacks.listing import stacks_at
from parfocal.edge.stacks.stack import Stack
from parfocal.edge.stacks.write import write_stack
from tests.edge.scope import tissue


def stack_file(path: Path) -> Path:
    write_stack(Stack(path, (0.0, 1.0, 2.0), (tissue(64),) * 3, 0.345))
    return path


def test_a_folder_of_stacks_means_all_of_them_in_the_order_of_their_names(tmp_path: Path) -> None:
    named = [stack_file(tmp_path / f"{name}.ome.tiff") for name in "cadbe"] + [
        stack_file(tmp_path / "f.ome.tif")
    ]
    (tmp_path / "notes.txt").write_text("of a week")
    (tmp_path / "g.ome.tiff.part").write_text("half")
    assert stacks_at(tmp_path) == sorted(named)


def test_a_folder_with_an_index_is_one_stack(tmp_path: Path) -> None:
    stack_file(tmp_path / "a.ome.tiff")
    (tmp_path / "stack.csv").write_text("file,z_um\n")
    assert stacks_at(tmp_path) == [tmp_path]


def test_a_folder_of_ome_tiffs_with_one_plane_each_is_one_stack(tmp_path: Path) -> None:
    for number in range(3):
        tifffile.imwrite(
            tmp_path / f"plane-{number}.ome.tif", np.zeros((8, 8, 3), np.uint8), photometric="rgb"
        )
    assert stacks_at(tmp_path) == [tmp_path]


def test_a_stack_that_cannot_be_read_is_left_to_its_reader(tmp_path: Path) -> None:
    (tmp_path / "a.ome.tiff").write_text("notes of a week")
    assert stacks_at(tmp_path) == [tmp_path / "a.ome.tiff"]


@pytest.mark.parametrize("name", ["a.ome.tiff", "planes", "gone.ome.tiff"])
def test_any_other_path_is_one_stack(tmp_path: Path, name: str) -> None:
    stack_file(tmp_path / "a.ome.tiff")
    (tmp_path / "planes").mkdir()
    (tmp_path / "planes" / "1.png").touch()
    assert stacks_at(tmp_path / name) == [tmp_path / name]
