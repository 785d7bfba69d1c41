"""Stacks that would not fit into memory are refused by their headers, before a plane is decoded."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from parfocal.edge.images.eight_bits import RawPixels
from parfocal.edge.images.rgb import pixels_from_file
from parfocal.edge.stacks import stack as stack_module
from parfocal.edge.stacks.read import Overrides, read_stack
from parfocal.edge.stacks.stack import PLANE_OVERHEAD_BYTES, StackRefused, check_memory
from tests.edge.stacks.made import N_PLANES, colours

TOO_LARGE = r"of memory, the limit is 2\.0 GB\. Use fewer planes, or crop them"


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(tifffile.TiffPageSeries, "asarray")


def enlarged(path: Path, side_px: int) -> Path:
    """The same file with headers that promise larger planes."""
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for page in tiff.pages:
            for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
                page.tags[tag].overwrite(side_px, dtype="I")
    return path


@pytest.mark.usefixtures("no_decoding")
@pytest.mark.parametrize(("side_px", "size"), [(20_000, "4.8 GB"), (2**31 - 1, "TB")])
def test_pages_that_promise_too_much_are_refused(tmp_path: Path, side_px: int, size: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, colours(), photometric="rgb", metadata=None)
    with pytest.raises(StackRefused, match=rf"its 4 planes take .*{size} {TOO_LARGE}"):
        read_stack(enlarged(path, side_px), Overrides(step_um=0.5))


@pytest.mark.usefixtures("no_decoding")
@pytest.mark.parametrize(
    ("right", "huge"),
    [
        ('SizeZ="4"', 'SizeZ="2000000000"'),
        ('SizeT="1"', 'SizeT="2000000000"'),
        ('SizeX="50"', 'SizeX="2000000000"'),
        ('SizeC="3"', 'SizeC="2000000000"'),
    ],
)
def test_an_ome_description_that_promises_too_much_is_refused(tmp_path: Path, right: str, huge: str) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path, colours(), ome=True, photometric="rgb", metadata={"axes": "ZYXS", "PhysicalSizeZ": 0.5}
    )
    description = str(tifffile.tiffcomment(path))
    assert right in description
    tifffile.tiffcomment(path, description.replace(right, huge).encode())
    with pytest.raises(StackRefused, match=TOO_LARGE):
        read_stack(path)


@pytest.mark.usefixtures("no_decoding")
def test_an_imagej_description_that_promises_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    description = "ImageJ=1.53t\nimages=2000000000\nslices=2000000000\nunit=um\nspacing=0.5\n"
    tifffile.imwrite(path, colours(), photometric="rgb", description=description, metadata=None)
    with pytest.raises(StackRefused, match=TOO_LARGE):
        read_stack(path)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_is_read_up_to_the_limit_and_refused_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: int
) -> None:
    path = tmp_path / "a.ome.tif"
    grey = colours(255, np.uint8 if bits == 8 else np.uint16)[..., 0]
    tifffile.imwrite(path, grey, ome=True, metadata={"axes": "ZYX", "PhysicalSizeZ": 0.5})
    # Grey planes become RGB.
    in_memory = N_PLANES * (40 * 50 * 3 * bits // 8 + PLANE_OVERHEAD_BYTES)
    monkeypatch.setattr(stack_module, "MAX_STACK_BYTES", in_memory)
    assert len(read_stack(path).planes) == N_PLANES
    monkeypatch.setattr(stack_module, "MAX_STACK_BYTES", in_memory - 1)
    with pytest.raises(StackRefused, match="its 4 planes take"):
        read_stack(path)


def test_a_folder_is_refused_after_its_first_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k, plane in enumerate(colours()):
        cv2.imwrite(str(tmp_path / f"{k}.png"), plane)
    in_memory = N_PLANES * (40 * 50 * 3 + PLANE_OVERHEAD_BYTES)
    monkeypatch.setattr(stack_module, "MAX_STACK_BYTES", in_memory)
    assert len(read_stack(tmp_path, Overrides(0.5)).planes) == N_PLANES
    monkeypatch.setattr(stack_module, "MAX_STACK_BYTES", in_memory - 1)
    decoded: list[Path] = []

    def decode(path: Path) -> RawPixels:
        decoded.append(path)
        return pixels_from_file(path)

    monkeypatch.setattr("parfocal.edge.stacks.folder.pixels_from_file", decode)
    with pytest.raises(StackRefused, match="its 4 planes take"):
        read_stack(tmp_path, Overrides(0.5))
    assert [path.name for path in decoded] == ["0.png"]


def test_a_stack_of_a_large_camera_is_within_the_limit() -> None:
    check_memory(Path("a.ome.tiff"), 41, 13_000_000 * 3)
