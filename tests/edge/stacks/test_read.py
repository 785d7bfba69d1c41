"""Written stacks are read back unchanged; unusable stacks are refused by name, in one line."""

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from parfocal.calib.value import UsedCalibration
from parfocal.edge.errors import ConfigError
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.stacks.read import Overrides, read_stack
from parfocal.edge.stacks.stack import Stack, StackRefused
from parfocal.edge.stacks.write import write_stack


def planes(n_planes: int = 6, shape: tuple[int, ...] = (40, 50, 3)) -> list[UInt8Array]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 255, shape).astype(np.uint8) for _ in range(n_planes)]


def written(path: Path, made: list[UInt8Array] | None = None, first_z_um: float = 0.0) -> Path:
    """A stack of ours with planes 1 um apart."""
    made = planes() if made is None else made
    write_stack(Stack(path, tuple(first_z_um + k for k in range(len(made))), tuple(made), 0.345))
    return path


def ome(path: Path, data: list[UInt8Array], metadata: dict[str, Any], photometric: str = "rgb") -> Path:
    """An OME-TIFF as another program might write it."""
    axes = "ZYXS" if photometric == "rgb" else "ZYX"
    tifffile.imwrite(
        path, np.stack(data), photometric=photometric, ome=True, metadata={"axes": axes, **metadata}
    )
    return path


def test_a_stack_names_the_calibration_that_it_was_recorded_with(tmp_path: Path) -> None:
    used = UsedCalibration("3f2a90c17b5e", datetime(2026, 11, 26, 22, 40, tzinfo=timezone.utc))
    path = tmp_path / "s.ome.tiff"
    write_stack(Stack(path, (2500.0, 2500.5), tuple(planes()[:2]), 0.345, calibration=used))
    assert read_stack(path).calibration == used
    path.write_bytes(path.read_bytes().replace(b"2026-11-26", b"2026-91-26"))
    with pytest.raises(StackRefused, match="calibration_id and calibration_measured_at do not name a calib"):
        read_stack(path)


@pytest.mark.parametrize(
    ("focus_z_um", "condenser_sigma"), [(None, None), (2501.0625, None), (2501.0, 0.6), (None, 0.55)]
)
def test_a_written_stack_is_read_back_unchanged(
    tmp_path: Path, focus_z_um: float | None, condenser_sigma: float | None
) -> None:
    path = tmp_path / "deep" / "a.ome.tiff"
    z_um = (2500.0, 2500.625, 2501.25, 2501.875, 2502.5, 2503.4375)
    write_stack(Stack(path, z_um, tuple(planes()), 0.345, focus_z_um, condenser_sigma))
    stack = read_stack(path)
    assert stack.z_um == z_um
    assert stack.um_per_px == 0.345
    assert (stack.focus_z_um, stack.condenser_sigma) == (focus_z_um, condenser_sigma)
    assert all(np.array_equal(a, b) for a, b in zip(stack.planes, planes(), strict=True))
    assert [p.name for p in path.parent.iterdir()] == ["a.ome.tiff"]


def test_a_failed_write_leaves_the_earlier_stack(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tiff"
    written(path)
    before = path.read_bytes()
    (tmp_path / "a.ome.tiff.part").mkdir()
    with pytest.raises(ConfigError, match=r"a\.ome\.tiff cannot be written"):
        written(path, first_z_um=1.0)
    assert path.read_bytes() == before


def test_a_folder_with_a_table_is_a_stack_and_may_give_its_focus(tmp_path: Path) -> None:
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
def test_heights_are_read_in_their_unit(
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
    written(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def not_a_tiff(path: Path) -> Path:
    path.write_text("hello")
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


def without_description(path: Path) -> Path:
    tifffile.imwrite(path, np.stack(planes()), photometric="rgb", ome=False, metadata=None)
    return path


def broken_xml(path: Path) -> Path:
    tifffile.imwrite(path, planes()[0], ome=False, metadata=None, description="<OME><Image></OME>")
    return path


def without_image(path: Path) -> Path:
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


def focus_not_a_number(path: Path) -> Path:
    return ome(path, planes(3), {"PhysicalSizeZ": 1.0, "MapAnnotation": {"focus_z_um": "nan"}})


def height_not_a_number(path: Path) -> Path:
    return ome(path, planes(3), {"Plane": {"PositionZ": [1.0, float("nan"), 3.0], **UM}})


def sampling_not_a_number(path: Path) -> Path:
    return ome(path, planes(3), {"PhysicalSizeZ": 1.0, "PhysicalSizeX": float("nan")})


def sampling_of_zero(path: Path) -> Path:
    return ome(path, planes(3), {"PhysicalSizeZ": 1.0, "PhysicalSizeX": 0.0})


def inverted_grey(path: Path) -> Path:
    data = np.zeros((3, 40, 50), np.uint8)
    tifffile.imwrite(path, data, photometric="miniswhite", metadata=None)
    return path


def two_channels(path: Path) -> Path:
    data = np.zeros((3, 2, 40, 50), np.uint8)
    tifffile.imwrite(path, data, ome=True, metadata={"axes": "ZCYX", "PhysicalSizeZ": 1.0})
    return path


def unequal_planes(path: Path) -> Path:
    written(path, planes(2))
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
        (no_z, "does not give the heights"),
        (no_z_unit, "the heights have no unit"),
        (pixels_as_unit, "'pixel', not in um"),
        (truncated, "truncated"),
        (not_a_tiff, "not a TIFF"),
        (empty, "not a TIFF"),
        (without_description, "does not give the heights .* neither OME-TIFF nor .*--step-um"),
        (broken_xml, "damaged"),
        (without_image, "has 0 images"),
        (fractions, r"type float32\. Save it with 8 or 16 bits"),
        (two_channels, "have 2 channels: grey values have one, colours three"),
        (several_times, "axes TZYX"),
        (focus_not_a_number, "focus_z_um is nan, which is not a finite number"),
        (height_not_a_number, "PositionZ is .*, which is not a finite number"),
        (sampling_not_a_number, "PhysicalSizeX is .*, which is not a finite number"),
        (sampling_of_zero, "PhysicalSizeX is 0 um, but must be positive"),
        (inverted_grey, r"stored as MINISWHITE\. Save it as RGB"),
        (unequal_planes, "plane 2 is 50 x 20 px, plane 1 is 50 x 40 px"),
        (missing, r"no such file or folder\. Give another path"),
    ],
)
def test_an_unusable_stack_is_refused_by_name_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], made: Callable[[Path], Path], why: str
) -> None:
    path = made(tmp_path / "bad.ome.tiff")
    with pytest.raises(ConfigError, match=why) as refused:
        read_stack(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert capfd.readouterr().err == ""


def test_a_truncated_tiff_is_never_read_as_whole(tmp_path: Path) -> None:
    path = tmp_path / "cut.ome.tiff"
    written(path)
    whole = path.read_bytes()
    for n_bytes in range(0, len(whole) - 1, 997):
        path.write_bytes(whole[:n_bytes])
        with pytest.raises(ConfigError, match=r"cut\.ome\.tiff"):
            read_stack(path)


@pytest.mark.parametrize(
    "bad", [{"step_um": float("nan")}, {"step_um": 0.0}, {"um_per_px": -1.0}, {"um_per_px": float("inf")}]
)
def test_impossible_overrides_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"Correct --{next(iter(bad)).replace('_', '-')}"):
        Overrides(**bad)


def test_a_stack_without_sampling_is_read_back_without(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tiff"
    write_stack(Stack(path, (0.0, 1.0), tuple(planes(2))))
    assert read_stack(path).um_per_px is None


@pytest.mark.parametrize(("n_planes", "z_um"), [(1, (0.0,)), (3, (0.0, 1.0))])
def test_planes_without_matching_heights_are_not_written(
    tmp_path: Path, n_planes: int, z_um: tuple[float, ...]
) -> None:
    with pytest.raises(ValueError, match="a height for each"):
        write_stack(Stack(tmp_path / "a.ome.tiff", z_um, tuple(planes(n_planes))))
    assert list(tmp_path.iterdir()) == []
