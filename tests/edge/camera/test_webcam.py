"""A webcam through the real OpenCV: the node /dev/video63 is answered by a library that is loaded before libc."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

HERE = Path(__file__).parent
PERIOD_S = 1.0 / 30.0


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `webcam_run` has seen."""
    compiler = shutil.which("cc")
    if compiler is None or not Path("/usr/include/linux/videodev2.h").exists():
        pytest.skip("no C compiler or no headers of the kernel here: `apt install gcc libc6-dev`")
    folder = tmp_path_factory.mktemp("webcam")
    library = folder / "fake.so"
    source = HERE / "fake_v4l2.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    jpegs = {
        "FAKE_JPEG": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
        "OTHER_JPEG": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    }
    for (name, sampling), (width, height) in itertools.product(jpegs.items(), ((1280, 720), (1920, 1080))):
        grey = np.full((height, width, 3), 90, np.uint8)
        cv2.imwrite(str(folder / f"{name}-{height}.jpg"), grey, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling])
    paths = {"LD_PRELOAD": library, "FAKE_GONE": folder / "gone"}
    paths |= {name: folder / name for name in jpegs}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.edge.camera.webcam_run"],
        env=os.environ | {name: str(path) for name, path in paths.items()},
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_the_modes_of_the_webcam_are_listed_raw_ones_first(told: dict[str, Any]) -> None:
    assert told["modes"] == [
        "1280 x 720 YUYV, 10 frames/s",
        "640 x 480 YUYV, 30 frames/s",
        "1920 x 1080 MJPG, 30 frames/s",
        "1280 x 720 MJPG, 30 frames/s",
    ]


def test_every_mode_opens_as_init_writes_it_and_a_compressed_one_says_so(told: dict[str, Any]) -> None:
    sizes = [(height, width) for height, width, _ in told["opened"]]
    assert sizes == [(720, 1280), (480, 640), (1080, 1920), (720, 1280)]
    assert [len(notes) for *_, notes in told["opened"]] == [0, 0, 1, 1]
    notes = [told["opened"][k][2][0] for k in (2, 3)]
    assert all("compressed (MJPG)" in note for note in notes)
    assert ["would come every 0.1 s only" in note for note in notes] == [False, True]
    assert told["settings"] == [0.008, 20.0]


def test_a_webcam_that_quarters_the_colours_is_told_and_its_frames_come_all_the_same(
    told: dict[str, Any],
) -> None:
    *shape, mean, notes = told["quartered"]
    assert shape == [1080, 1920]
    assert mean == pytest.approx(90.0, abs=1.0)
    assert ["(4:2:0)" in note for note in notes] == [False, True]


def test_a_frame_is_as_old_as_it_says_though_the_driver_had_it_waiting(told: dict[str, Any]) -> None:
    frames = told["frames"]
    for (earlier_s, earlier), (later_s, later) in itertools.pairwise(frames):
        n_apart = (later - earlier) % 24
        assert n_apart >= 1
        assert later_s - earlier_s == pytest.approx(n_apart * PERIOD_S, abs=0.002)
    settled_s, start_s, number, (last_s, last) = told["fresh"]
    assert start_s >= settled_s
    assert start_s - last_s == pytest.approx(((number - last) % 24) * PERIOD_S, abs=0.002)


def test_unplugged_it_says_so_and_back_it_opens_again(told: dict[str, Any]) -> None:
    grabbing, opening = told["errors"]
    assert grabbing.startswith("camera 63 gave no frame. Unplug it, plug it in again")
    assert opening == "camera 63 not found. Plug it in, or set camera.device."
    assert told["back"] == [480, 640]
