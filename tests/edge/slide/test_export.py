"""Exports, opened by programs that we did not write."""

import importlib.metadata
from pathlib import Path

import cv2
import lxml.etree
import numpy as np
import openslide
import pytest
import tifffile

from parfocal.edge.errors import ConfigError
from parfocal.edge.images.chunks import jpeg_of
from parfocal.edge.images.ome_zarr import Master, MasterAbout, write_master
from parfocal.edge.images.rgb import rgb_from_file
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.slide.export import ENDINGS, ExportReport, Form, export, export_path
from tests.stains import ihc

SHAPE = (607, 1071)
# Of OME 2016-06, as the package ome-types has it.
(OME_SCHEMA,) = (path for path in importlib.metadata.files("ome-types") or () if path.suffix == ".xsd")


@pytest.fixture(scope="module")
def picture() -> UInt8Array:
    return np.pad(ihc(), ((0, 95), (0, 559), (0, 0)), "symmetric")


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory, picture: UInt8Array) -> Path:
    slide = tmp_path_factory.mktemp("slides") / "A1.zarr"
    slide.mkdir()
    about = MasterAbout('A1 "\u00fc" <1>', 0.345, None, {})
    write_master(slide, SHAPE, lambda x, y, w, h: picture[y : y + h, x : x + w], "lossless", about)
    return slide


def exported(slide: Path, form: Form) -> tuple[Path, ExportReport]:
    path = export_path(slide, form, None)
    return path, export(slide, form, path, 85)


def test_openslide_sees_all_levels(slide: Path, picture: UInt8Array) -> None:
    path, report = exported(slide, "openslide-tiff")
    seen = openslide.OpenSlide(path)
    assert seen.level_dimensions == ((1071, 607), (536, 304), (268, 152))
    assert report.levels == 3
    assert float(seen.properties["openslide.mpp-x"]) == pytest.approx(0.345, rel=1e-6)
    part = np.asarray(seen.read_region((480, 200), 0, (300, 150)))[..., :3]
    assert np.abs(part.astype(int) - picture[200:350, 480:780]).mean() < 6.0
    whole = np.asarray(seen.read_region((0, 0), 2, (268, 152)))[..., :3]
    assert np.abs(whole.astype(int) - Master(slide).level(2)).mean() < 6.0


def test_tifffile_and_the_ome_schema_accept_the_ome_tiff(slide: Path, picture: UInt8Array) -> None:
    path, report = exported(slide, "ome-tiff")
    with tifffile.TiffFile(path) as tiff:
        (series,) = tiff.series
        assert series.kind == "ome"
        assert [level.shape for level in series.levels] == [(607, 1071, 3), (304, 536, 3), (152, 268, 3)]
        assert np.abs(series.asarray().astype(int) - picture).mean() < 6.0
        description = tiff.ome_metadata
    assert description is not None
    schema = lxml.etree.XMLSchema(file=str(OME_SCHEMA.locate()))
    described = lxml.etree.fromstring(description.encode())
    schema.assertValid(described)
    (image,) = described.iter("{*}Image")
    (pixels,) = image.iter("{*}Pixels")
    assert image.attrib["Name"] == 'A1 "\u00fc" <1>'
    assert (pixels.attrib["SizeX"], pixels.attrib["SizeY"]) == ("1071", "607")
    assert (pixels.attrib["PhysicalSizeX"], pixels.attrib["PhysicalSizeXUnit"]) == ("0.345", "\u00b5m")
    assert report.n_bytes == path.stat().st_size


def test_the_ome_description_holds_no_character_references(slide: Path) -> None:
    # Bio-Formats puts a blank into each "&#" before it parses (ome.xml XMLTools.sanitizeXML), finds no unit " #181;m",
    # and reads the file as a plain TIFF without its smaller levels.
    path, _ = exported(slide, "ome-tiff")
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        description = page.tags["ImageDescription"].value
    assert "&#" not in description
    assert 'Unit="\u00b5m"' in description
    assert b'Unit="\xc2\xb5m"' in path.read_bytes()


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x1bb"])
def test_a_slide_whose_name_no_xml_can_hold_is_exported(tmp_path: Path, name: str) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    write_master(tmp_path, (64, 64), lambda *_: picture, "lossless", MasterAbout(name, 1.0, None, {}))
    path = tmp_path / "a.ome.tif"
    export(tmp_path, "ome-tiff", path, 85)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.ome_metadata is not None
        (image,) = lxml.etree.fromstring(tiff.ome_metadata.encode()).iter("{*}Image")
    assert image.attrib["Name"] == "a b"


def test_every_tile_of_the_deep_zoom_has_its_place(slide: Path, picture: UInt8Array) -> None:
    path, _ = exported(slide, "deepzoom")
    image = lxml.etree.fromstring(path.read_bytes())
    (size,) = image
    assert (size.attrib, image.attrib["TileSize"]) == ({"Width": "1071", "Height": "607"}, "512")
    files = path.with_name("A1_files")
    # As the format defines it: each level is half of the next, rounded up, down to a single pixel.
    for level in range(12):
        width, height = (-(-side // 2 ** (11 - level)) for side in (1071, 607))
        for column in range(-(-width // 512)):
            for row in range(-(-height // 512)):
                tile = cv2.imread(str(files / str(level) / f"{column}_{row}.jpg"))
                assert tile is not None
                assert tile.shape[:2] == (min(512, height - 512 * row), min(512, width - 512 * column))
    assert len([*files.rglob("*.jpg")]) == 6 + 2 + 10
    right = rgb_from_file(files / "11" / "1_0.jpg")
    assert np.abs(right.astype(int) - picture[:512, 512:1024]).mean() < 6.0


@pytest.mark.parametrize("form", ["ome-tiff", "openslide-tiff", "deepzoom"])
def test_an_export_is_not_much_larger_than_jpeg_tiles(tmp_path: Path, form: Form) -> None:
    # Sampled as by a camera.
    picture = np.asarray(cv2.resize(ihc(), (1024, 1024), interpolation=cv2.INTER_CUBIC), np.uint8)
    about = MasterAbout("A1", 0.25, None, {})
    write_master(tmp_path, (1024, 1024), lambda x, y, w, h: picture[y : y + h, x : x + w], "lossless", about)
    report = export(tmp_path, form, export_path(tmp_path, form, tmp_path / f"a{ENDINGS[form]}"), 85)
    assert report.n_bytes < 1.5 * len(jpeg_of(picture))


@pytest.mark.parametrize(("form", "name"), [("openslide-tiff", "A1.tif"), ("deepzoom", "A1.dzi")])
def test_an_export_that_fails_leaves_the_old_one_alone(
    slide: Path, tmp_path: Path, form: Form, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(b"old")

    def stop(done: int, _all: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(slide, form, path, 85, stop)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_an_export_replaces_the_tiles_of_an_earlier_one(slide: Path, tmp_path: Path) -> None:
    path = tmp_path / "A1.dzi"
    stale = tmp_path / "A1_files" / "11" / "9_9.jpg"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"old")
    export(slide, "deepzoom", path, 85)
    assert not stale.exists()
    assert path.is_file()


@pytest.mark.parametrize("what", ["page", "file", "link", "part"])
def test_a_folder_that_is_no_export_is_not_replaced(slide: Path, tmp_path: Path, what: str) -> None:
    folder = tmp_path / ("A1_files.part" if what == "part" else "A1_files")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    notes = (folder if what in ("page", "part") else elsewhere) / "2" / "notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("mine")
    if what == "file":
        folder.write_text("mine")
    if what == "link":
        folder.symlink_to(elsewhere)
    found = {"page": "a folder with 2/notes.txt", "file": "a file", "link": "a link"}
    with pytest.raises(
        ConfigError, match=f"{found.get(what, found['page'])} is .* nothing was written. Move it"
    ):
        export(slide, "deepzoom", tmp_path / "A1.dzi", 85)
    assert notes.read_text() == "mine"
    assert not (tmp_path / "A1.dzi").exists()
    assert folder.exists()


def test_an_export_is_replaced_whatever_a_viewer_has_put_into_it(slide: Path, tmp_path: Path) -> None:
    path = tmp_path / "A1.dzi"
    export(slide, "deepzoom", path, 85)
    (tmp_path / "A1_files" / ".DS_Store").write_bytes(b"")
    export(slide, "deepzoom", path, 85)
    assert not (tmp_path / "A1_files" / ".DS_Store").exists()


@pytest.mark.parametrize(
    ("form", "name"), [("ome-tiff", "a.tif"), ("openslide-tiff", "a.ome.tif"), ("deepzoom", "a.tif")]
)
def test_a_name_by_which_programs_mistake_the_form_is_refused(form: Form, name: str) -> None:
    with pytest.raises(ConfigError, match="by which programs know"):
        export_path(Path("A1.zarr"), form, Path(name))
    assert export_path(Path("A1.zarr"), form, Path("x.ome.tif")) if form == "ome-tiff" else True
