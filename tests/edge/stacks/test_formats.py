"""Stacks as other programs write them are read as what they are.

ImageJ: description and byte order of its `FileSaver` and `TiffEncoder` (ImageJ 1.53), as tifffile describes them too.
OME: the OME-TIFF specification, 6.3. Numbered images: `Save As > Image Sequence` of ImageJ, and Micro-Manager's
"separate image files". Tables: what spreadsheets save as CSV where the comma is decimal.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from parfocal.edge.errors import ConfigError
from parfocal.edge.images.rgb import rgb_from_file
from parfocal.edge.stacks.stack import Given, StackDamaged, StackRefused, read_stack

UInt8Array = NDArray[np.uint8]
UInt16Array = NDArray[np.uint16]

N = 4


def colours(full: int = 255, dtype: type = np.uint8) -> NDArray[np.integer]:
    """Planes (z, h, w, 3) that differ everywhere; the brightest value is ``full``."""
    made = np.random.default_rng(3).integers(0, full, (N, 40, 50, 3))
    made[0, 0, 0, 0] = full
    return made.astype(dtype)


def imagej(
    path: Path, pages: NDArray[np.integer], said: str, um_per_px: float = 0.345, rgb: bool = False
) -> Path:
    """A stack of pages (n, h, w) or (n, h, w, 3) with a description of ImageJ; in Motorola's byte order, as it has."""
    tifffile.imwrite(
        path,
        pages,
        byteorder=">",
        photometric="rgb" if rgb else "minisblack",
        resolution=(1.0 / um_per_px, 1.0 / um_per_px),
        description=f"ImageJ=1.53t\nimages={len(pages)}\n{said}loop=false\n",
        metadata=None,
        software=False,
    )
    return path


def channel_pages(planes: NDArray[np.integer]) -> NDArray[np.integer]:
    """Planes (z, h, w, 3) as pages (z * 3, h, w), the channel changing first, as ImageJ has them."""
    pages: NDArray[np.integer] = planes.transpose(0, 3, 1, 2).reshape(-1, *planes.shape[1:3])
    return pages


def same(stack_planes: tuple[UInt8Array, ...], wanted: NDArray[np.integer]) -> bool:
    return np.array_equal(np.stack(stack_planes), wanted)


def scaled(planes: NDArray[np.integer], bits: int) -> NDArray[np.integer]:
    wanted: NDArray[np.integer] = np.rint(planes * (255.0 / (2**bits - 1))).astype(np.uint8)
    return wanted


@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m"])
def test_a_hyperstack_of_imagej_in_colour_is_read_with_its_heights_and_sampling(
    tmp_path: Path, unit: str
) -> None:
    path = imagej(tmp_path / "a.tif", colours(), f"slices={N}\nunit={unit}\nspacing=0.5\n", 0.345, rgb=True)
    stack = read_stack(path)
    assert stack.z_um == (0.0, 0.5, 1.0, 1.5)
    assert stack.um_per_px == pytest.approx(0.345)
    assert same(stack.planes, colours())
    assert stack.notes == ()


def test_separate_channels_of_imagej_become_colours(tmp_path: Path) -> None:
    said = f"channels=3\nslices={N}\nhyperstack=true\nmode=composite\nunit=micron\nspacing=0.5\n"
    stack = read_stack(imagej(tmp_path / "a.tif", channel_pages(colours()), said))
    assert len(stack.z_um) == N
    assert same(stack.planes, colours())


def test_twelve_bits_of_imagej_are_seen_as_twelve_bits(tmp_path: Path) -> None:
    pages = colours(4090, np.uint16)[..., 0]
    stack = read_stack(imagej(tmp_path / "a.tif", pages, f"slices={N}\nunit=um\nspacing=0.5\n"))
    assert same(stack.planes, np.repeat(scaled(pages, 12)[..., None], 3, axis=3))
    assert stack.notes == ("its values, up to 4090, were read as those of 12 bits",)


def test_a_spacing_of_imagej_that_goes_down_turns_the_stack_over(tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif", colours(), f"slices={N}\nunit=um\nspacing=-0.5\n", rgb=True)
    assert same(read_stack(path).planes, colours()[::-1])


def test_a_spacing_that_imagej_leaves_out_is_one_and_that_is_told(tmp_path: Path) -> None:
    stack = read_stack(imagej(tmp_path / "a.tif", colours(), f"slices={N}\nunit=um\n", rgb=True))
    assert stack.z_um == (0.0, 1.0, 2.0, 3.0)
    assert "means 1 um" in stack.notes[0]


def test_a_stack_that_is_not_calibrated_wants_its_heights_and_takes_them(tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif", colours(), f"slices={N}\n", 1.0, rgb=True)
    with pytest.raises(StackRefused, match="not calibrated in ImageJ.*--step-um"):
        read_stack(path)
    stack = read_stack(path, Given(step_um=0.625, um_per_px=0.345))
    assert stack.z_um == (0.0, 0.625, 1.25, 1.875)
    assert stack.um_per_px == 0.345


def test_times_are_not_taken_for_heights(tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif", colours(), f"frames={N}\nunit=um\n", rgb=True)
    with pytest.raises(StackRefused, match="axes TYXC?S.*slices and frames"):
        read_stack(path, Given(step_um=0.5))


def test_a_stack_of_imagej_that_is_cut_short_is_never_read_as_whole(tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif", colours(), f"slices={N}\nunit=um\nspacing=0.5\n", rgb=True)
    never_read_as_whole(path)


def test_pages_without_a_word_that_are_cut_short_are_never_read_as_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, colours(), photometric="rgb", metadata=None)
    assert same(read_stack(path, Given(step_um=0.5)).planes, colours())
    never_read_as_whole(path)


def never_read_as_whole(path: Path) -> None:
    whole = path.read_bytes()
    for n_bytes in range(0, len(whole) - 1, 331):
        path.write_bytes(whole[:n_bytes])
        with pytest.raises(StackDamaged, match="truncated"):
            read_stack(path, Given(step_um=0.5))


@pytest.mark.parametrize("axes", ["ZCYX", "CZYX"])
@pytest.mark.parametrize("names", [[], ["Red", "Green", "Blue"], ["blue", "green", "red"], ["B", "R", "G"]])
def test_separate_channels_of_ome_become_the_colours_they_are_named_after(
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


def test_positions_of_planes_with_separate_channels_are_those_of_the_first(tmp_path: Path) -> None:
    z_um = [1.0, 2.5, 4.0, 6.0]
    metadata = {
        "axes": "ZCYX",
        "Plane": {"PositionZ": [z for z in z_um for _ in range(3)], "PositionZUnit": ["µm"] * 12},
    }
    path = tmp_path / "a.ome.tif"
    pages = colours().transpose(0, 3, 1, 2)
    tifffile.imwrite(path, pages, ome=True, photometric="minisblack", metadata=metadata)
    assert read_stack(path).z_um == tuple(z_um)


@pytest.mark.parametrize("n_there", [1, 2, N - 1])
def test_an_ome_tiff_that_tells_of_more_planes_than_are_there_is_not_read(
    tmp_path: Path, n_there: int
) -> None:
    whole = tmp_path / "whole.ome.tif"
    tifffile.imwrite(
        whole, colours(), ome=True, photometric="rgb", metadata={"axes": "ZYXS", "PhysicalSizeZ": 0.5}
    )
    # Most programs write the description first: a file that is cut short still tells of all planes.
    said = tifffile.tiffcomment(whole)
    path = tmp_path / "cut.ome.tif"
    pages = np.concatenate([colours(), colours()])[:n_there]
    tifffile.imwrite(path, pages, photometric="rgb", description=said, metadata=None)
    with pytest.raises(StackDamaged, match="truncated"):
        read_stack(path)


@pytest.mark.parametrize(
    ("told", "wrong"), [('SizeY="40"', 'SizeY="41"'), ('IFD="0" PlaneCount="4"', 'IFD="99"')]
)
def test_a_description_of_other_pages_is_not_believed(tmp_path: Path, told: str, wrong: str) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path, colours(), ome=True, photometric="rgb", metadata={"axes": "ZYXS", "PhysicalSizeZ": 0.5}
    )
    said = str(tifffile.tiffcomment(path))
    assert told in said
    tifffile.imwrite(path, colours(), photometric="rgb", description=said.replace(told, wrong), metadata=None)
    with pytest.raises(StackDamaged, match="description is not one of its pages"):
        read_stack(path)


def test_opacity_is_left_out_and_a_fourth_channel_refused(tmp_path: Path) -> None:
    with_opacity = np.concatenate([colours(), np.full((N, 40, 50, 1), 255, np.uint8)], axis=3)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, with_opacity, photometric="rgb", extrasamples=["unassalpha"], metadata=None)
    assert same(read_stack(path, Given(0.5)).planes, colours())
    said = f"channels=4\nslices={N}\nhyperstack=true\nunit=um\nspacing=0.5\n"
    with pytest.raises(StackRefused, match="of 4 channels"):
        read_stack(imagej(tmp_path / "b.tif", channel_pages(with_opacity), said))


@pytest.mark.parametrize(
    ("told", "brightest", "bits"),
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
def test_sixteen_bits_are_scaled_by_the_range_that_the_file_tells_or_a_camera_has(
    tmp_path: Path, told: int, brightest: int, bits: int
) -> None:
    planes = colours(brightest, np.uint16)
    metadata = {"axes": "ZYXS", "PhysicalSizeZ": 0.5, **({"SignificantBits": told} if told else {})}
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, planes, ome=True, photometric="rgb", metadata=metadata)
    stack = read_stack(path)
    assert same(stack.planes, scaled(planes, bits))
    assert f"of {bits} bits" in stack.notes[0]


def test_a_stack_of_sixteen_bits_that_is_all_black_is_black(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    black = np.zeros((N, 40, 50), np.uint16)
    tifffile.imwrite(path, black, ome=True, metadata={"axes": "ZYX", "PhysicalSizeZ": 0.5})
    assert not np.stack(read_stack(path).planes).any()


def numbered(folder: Path, name: Callable[[int], str], planes: NDArray[np.integer], first: int = 0) -> Path:
    """Images as OpenCV writes them, with numbers in their names."""
    folder.mkdir()
    for k, plane in enumerate(planes):
        cv2.imwrite(str(folder / name(first + k)), plane[..., ::-1])
    return folder


@pytest.mark.parametrize(
    ("name", "first"),
    [
        (lambda k: f"t{k:04d}.tif", 0),  # ImageJ
        (lambda k: f"img_channel000_position000_time000000000_z{k:03d}.tif", 0),  # Micro-Manager
        (lambda k: f"{k}.png", 8),  # 8, 9, 10, 11: as text 10 comes before 8
        (lambda k: f"Slide 3 - 20x {k}.PNG", 1),
    ],
)
def test_numbered_images_are_a_stack_when_their_distance_is_given(
    tmp_path: Path, name: Callable[[int], str], first: int
) -> None:
    folder = numbered(tmp_path / "s", name, colours(), first)
    (folder / "Thumbs.db").write_bytes(b"what a file manager leaves")
    with pytest.raises(StackRefused, match=r"has no stack\.csv.*--step-um"):
        read_stack(folder)
    stack = read_stack(folder, Given(0.5, 0.345))
    assert (stack.z_um, stack.um_per_px) == ((0.0, 0.5, 1.0, 1.5), 0.345)
    assert same(stack.planes, colours())
    assert same(read_stack(folder, Given(-0.5)).planes, colours()[::-1])


def test_numbered_images_of_twelve_bits_are_scaled_all_by_one_measure(tmp_path: Path) -> None:
    planes = colours(4000, np.uint16)
    planes[1:] //= 5  # darker planes must stay darker
    folder = numbered(tmp_path / "s", lambda k: f"p{k}.png", planes)
    assert same(read_stack(folder, Given(0.5)).planes, scaled(planes, 12))


def test_an_image_of_twelve_bits_is_no_black_slide(tmp_path: Path) -> None:
    image = colours(4000, np.uint16)[0]
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    assert np.array_equal(rgb_from_file(tmp_path / "a.png"), scaled(image, 12))


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["a1.png", "a2.png", "a4.png"], "after a2.png comes number 4: a plane is missing"),
        (["a1.png", "b2.png"], r"not told apart by one number in their names \(a1.png, b2.png\)"),
        (["a1_t1.png", "a2_t2.png"], "not told apart by one number"),
        (["a1.png", "a01.png"], "not told apart by one number"),
        (["notes.txt"], r"neither stack\.csv nor images"),
    ],
)
def test_images_that_do_not_follow_each_other_are_no_stack(
    tmp_path: Path, names: list[str], why: str
) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(StackRefused, match=why):
        read_stack(tmp_path, Given(0.5))


def table(folder: Path, text: str) -> Path:
    numbered(folder, lambda k: f"p{k}.png", colours())
    (folder / "stack.csv").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "text",
    [
        "file;z_um\np0.png;2500,5\np1.png;2501\np2.png;2501,5\np3.png;2502,125\n",
        "\ufefffile; z_um \r\np0.png;2500,5\r\np1.png;2501,0\r\np2.png;2501,5\r\np3.png;2502,125\r\n\r\n",
        "sep=;\nfile;z_um;focus_z_um\np0.png;2500.5;\np1.png;2501;\np2.png;2501.5;\np3.png;2502.125;\n",
        "file\tz_um\np0.png\t2500,5\np1.png\t2501\np2.png\t2501,5\np3.png\t2502,125\n",
        'file,z_um\np0.png,"2500,5"\np1.png,2501\np2.png,"2501,5"\np3.png,"2502,125"\n',
    ],
)
def test_tables_of_other_countries_are_read(tmp_path: Path, text: str) -> None:
    stack = read_stack(table(tmp_path / "s", text))
    assert stack.z_um == (2500.5, 2501.0, 2501.5, 2502.125)
    assert same(stack.planes, colours())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("file;z_um\np0.png;2,500\np1.png;2,501\n", "2,500, which may be a fraction or thousands"),
        ("file,z_um\np0.png,2500,5\np1.png,2501,5\n", "more than its 2 columns.*decimal point"),
        ("file;z_um\np0.png;2.500,5\np1.png;2501\n", "must be a number in every row, it says '2.500,5'"),
        ("file,z_um\np0.png,nan\np1.png,2501\n", "holds nan, which is no number of um"),
        ("file,z_um\np0.png,1\np1.png,inf\n", "holds inf, which is no number of um"),
        ("file,z_um\np0.png,1\np1.png,\n", "needs the columns file,z_um in every row"),
        ("file,z_um,focus_z_um\np0.png,1,nan\np1.png,2,nan\n", "focus_z_um in stack.csv holds nan"),
        ("file,z_um,focus_z_um\np0.png,1,1.5\np1.png,2,1.6\n", "must be one number, it says 1.5, 1.6"),
        ("name,z\np0.png,1\n", "needs the columns file,z_um in every row, its first line says 'name,z'"),
        ("", "needs the columns file,z_um"),
    ],
)
def test_a_table_that_may_be_misread_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(StackRefused, match=why):
        read_stack(table(tmp_path / "s", text))


def test_a_table_in_another_encoding_is_told_so(tmp_path: Path) -> None:
    folder = table(tmp_path / "s", "")
    (folder / "stack.csv").write_bytes("file;z_um\nüber.png;1\n".encode("latin-1"))
    with pytest.raises(StackRefused, match="no text of UTF-8.*Save it as CSV UTF-8"):
        read_stack(folder)


@pytest.mark.parametrize(
    "bad", [{"step_um": float("nan")}, {"step_um": 0.0}, {"um_per_px": -1.0}, {"um_per_px": float("inf")}]
)
def test_what_is_given_beside_a_stack_must_be_possible(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"Correct --{next(iter(bad)).replace('_', '-')}"):
        Given(**bad)


def test_heights_given_beside_a_stack_that_knows_its_focus_are_refused(tmp_path: Path) -> None:
    text = "file,z_um,focus_z_um\n" + "".join(f"p{k}.png,{k},1.5\n" for k in range(N))
    with pytest.raises(StackRefused, match=r"its focus is known at z=1\.5 um.*Leave --step-um out"):
        read_stack(table(tmp_path / "s", text), Given(0.5))


def test_a_compression_that_cannot_be_read_is_told_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    ok, data = cv2.imencodemulti(".tif", list(colours()), [cv2.IMWRITE_TIFF_COMPRESSION, 5])  # LZW
    assert ok
    path.write_bytes(data.tobytes())
    with pytest.raises(StackRefused, match=r"compression cannot be read here\. Save it without compression"):
        read_stack(path, Given(0.5))
