"""Folders of images are read as stacks, or refused.

Numbered images: `Save As > Image Sequence` of ImageJ, and Micro-Manager's "separate image files". Tables: what
spreadsheets save as CSV where the decimal sign is a comma.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.edge.stacks.folder import MAX_INDEX_BYTES
from parfocal.edge.stacks.read import Overrides, read_stack
from parfocal.edge.stacks.stack import StackRefused
from tests.edge.stacks.made import N_PLANES, colours, same, scaled


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
        (lambda k: f"{k}.png", 8),  # 8, 9, 10, 11: sorted as text, 10 comes before 8
        (lambda k: f"Slide 3 - 20x {k}.PNG", 1),
    ],
)
def test_numbered_images_with_a_given_distance_are_a_stack(
    tmp_path: Path, name: Callable[[int], str], first: int
) -> None:
    folder = numbered(tmp_path / "s", name, colours(), first)
    (folder / "Thumbs.db").write_bytes(b"left by a file manager")
    with pytest.raises(StackRefused, match=r"has no stack\.csv.*--step-um"):
        read_stack(folder)
    stack = read_stack(folder, Overrides(0.5, 0.345))
    assert (stack.z_um, stack.um_per_px) == ((0.0, 0.5, 1.0, 1.5), 0.345)
    assert same(stack.planes, colours())
    assert same(read_stack(folder, Overrides(-0.5)).planes, colours()[::-1])


def test_numbered_images_of_twelve_bits_are_all_scaled_alike(tmp_path: Path) -> None:
    planes = colours(4000, np.uint16)
    planes[1:] //= 5  # darker planes must stay darker
    folder = numbered(tmp_path / "s", lambda k: f"p{k}.png", planes)
    assert same(read_stack(folder, Overrides(0.5)).planes, scaled(planes, 12))


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["a1.png", "a2.png", "a4.png"], "a2.png is followed by number 4: a plane is missing"),
        (["a1.png", "b2.png"], r"do not differ in exactly one number \(a1.png, b2.png\)"),
        (["a1_t1.png", "a2_t2.png"], "do not differ in exactly one number"),
        (["a1.png", "a01.png"], "do not differ in exactly one number"),
        (["notes.txt"], r"neither stack\.csv nor images"),
    ],
)
def test_images_that_are_not_numbered_in_sequence_are_refused(
    tmp_path: Path, names: list[str], why: str
) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(StackRefused, match=why):
        read_stack(tmp_path, Overrides(0.5))


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
def test_tables_with_other_separators_and_decimal_signs_are_read(tmp_path: Path, text: str) -> None:
    stack = read_stack(table(tmp_path / "s", text))
    assert stack.z_um == (2500.5, 2501.0, 2501.5, 2502.125)
    assert same(stack.planes, colours())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("file;z_um\np0.png;2,500\np1.png;2,501\n", "is 2,500, which may be a fraction or thousands"),
        ("file,z_um\np0.png,2500,5\np1.png,2501,5\n", "rows with more than its 2 columns.*decimal point"),
        ("file;z_um\np0.png;2.500,5\np1.png;2501\n", "must be a number in every row, found '2.500,5'"),
        ("file,z_um\np0.png,nan\np1.png,2501\n", "is nan, which is not a finite number"),
        ("file,z_um\np0.png,1\np1.png,inf\n", "is inf, which is not a finite number"),
        ("file,z_um\np0.png,1\np1.png,\n", "needs the columns file,z_um in every row"),
        ("file,z_um,focus_z_um\np0.png,1,nan\np1.png,2,nan\n", "focus_z_um in stack.csv is nan"),
        (
            "file,z_um,focus_z_um\np0.png,1,1.5\np1.png,2,1.6\n",
            "must be the same number in every row, found 1.5, 1.6",
        ),
        ("name,z\np0.png,1\n", "needs the columns file,z_um in every row, its first line is 'name,z'"),
        ("", "needs the columns file,z_um"),
    ],
)
def test_an_ambiguous_or_incomplete_table_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(StackRefused, match=why):
        read_stack(table(tmp_path / "s", text))


def test_a_table_in_another_encoding_is_refused(tmp_path: Path) -> None:
    folder = table(tmp_path / "s", "")
    (folder / "stack.csv").write_bytes("file;z_um\nüber.png;1\n".encode("latin-1"))
    with pytest.raises(StackRefused, match="not UTF-8 text.*Save it as CSV UTF-8"):
        read_stack(folder)


def test_given_heights_are_refused_where_the_stack_gives_its_focus(tmp_path: Path) -> None:
    text = "file,z_um,focus_z_um\n" + "".join(f"p{k}.png,{k},1.5\n" for k in range(N_PLANES))
    with pytest.raises(StackRefused, match=r"it gives its focus, z=1\.5 um.*Leave --step-um out"):
        read_stack(table(tmp_path / "s", text), Overrides(0.5))


def test_a_huge_table_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "stack.csv").open("wb") as file:
        file.truncate(MAX_INDEX_BYTES + 1)
    with pytest.raises(StackRefused, match=r"stack\.csv is larger than 10,000,000 bytes"):
        read_stack(tmp_path)
