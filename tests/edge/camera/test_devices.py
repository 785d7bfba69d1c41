"""Cameras are found by name, serial number and path, and their modes are listed as the kernel lists them."""

from __future__ import annotations

import errno
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from parfocal.edge.camera import v4l2
from parfocal.edge.camera.devices import VideoDevice, device_number, video_devices
from parfocal.edge.camera.v4l2 import Mode, control, description, modes, set_control
from parfocal.edge.errors import CameraFailed


def plugged(root: Path, number: int, name: str, serial: str = "", index: int = 0) -> None:
    """A node as sysfs has it: a link to the USB interface, whose parent has the serial number."""
    interface = root / "devices" / f"usb{number}" / "1-1:1.0"
    interface.mkdir(parents=True)
    if serial:
        (interface.parent / "serial").write_text(serial + "\n")
    node = root / "class" / f"video{number}"
    node.mkdir(parents=True)
    (node / "name").write_text(name + "\n")
    (node / "index").write_text(f"{index}\n")
    (node / "device").symlink_to(interface)


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    plugged(tmp_path, 10, "HD Webcam: HD Webcam")
    plugged(tmp_path, 2, "MER2-160: MER2", "FDC22070145")
    plugged(tmp_path, 3, "MER2-160: MER2", "FDC22070145", index=1)
    plugged(tmp_path, 4, "MER2-160: MER2", "FDC22070146")
    return tmp_path / "class"


def test_devices_are_listed_by_number_without_their_metadata_nodes(sysfs: Path) -> None:
    found = video_devices(sysfs)
    assert [device.number for device in found] == [2, 4, 10]
    assert found[0] == VideoDevice(2, "MER2-160: MER2", "FDC22070145")
    assert str(found[0]) == "/dev/video2 (MER2-160: MER2, serial FDC22070145)"
    assert [device.lasting_name for device in found] == ["FDC22070145", "FDC22070146", "HD Webcam: HD Webcam"]
    assert video_devices(sysfs / "nowhere") == []


def test_a_camera_is_found_by_number_serial_name_and_path(sysfs: Path, tmp_path: Path) -> None:
    assert device_number(7, sysfs) == 7
    assert device_number("FDC22070146", sysfs) == 4
    assert device_number("hd webcam", sysfs) == 10
    by_id = tmp_path / "usb-Daheng_MER2-video-index0"
    by_id.symlink_to("/dev/video4")
    assert device_number(str(by_id), sysfs) == 4
    for unknown in ("FDC2", "/dev/ttyACM0", ""):
        with pytest.raises(CameraFailed):
            device_number(unknown, sysfs)
    with pytest.raises(
        CameraFailed, match=r"2 cameras are called 'mer2': /dev/video2 .*Set camera.device to a serial"
    ):
        device_number("mer2", sysfs)
    with pytest.raises(
        CameraFailed, match=r"camera 'Basler' not found \(video devices present: /dev/video2 \(MER2"
    ):
        device_number("Basler", sysfs)


def described(device_caps: int) -> bytes:
    return struct.pack("<16s32s32sIII12x", b"uvcvideo", b"HD Webcam", b"usb", 5, 0x84A00001, device_caps)


class Kernel:
    """Answers as uvcvideo does: lists that end with EINVAL, a clamped control, one that is missing."""

    def __init__(self) -> None:
        self.controls = {0x00980918: 1}
        self.formats = ((b"MJPG", 1, ((1920, 1080), (640, 480))), (b"YUYV", 0, ((640, 480), (1280, 720))))

    def __call__(self, request: int, buffer: bytearray) -> None:
        (index,) = struct.unpack_from("<I", buffer)
        sizes = {name: sizes for name, _, sizes in self.formats}
        try:
            if request == v4l2.QUERYCAP:
                buffer[:] = struct.pack(
                    "<16s32s32sIII12x", b"uvcvideo", b"HD Webcam", b"usb", 5, 0x84A00001, 0x04200001
                )
            elif request == v4l2.ENUM_FMT:
                assert struct.unpack_from("<I", buffer, 4) == (1,)
                name, flags, _ = self.formats[index]
                struct.pack_into("<I32s4s", buffer, 8, flags, b"words", name)
            elif request == v4l2.ENUM_FRAMESIZES:
                struct.pack_into("<3I", buffer, 8, 1, *sizes[bytes(buffer[4:8])][index])
            elif request == v4l2.ENUM_FRAMEINTERVALS:
                is_large = struct.unpack_from("<I", buffer, 8)[0] > 1900
                struct.pack_into(
                    "<3I", buffer, 16, 1, *(((1, 5),) if is_large else ((1, 30), (1, 15)))[index]
                )
            elif request == v4l2.G_CTRL:
                struct.pack_into("<i", buffer, 4, self.controls[index])
            elif request == v4l2.S_CTRL:
                self.controls[index] = min(struct.unpack_from("<i", buffer, 4)[0], self.controls[index] + 1)
            else:
                raise OSError(errno.ENOTTY, "no such call")
        except (IndexError, KeyError) as end:
            raise OSError(errno.EINVAL, "Invalid argument") from end


def test_modes_come_uncompressed_first_and_large_before_small() -> None:
    assert [str(mode) for mode in modes(Kernel())] == [
        "1280 x 720 YUYV, 30 frames/s",
        "640 x 480 YUYV, 30 frames/s",
        "1920 x 1080 MJPG, 5 frames/s",
        "640 x 480 MJPG, 30 frames/s",
    ]
    assert modes(Kernel())[2] == Mode("MJPG", 1920, 1080, True, 0.2)


def test_the_device_says_what_it_is_and_a_second_node_is_no_camera() -> None:
    assert description(Kernel()) == ("uvcvideo", "HD Webcam", True)

    def metadata(_request: int, buffer: bytearray) -> None:
        buffer[:] = struct.pack(
            "<16s32s32sIII12x", b"uvcvideo", b"HD Webcam", b"usb", 5, 0x84A00001, 0x04A00000
        )

    assert not description(metadata).is_camera


def test_controls_are_read_back_and_missing_ones_are_none() -> None:
    kernel = Kernel()
    assert control(kernel, 0x00980918) == 1
    assert set_control(kernel, 0x00980918, 9) == 2  # clamped
    assert control(kernel, 0x1234) is None
    assert set_control(kernel, 0x1234, 1) is None


def test_a_broken_device_is_an_error_and_not_the_end_of_a_list() -> None:
    def unplugged(_request: int, _buffer: bytearray) -> None:
        raise OSError(errno.ENODEV, "No such device")

    with pytest.raises(OSError, match="No such device"):
        modes(unplugged)
    with pytest.raises(OSError, match="No such device"):
        control(unplugged, 1)


def test_numbers_and_layouts_are_those_of_the_kernel_s_header(tmp_path: Path) -> None:
    if shutil.which("cc") is None or not Path("/usr/include/linux/videodev2.h").exists():
        pytest.skip("no C compiler `cc` or no headers of the kernel here")
    rows = (
        ("QUERYCAP", "v4l2_capability", v4l2.QUERYCAP, v4l2.QUERYCAP_BYTES),
        ("ENUM_FMT", "v4l2_fmtdesc", v4l2.ENUM_FMT, v4l2.ENUM_FMT_BYTES),
        ("ENUM_FRAMESIZES", "v4l2_frmsizeenum", v4l2.ENUM_FRAMESIZES, v4l2.ENUM_FRAMESIZES_BYTES),
        ("ENUM_FRAMEINTERVALS", "v4l2_frmivalenum", v4l2.ENUM_FRAMEINTERVALS, v4l2.ENUM_FRAMEINTERVALS_BYTES),
        ("G_CTRL", "v4l2_control", v4l2.G_CTRL, v4l2.CTRL_BYTES),
        ("S_CTRL", "v4l2_control", v4l2.S_CTRL, v4l2.CTRL_BYTES),
    )
    lines = [
        f'_Static_assert(VIDIOC_{name} == {number}u && sizeof(struct {struct}) == {size}, "{name}");'
        for name, struct, number, size in rows
    ]
    offsets = (
        ("v4l2_capability", "capabilities", 84),
        ("v4l2_fmtdesc", "pixelformat", 44),
        ("v4l2_frmsizeenum", "discrete", 12),
        ("v4l2_frmsizeenum", "stepwise.max_height", 28),
        ("v4l2_frmivalenum", "discrete", 20),
    )
    lines += [
        f'_Static_assert(offsetof(struct {s}, {field}) == {at}, "{field}");' for s, field, at in offsets
    ]
    source = tmp_path / "layout.c"
    source.write_text(
        "#include <time.h>\n#include <linux/videodev2.h>\n#include <stddef.h>\n" + "\n".join(lines) + "\n"
    )
    subprocess.run(["cc", "-std=gnu11", "-fsyntax-only", source], check=True)
