"""Stacks: what is written is read again, and what cannot be used is refused by name in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from parfocal.edge.errors import ConfigError
from parfocal.edge.stacks.stack import read_stack, write_stack

UInt8Array = NDArray[np.uint8]


def planes(n_planes: int = 6, shape: tuple[int, ...] = (40, 50, 3)) -> list[UInt8Array]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 255, shape).astype(np.uint8) for _ in range(n_planes)]


def ome(path: Path, data: list[UInt8Array], metadata: dict[str, Any], photometric: str = "rgb") -> Path:
    """An OME-TIFF as another program might write it."""
    axes = "ZYXS" if photometric == "rgb" else "ZYX"
    tifffile.imwrite(
        path, np.stack(data), photometric=photometric, ome=True, metadata={"axes": axes, **metadata}
    )
    return path


@pytest.mark.parametrize(
    ("focus_z_um", "condenser_sigma"), [(None, None), (2501.0625, None), (2501.0, 0.6), (None, 0.55)]
)
def test_what_is_written_is_read_again(
    tmp_path: Path, focus_z_um: float | None, condenser_sigma: float | None
) -> None:
    path = tmp_path / "deep" / "a.ome.tiff"
    z_um = (2500.0, 2500.625, 2501.25, 2501.875, 2502.5, 2503.4375)
    write_stack(path, planes(), z_um, 0.345, focus_z_um, condenser_sigma)
    stack = read_stack(path)
    assert stack.z_um == z_um
    assert stack.um_per_px == 0.345
    assert (stack.focus_z_um, stack.condenser_sigma) == (focus_z_um, condenser_sigma)
    assert all(np.array_equal(a, b) for a, b in zip(stack.planes, planes(), strict=True))
    assert [p.name for p in path.parent.iterdir()] == ["a.ome.tiff"]


def test_a_stack_that_cannot_be_written_leaves_the_one_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tiff"
    write_stack(path, planes(), range(6), 0.345)
    before = path.read_bytes()
    (tmp_path / "a.ome.tiff.part").mkdir()
    with pytest.raises(ConfigError, match=r"a\.ome\.tiff cannot be written"):
        write_stack(path, planes(), range(1, 7), 0.345)
    assert path.read_bytes() == before


def test_a_folder_with_an_index_is_a_stack_and_may_know_its_focus(tmp_path: Path) -> None:
    for k, plane in enumerate(planes(3)):
        cv2.imwrite(str(tmp_path / f"p{k}.png"), plane[..., ::-1])
    (tmp_path / "stack.csv").write_text(
        "file,z_um,focus_z_um\n" + "".join(f"p{k}.png,{k},1.25\n" for k in range(3))
    )
    stack = read_stack(tmp_path)
    assert stack.z_um == (0.0, 1.0, 2.0)
    assert stack.focus_z_um == 1.25
    assert np.array_equal(stack.planes[2], planes(3)[2])


@pytest.mark.parametrize(
    ("metadata", "z_um"),
    [
        ({"PhysicalSizeZ": 0.5}, (0.0, 0.5, 1.0)),
        ({"PhysicalSizeZ": 500.0, "PhysicalSizeZUnit": "nm"}, (0.0, 0.5, 1.0)),
        ({"Plane": {"PositionZ": [1.0, 1.5, 3.0], "PositionZUnit": ["mm"] * 3}}, (1000.0, 1500.0, 3000.0)),
    ],
)
def test_heights_of_other_programs_are_read_in_their_unit(
    tmp_path: Path, metadata: dict[str, Any], z_um: tuple[float, ...]
) -> None:
    assert read_stack(ome(tmp_path / "a.ome.tif", planes(3), metadata)).z_um == pytest.approx(z_um)


def test_grey_planes_become_rgb(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.ome.tif", planes(3, (40, 50)), {"PhysicalSizeZ": 1.0}, "minisblack")
    assert read_stack(path).planes[1].shape == (40, 50, 3)


UM = {"PositionZUnit": ["µm"] * 3}


def one_plane(path: Path) -> Path:
    return ome(path, planes(1), {"PhysicalSizeZ": 1.0})


def repeated_z(path: Path) -> Path:
    return ome(path, planes(3), {"Plane": {"PositionZ": [1.0, 2.0, 2.0], **UM}})


def unsorted_z(path: Path) -> Path:
    return ome(path, planes(3), {"Plane": {"PositionZ": [1.0, 3.0, 2.0], **UM}})


def no_z(path: Path) -> Path:
    return ome(path, planes(3), {"PhysicalSizeX": 0.3})


def no_z_unit(path: Path) -> Path:
    return ome(path, planes(3), {"Plane": {"PositionZ": [1.0, 2.0, 3.0]}})


def pixels_as_unit(path: Path) -> Path:
    return ome(path, planes(3), {"PhysicalSizeZ": 1.0, "PhysicalSizeZUnit": "pixel"})


def truncated(path: Path) -> Path:
    write_stack(path, planes(), range(6), 0.345)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def no_tiff(path: Path) -> Path:
    path.write_text("hello")
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


def no_ome(path: Path) -> Path:
    tifffile.imwrite(path, np.stack(planes()), photometric="rgb", ome=False, metadata=None)
    return path


def broken_xml(path: Path) -> Path:
    tifffile.imwrite(path, planes()[0], ome=False, metadata=None, description="<OME><Image></OME>")
    return path


def no_image(path: Path) -> Path:
    tifffile.imwrite(path, planes()[0], ome=False, metadata=None, description="<OME></OME>")
    return path


def fractions(path: Path) -> Path:
    data = np.zeros((3, 40, 50), np.float32)
    tifffile.imwrite(path, data, ome=True, metadata={"axes": "ZYX", "PhysicalSizeZ": 1.0})
    return path


def several_times(path: Path) -> Path:
    data = np.zeros((3, 2, 40, 50), np.uint8)
    tifffile.imwrite(path, data, ome=True, metadata={"axes": "TZYX", "PhysicalSizeZ": 1.0})
    return path


def no_number_as_focus(path: Path) -> Path:
    return ome(path, planes(3), {"PhysicalSizeZ": 1.0, "MapAnnotation": {"focus_z_um": "nan"}})


def no_number_as_height(path: Path) -> Path:
    return ome(path, planes(3), {"Plane": {"PositionZ": [1.0, float("nan"), 3.0], **UM}})


def no_number_as_sampling(path: Path) -> Path:
    return ome(path, planes(3), {"PhysicalSizeZ": 1.0, "PhysicalSizeX": float("nan")})


def no_length_as_sampling(path: Path) -> Path:
    return ome(path, planes(3), {"PhysicalSizeZ": 1.0, "PhysicalSizeX": 0.0})


def light_is_dark(path: Path) -> Path:
    data = np.zeros((3, 40, 50), np.uint8)
    tifffile.imwrite(path, data, photometric="miniswhite", metadata=None)
    return path


def channels_apart(path: Path) -> Path:
    data = np.zeros((3, 2, 40, 50), np.uint8)
    tifffile.imwrite(path, data, ome=True, metadata={"axes": "ZCYX", "PhysicalSizeZ": 1.0})
    return path


def unequal_planes(path: Path) -> Path:
    write_stack(path, planes(2), range(2), 0.345)
    with tifffile.TiffFile(path) as tiff:
        xml = tiff.ome_metadata
    assert xml is not None
    with tifffile.TiffWriter(path) as writer:
        writer.write(planes(1)[0], photometric="rgb", description=xml.encode(), metadata=None)
        writer.write(planes(1, (20, 50, 3))[0], photometric="rgb", metadata=None)
    return path


def missing(path: Path) -> Path:
    return path


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (one_plane, "it has 1 plane, 2 or more"),
        (repeated_z, "plane 3 at z=2.0 um follows z=2.0 um"),
        (unsorted_z, "plane 3 at z=2.0 um follows z=3.0 um"),
        (no_z, "does not say the heights"),
        (no_z_unit, "the heights have no unit"),
        (pixels_as_unit, "'pixel', not in um"),
        (truncated, "truncated"),
        (no_tiff, "no TIFF"),
        (empty, "no TIFF"),
        (no_ome, "does not say the heights .* no OME-TIFF .*--step-um"),
        (broken_xml, "damaged"),
        (no_image, "holds 0 images"),
        (fractions, r"type float32\. Save it with 8 or 16 bits"),
        (channels_apart, "of 2 channels: grey values have one, colours three"),
        (several_times, "axes TZYX"),
        (no_number_as_focus, "focus_z_um is no number"),
        (no_number_as_height, "PositionZ is .*, which is no number"),
        (no_number_as_sampling, "PhysicalSizeX is .*, which is no number"),
        (no_length_as_sampling, "PhysicalSizeX is 0 um, which is no length"),
        (light_is_dark, r"kept as MINISWHITE\. Save it as RGB"),
        (unequal_planes, "plane 2 is 50 x 20 px, plane 1 is 50 x 40 px"),
        (missing, r"no such file or folder\. Give another path"),
    ],
)
def test_a_stack_that_cannot_be_used_is_refused_in_one_line_with_its_name(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], made: Callable[[Path], Path], why: str
) -> None:
    path = made(tmp_path / "bad.ome.tiff")
    with pytest.raises(ConfigError, match=why) as refused:
        read_stack(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert capfd.readouterr().err == ""


def test_a_tiff_cut_anywhere_is_never_read_as_whole(tmp_path: Path) -> None:
    path = tmp_path / "cut.ome.tiff"
    write_stack(path, planes(), range(6), 0.345)
    whole = path.read_bytes()
    for n_bytes in range(0, len(whole) - 1, 997):
        path.write_bytes(whole[:n_bytes])
        with pytest.raises(ConfigError, match=r"cut\.ome\.tiff"):
            read_stack(path)
