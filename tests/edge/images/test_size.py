"""The size of an image is read from its header; images that do not fit into memory are refused before decoding."""

import struct
import zlib
from pathlib import Path

import cv2
import pytest

from parfocal.edge.errors import ConfigError
from parfocal.edge.images import rgb as rgb_module
from parfocal.edge.images.rgb import rgb_from_file
from parfocal.edge.images.size import size_px_of
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide, image_from_file
from tests.edge.scope import tissue


def written(path: Path, height_px: int = 30, width_px: int = 47) -> Path:
    cv2.imwrite(str(path), tissue(64)[:height_px, :width_px])
    return path


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif", ".bmp", ".webp"])
def test_the_header_of_each_format_gives_the_size_of_the_image(tmp_path: Path, ending: str) -> None:
    path = written(tmp_path / f"a{ending}")
    assert size_px_of(path) == (47, 30)
    assert rgb_from_file(path).shape == (30, 47, 3)


def test_a_jpeg_with_long_metadata_and_fill_bytes_gives_its_size(tmp_path: Path) -> None:
    plain = written(tmp_path / "a.jpg").read_bytes()
    notes = b"\xff\xff\xe1" + struct.pack(">H", 60_002) + b"\xff\xc0" * 30_000
    tables = b"".join(bytes([0xFF, kind]) + struct.pack(">H", 9) + bytes(7) for kind in (0xC4, 0xCC))
    (tmp_path / "b.jpg").write_bytes(plain[:2] + notes * 3 + tables + plain[2:])
    assert size_px_of(tmp_path / "b.jpg") == (47, 30)


def test_each_kind_of_webp_gives_its_size(tmp_path: Path) -> None:
    pixels = tissue(64)[:30, :47]
    lossy = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, 80])[1].tobytes()
    lossless = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    assert (lossy[12:16], lossless[12:16]) == (b"VP8 ", b"VP8L")
    further = struct.pack("<B3x", 0) + (46).to_bytes(3, "little") + (29).to_bytes(3, "little")
    extended = lossy[:12] + b"VP8X" + struct.pack("<I", 10) + further + lossy[12:]
    for number, data in enumerate((lossy, lossless, extended)):
        path = tmp_path / f"{number}.webp"
        path.write_bytes(data)
        assert size_px_of(path) == (47, 30)


def test_a_bmp_with_rows_from_the_top_has_a_positive_size(tmp_path: Path) -> None:
    plain = bytearray(written(tmp_path / "a.bmp").read_bytes())
    plain[22:26] = struct.pack("<i", -30)
    (tmp_path / "b.bmp").write_bytes(plain)
    assert size_px_of(tmp_path / "b.bmp") == (47, 30)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif", ".bmp", ".webp"])
def test_an_image_truncated_in_its_header_is_refused(
    tmp_path: Path, ending: str, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = written(tmp_path / f"a{ending}").read_bytes()
    for n_bytes in (9, 20):
        (tmp_path / f"b{ending}").write_bytes(whole[:n_bytes])
        with pytest.raises(ValueError, match="damaged|not an image"):
            size_px_of(tmp_path / f"b{ending}")
    assert capfd.readouterr().err == ""


def promising_png(path: Path, side_px: int) -> Path:
    """A PNG of a few bytes whose header promises a square image."""
    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    parts = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


@pytest.mark.parametrize("side_px", [8_001, 20_000, 40_000, 2**31 - 1])
def test_a_slide_too_large_for_memory_is_refused_by_its_header(
    tmp_path: Path, side_px: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(cv2, "imdecode")  # nothing is decoded
    path = promising_png(tmp_path / "a.png", side_px)
    too_large = (
        f"slide .*a.png is {side_px} x {side_px} px, which takes too much memory: the limit is 50 million"
    )
    with pytest.raises(ConfigError, match=too_large):
        image_from_file(path)


def test_an_image_at_the_limit_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rgb_module, "MAX_IMAGE_PX", 47 * 30)
    path = written(tmp_path / "a.png")
    assert rgb_from_file(path).shape == (30, 47, 3)
    monkeypatch.setattr(rgb_module, "MAX_IMAGE_PX", 47 * 30 - 1)
    with pytest.raises(ValueError, match="too much memory"):
        rgb_from_file(path)


@pytest.mark.parametrize(("image_um_per_px", "um_per_px"), [(100.0, 0.345), (0.345, 1e-9), (100.0, 1e-300)])
def test_a_slide_with_too_many_camera_pixels_for_memory_is_refused(
    image_um_per_px: float, um_per_px: float
) -> None:
    with pytest.raises(ConfigError, match=r"covers .* camera pixels; the limit is 50,000,000.*--um-per-px"):
        VirtualSlide(SlideImage(tissue(300), image_um_per_px), um_per_px, seed=1)
