"""Mutations of what is measured of a camera and where that is used, and of when a simulated frame is there."""

from tools.mutations.mutation import Mutation

TRIGGER_TESTS = ("tests/calib/camera/test_exposure_window.py",)
CAMERA_TESTS = ("tests/edge/calibrate/test_camera.py",)
VIEW_TESTS = ("tests/calib/camera/test_seen_view.py",)
LIGHT_TESTS = ("tests/calib/camera/test_seen_light.py",)
RESPONSE_TESTS = ("tests/calib/camera/test_response.py",)
TURNED_TESTS = ("tests/edge/stitch/test_turned.py",)
WATCH_TESTS = ("tests/edge/scan/test_watch.py",)
MASTER_TESTS = ("tests/edge/slide/test_master.py",)
VIDEO_TESTS = ("tests/edge/camera/test_video.py",)
LAG_TESTS = ("tests/calib/camera/test_lag.py",)
JPEG_TESTS = ("tests/edge/test_jpeg.py",)

MUTATIONS = (
    Mutation(
        "of a rolling shutter the first line counts",
        "calib/camera/exposure_window.py",
        "float(begins_s.max()), float(ends_s.min() - begins_s.max())",
        "float(begins_s.min()), float(ends_s.min() - begins_s.min())",
        TRIGGER_TESTS,
    ),
    Mutation(
        "a flash that the begin of the exposure cuts counts as a whole one",
        "calib/camera/exposure_window.py",
        "(1.0 - share[rising]) * width_s",
        "0.0",
        TRIGGER_TESTS,
    ),
    Mutation(
        "a window that is not as long as the exposure is accepted",
        "edge/calibrate/trigger.py",
        "            self._check_exposure(window)\n",
        "",
        ("tests/edge/calibrate/test_trigger.py",),
    ),
    Mutation(
        "the delay of another input of the camera is used",
        "edge/measured/trigger_in_use.py",
        "if _named(before) != _named(now):",
        "if before.device != now.device:",
        ("tests/edge/measured/test_trigger_in_use.py",),
    ),
    Mutation(
        "a flash begins when the last line perhaps exposes",
        "edge/measured/trigger_in_use.py",
        "safe_delay_s(delay.value, delay.uncertainty)",
        "safe_delay_s(delay.value, 0.0)",
        ("tests/edge/measured/test_trigger_in_use.py",),
    ),
    Mutation(
        "flashes that saturate are not dimmed",
        "edge/calibrate/trigger.py",
        "while self._levels(self._config.camera.exposure_s / 2.0).max() > _BRIGHT:",
        "while False:",
        ("tests/edge/calibrate/test_trigger.py",),
    ),
    Mutation(
        "the light measured with frames of another size is used",
        "edge/measured/calibration.py",
        "if not is_grid or found.frame_px != (camera.width_px, camera.height_px):",
        "if not is_grid:",
        CAMERA_TESTS,
    ),
    Mutation(
        "the measured light is not used where a slide is stitched",
        "edge/slide/master.py",
        "gain = None if flat is None else gain_of_grid(flat, scan.frame_px)",
        "gain = None",
        MASTER_TESTS,
    ),
    Mutation(
        "a camera is taken for turned by a few steps that disagree",
        "calib/camera/seen_view.py",
        "if len(best) < max(MIN_AGREEING, MIN_AGREEING_SHARE * len(steps)):",
        "if not best:",
        VIEW_TESTS,
    ),
    Mutation(
        "a mirrored picture is not looked for",
        "calib/camera/seen_view.py",
        "for is_mirrored in (in_use.is_mirrored, not in_use.is_mirrored)",
        "for is_mirrored in (in_use.is_mirrored,)",
        VIEW_TESTS,
    ),
    Mutation(
        "neighbours are looked for on one side alone",
        "edge/stitch/wide.py",
        "for way in ((x, y), (-x, -y), (-y, x), (y, -x)):",
        "for way in ((x, y),):",
        TURNED_TESTS,
    ),
    Mutation(
        "structure that repeats itself tells an angle",
        "edge/stitch/wide.py",
        "if is_alike and shift.rival_ncc <= MAX_RIVAL_SHARE * shift.ncc:",
        "if is_alike:",
        TURNED_TESTS,
    ),
    Mutation(
        "a slide is stitched as its scan was told",
        "edge/stitch/stitching.py",
        "told, (view, turned) = view, view_by_tiles(places, load, view)",
        "told, (view, turned) = view, (view, None)",
        TURNED_TESTS,
    ),
    Mutation(
        "an empty field counts as a neighbour",
        "edge/scan/watch.py",
        "        self._last = None\n        if self._light",
        "        if self._light",
        WATCH_TESTS,
    ),
    Mutation(
        "tissue counts as empty light",
        "calib/camera/seen_light.py",
        "> MAX_SCATTER:",
        "> 9.0:",
        LIGHT_TESTS,
    ),
    Mutation(
        "what lies on the slide is taken for the light",
        "calib/camera/response.py",
        "left = (values - means[place])[n_seen[place] > 1]",
        "left = values - values.mean(axis=0)",
        RESPONSE_TESTS,
    ),
    Mutation(
        "pictures are moved by the kernel of OpenCV",
        "edge/subpixel.py",
        "near = 1.5 * away**3 - 2.5 * away**2 + 1.0",
        "near = 1.25 * away**3 - 2.25 * away**2 + 1.0",
        ("tests/edge/calibrate/test_register.py", "tests/edge/test_subpixel.py"),
    ),
    Mutation(
        "a camera that mixes frames is not waited for where the light changes",
        "edge/calibrate/camera.py",
        "sleep_s(LAMP_S + self._forgets_s)",
        "sleep_s(LAMP_S)",
        CAMERA_TESTS,
    ),
    Mutation(
        "pictures are taken for frames in a row",
        "calib/camera/lag.py",
        "share ** (1.0 / max(frames_apart, 1.0))",
        "share",
        LAG_TESTS,
    ),
    Mutation(
        "the mean of the noise is thought to be none",
        "calib/camera/lag.py",
        "centred @ share**apart @ centred",
        "share**apart",
        LAG_TESTS,
    ),
    Mutation(
        "the steps of 8 bits count as noise of the sensor",
        "calib/camera/lag.py",
        "- STEPS_VARIANCE * centred",
        "- 0.0 * centred",
        LAG_TESTS,
    ),
    Mutation(
        "a size that comes too slowly uncompressed is not tried compressed",
        "edge/camera/video.py",
        "        uncompressed = found = self._tried(asked)\n        if not self._is_met(found):\n",
        "        uncompressed = found = self._tried(asked)\n        if found.size != asked:\n",
        (*VIDEO_TESTS, "tests/edge/camera/test_webcam.py"),
    ),
    Mutation(
        "of two modes that are too slow the slower one is told",
        "edge/camera/video.py",
        "period_s = min(mode.period_s for mode in of_size",
        "period_s = max(mode.period_s for mode in of_size",
        VIDEO_TESTS,
    ),
    Mutation(
        "a camera goes on giving the bytes of its frames",
        "edge/camera/video.py",
        "        self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 1.0)\n",
        "",
        VIDEO_TESTS,
    ),
    Mutation(
        "colours that are halved along rows alone are told as quartered",
        "edge/camera/video.py",
        "self._chroma_of_jpeg() == QUARTERED",
        "self._chroma_of_jpeg() != '4:4:4'",
        VIDEO_TESTS,
    ),
    Mutation(
        "rows and columns of a JPEG are taken for each other",
        "edge/jpeg.py",
        "(factors >> 4, factors & 15)",
        "(factors & 15, factors >> 4)",
        JPEG_TESTS,
    ),
    Mutation(
        "a table of a JPEG is taken for its frame header",
        "edge/jpeg.py",
        "- {0xC4, 0xC8, 0xCC}",
        "",
        JPEG_TESTS,
    ),
    Mutation(
        "a simulated frame is there when it was exposed",
        "edge/simscope/camera.py",
        "until_there_s = exposure_s + period_s",
        "until_there_s = exposure_s",
        ("tests/edge/simscope/test_simscope.py",),
    ),
    Mutation(
        "a simulated frame that was triggered is there when it was exposed",
        "edge/simscope/triggered_camera.py",
        "return exposure_s[1] + self._config.frame_period_s",
        "return exposure_s[1]",
        ("tests/edge/simscope/test_triggered_camera.py",),
    ),
)
