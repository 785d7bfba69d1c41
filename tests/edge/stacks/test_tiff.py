"""TIFF stacks of other programs are read correctly, or refused.

ImageJ: description and byte order of its `FileSaver` and `TiffEncoder` (ImageJ 1.53), as tifffile describes them too.
OME: the OME-TIFF specification, 6.3.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from parfocal.edge.stacks.read import Overrides, read_stack
from parfocal.edge.stacks.stack import StackDamaged, StackRefused
from tests.edge.stacks.made import N_PLANES, colours, same, scaled


def imagej(
    path: Path, pages: NDArray[np.integer], description: str, um_per_px: float = 0.345, rgb: bool = False
) -> Path:
    """A stack of pages (n, h, w) or (n, h, w, 3) with an ImageJ description, big-endian as ImageJ writes."""
    tifffile.imwrite(
        path,
        pages,
        byteorder=">",
        photometric="rgb" if rgb else "minisblack",
        resolution=(1.0 / um_per_px, 1.0 / um_per_px),
        description=f"ImageJ=1.53t\nimages={len(pages)}\n{description}loop=false\n",
        metadata=None,
        software=False,
    )
    return path


def channel_pages(planes: NDArray[np.integer]) -> NDArray[np.integer]:
    """Planes (z, h, w, 3) as pages (z * 3, h, w), the channel changing fastest, as in ImageJ."""
    pages: NDArray[np.integer] = planes.transpose(0, 3, 1, 2).reshape(-1, *planes.shape[1:3])
    return pages


@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m"])
def test_a_colour_hyperstack_of_imagej_has_its_heights_and_sampling(tmp_path: Path, unit: str) -> None:
    path = imagej(
        tmp_path / "a.tif", colours(), f"slices={N_PLANES}\nunit={unit}\nspacing=0.5\n", 0.345, rgb=True
    )
    stack = read_stack(path)
    assert stack.z_um == (0.0, 0.5, 1.0, 1.5)
    assert stack.um_per_px == pytest.approx(0.345)
    assert same(stack.planes, colours())
    assert stack.notes == ()


def test_separate_channels_of_imagej_become_colours(tmp_path: Path) -> None:
    description = (
        f"channels=3\nslices={N_PLANES}\nhyperstack=true\nmode=composite\nunit=micron\nspacing=0.5\n"
    )
    stack = read_stack(imagej(tmp_path / "a.tif", channel_pages(colours()), description))
    assert len(stack.z_um) == N_PLANES
    assert same(stack.planes, colours())


def test_twelve_bits_of_imagej_are_read_as_twelve_bits(tmp_path: Path) -> None:
    pages = colours(4090, np.uint16)[..., 0]
    stack = read_stack(imagej(tmp_path / "a.tif", pages, f"slices={N_PLANES}\nunit=um\nspacing=0.5\n"))
    assert same(stack.planes, np.repeat(scaled(pages, 12)[..., None], 3, axis=3))
    assert stack.notes == ("values up to 4090 were read as 12-bit values",)


def test_a_negative_spacing_of_imagej_reverses_the_planes(tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif", colours(), f"slices={N_PLANES}\nunit=um\nspacing=-0.5\n", rgb=True)
    assert same(read_stack(path).planes, colours()[::-1])


def test_a_spacing_that_imagej_leaves_out_is_one_and_noted(tmp_path: Path) -> None:
    stack = read_stack(imagej(tmp_path / "a.tif", colours(), f"slices={N_PLANES}\nunit=um\n", rgb=True))
    assert stack.z_um == (0.0, 1.0, 2.0, 3.0)
    assert "means 1 um" in stack.notes[0]


def test_an_uncalibrated_stack_needs_given_heights(tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif", colours(), f"slices={N_PLANES}\n", 1.0, rgb=True)
    with pytest.raises(StackRefused, match="not calibrated in ImageJ.*--step-um"):
        read_stack(path)
    stack = read_stack(path, Overrides(step_um=0.625, um_per_px=0.345))
    assert stack.z_um == (0.0, 0.625, 1.25, 1.875)
    assert stack.um_per_px == 0.345


def test_times_are_not_taken_for_heights(tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif", colours(), f"frames={N_PLANES}\nunit=um\n", rgb=True)
    with pytest.raises(StackRefused, match="axes TYXC?S.*slices and frames"):
        read_stack(path, Overrides(step_um=0.5))


def test_a_truncated_imagej_stack_is_never_read_as_whole(tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif", colours(), f"slices={N_PLANES}\nunit=um\nspacing=0.5\n", rgb=True)
    never_read_as_whole(path)


def test_truncated_pages_without_a_description_are_never_read_as_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, colours(), photometric="rgb", metadata=None)
    assert same(read_stack(path, Overrides(step_um=0.5)).planes, colours())
    never_read_as_whole(path)


def never_read_as_whole(path: Path) -> None:
    whole = path.read_bytes()
    for n_bytes in range(0, len(whole) - 1, 331):
        path.write_bytes(whole[:n_bytes])
        with pytest.raises(StackDamaged, match="truncated"):
            read_stack(path, Overrides(step_um=0.5))


@pytest.mark.parametrize("axes", ["ZCYX", "CZYX"])
@pytest.mark.parametrize("names", [[], ["Red", "Green", "Blue"], ["blue", "green", "red"], ["B", "R", "G"]])
def test_separate_channels_of_ome_become_the_colours_of_their_names(
    tmp_path: Path, axes: str, names: list[str]
) -> None:
    wanted = colours()
    order = ["rgb".index(name[0].lower()) for name in names] or [0, 1, 2]
    pages = wanted[..., order].transpose((0, 3, 1, 2) if axes == "ZCYX" else (3, 0, 1, 2))
    metadata = {"axes": axes, "PhysicalSizeZ": 0.5, **({"Channel": {"Name": names}} if names else {})}
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, pages, ome=True, photometric="minisblack", metadata=metadata)
    stack = read_stack(path)
    assert stack.z_um == (0.0, 0.5, 1.0, 1.5)
    assert same(stack.planes, wanted)


def test_heights_of_separate_channels_are_those_of_the_first_channel(tmp_path: Path) -> None:
    z_um = [1.0, 2.5, 4.0, 6.0]
    metadata = {
        "axes": "ZCYX",
        "Plane": {"PositionZ": [z for z in z_um for _ in range(3)], "PositionZUnit": ["µm"] * 12},
    }
    path = tmp_path / "a.ome.tif"
    pages = colours().transpose(0, 3, 1, 2)
    tifffile.imwrite(path, pages, ome=True, photometric="minisblack", metadata=metadata)
    assert read_stack(path).z_um == tuple(z_um)


@pytest.mark.parametrize("n_there", [1, 2, N_PLANES - 1])
def test_an_ome_tiff_with_fewer_planes_than_described_is_not_read(tmp_path: Path, n_there: int) -> None:
    whole = tmp_path / "whole.ome.tif"
    tifffile.imwrite(
        whole, colours(), ome=True, photometric="rgb", metadata={"axes": "ZYXS", "PhysicalSizeZ": 0.5}
    )
    # Most programs write the description first, so a truncated file still describes all planes.
    description = tifffile.tiffcomment(whole)
    path = tmp_path / "cut.ome.tif"
    pages = np.concatenate([colours(), colours()])[:n_there]
    tifffile.imwrite(path, pages, photometric="rgb", description=description, metadata=None)
    with pytest.raises(StackDamaged, match="truncated"):
        read_stack(path)


@pytest.mark.parametrize(
    ("right", "wrong"), [('SizeY="40"', 'SizeY="41"'), ('IFD="0" PlaneCount="4"', 'IFD="99"')]
)
def test_a_description_that_does_not_match_the_pages_is_refused(
    tmp_path: Path, right: str, wrong: str
) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path, colours(), ome=True, photometric="rgb", metadata={"axes": "ZYXS", "PhysicalSizeZ": 0.5}
    )
    description = str(tifffile.tiffcomment(path))
    assert right in description
    tifffile.imwrite(
        path, colours(), photometric="rgb", description=description.replace(right, wrong), metadata=None
    )
    with pytest.raises(StackDamaged, match="description does not match its pages"):
        read_stack(path)


def test_opacity_is_dropped_and_a_fourth_channel_refused(tmp_path: Path) -> None:
    with_opacity = np.concatenate([colours(), np.full((N_PLANES, 40, 50, 1), 255, np.uint8)], axis=3)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, with_opacity, photometric="rgb", extrasamples=["unassalpha"], metadata=None)
    assert same(read_stack(path, Overrides(0.5)).planes, colours())
    description = f"channels=4\nslices={N_PLANES}\nhyperstack=true\nunit=um\nspacing=0.5\n"
    with pytest.raises(StackRefused, match="have 4 channels"):
        read_stack(imagej(tmp_path / "b.tif", channel_pages(with_opacity), description))


@pytest.mark.parametrize(
    ("significant_bits", "brightest", "bits"),
    [
        (0, 255, 8),
        (0, 256, 10),
        (0, 1023, 10),
        (0, 1024, 12),
        (0, 4095, 12),
        (0, 4096, 14),
        (0, 16384, 16),
        (0, 65535, 16),
        (12, 700, 12),
        (16, 4000, 16),
        (10, 4000, 12),
    ],
)
def test_sixteen_bits_are_scaled_by_the_bit_depth_of_the_file_or_of_a_camera(
    tmp_path: Path, significant_bits: int, brightest: int, bits: int
) -> None:
    planes = colours(brightest, np.uint16)
    metadata = {
        "axes": "ZYXS",
        "PhysicalSizeZ": 0.5,
        **({"SignificantBits": significant_bits} if significant_bits else {}),
    }
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, planes, ome=True, photometric="rgb", metadata=metadata)
    stack = read_stack(path)
    assert same(stack.planes, scaled(planes, bits))
    assert f"{bits}-bit values" in stack.notes[0]


def test_a_black_stack_of_sixteen_bits_stays_black(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    black = np.zeros((N_PLANES, 40, 50), np.uint16)
    tifffile.imwrite(path, black, ome=True, metadata={"axes": "ZYX", "PhysicalSizeZ": 0.5})
    assert not np.stack(read_stack(path).planes).any()


def test_an_unsupported_compression_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    ok, data = cv2.imencodemulti(".tif", list(colours()), [cv2.IMWRITE_TIFF_COMPRESSION, 5])  # LZW
    assert ok
    path.write_bytes(data.tobytes())
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for page in tiff.pages:
            page.aspage().tags["Compression"].overwrite(32809)  # ThunderScan, which tifffile never reads
    with pytest.raises(StackRefused, match=r"THUNDERSCAN.* not supported"):
        read_stack(path, Overrides(0.5))


def test_an_imagej_stack_with_a_damaged_page_is_refused(tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif", colours(), f"slices={N_PLANES}\nunit=um\nspacing=0.5\n", rgb=True)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[1].aspage().tags["ImageWidth"].overwrite(51)
    with pytest.raises(StackDamaged, match="damaged .*keyframe"):
        read_stack(path)
