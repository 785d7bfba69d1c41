"""The simulated microscope itself: its optics, its slide, its free-running camera, its samples."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from parfocal.board.clock import VirtualClock
from parfocal.edge.camera.frame import frame_after
from parfocal.edge.config import CameraConfig, Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.focus.picture.sharpness import variance_of_laplacian
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.bench import sample_from, sample_image
from parfocal.edge.simscope.camera import SimulatedCamera
from parfocal.edge.simscope.held_clock import HeldClock
from parfocal.edge.simscope.optics import Optics, transfer_profiles
from parfocal.edge.simscope.replay import RecordedStack
from parfocal.edge.simscope.scene import Scene
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide, image_from_file
from parfocal.edge.simscope.surface import FocusSurface
from tests.edge.scope import tissue

Z_UM = np.array([-6.0, -3.0, -1.0, 0.0, 1.0, 3.0, 6.0], np.float32)


def test_uniform_absorption_is_kept_and_uniform_phase_vanishes_at_every_height() -> None:
    absorption, phase = transfer_profiles(Optics(), Z_UM)
    assert np.allclose(absorption[:, :, 0], 1.0, atol=1e-5)
    assert np.allclose(phase[:, :, 0], 0.0, atol=1e-5)


def test_without_aberration_absorption_is_even_and_phase_odd_about_the_focus() -> None:
    plain = Optics(chromatic_shift_um=(0.0, 0.0, 0.0), w040_waves=0.0)
    absorption, phase = transfer_profiles(plain, Z_UM)
    assert np.allclose(absorption, absorption[::-1], atol=1e-5)
    assert np.allclose(phase, -phase[::-1], atol=1e-5)
    assert np.abs(phase[0]).max() > 0.1


def test_the_reference_aberrations_distinguish_the_two_sides_of_focus() -> None:
    absorption, _ = transfer_profiles(Optics(), Z_UM)
    assert np.abs(absorption - absorption[::-1]).max() > 0.05


def test_each_colour_is_sharpest_at_its_own_height() -> None:
    z_um = np.arange(-1.0, 1.01, 0.1, dtype=np.float32)
    absorption, _ = transfer_profiles(Optics(), z_um)
    best_um = z_um[(absorption**2).sum(axis=2).argmax(axis=0)]
    assert np.allclose(best_um, [0.3, 0.0, -0.3], atol=0.11)


@pytest.mark.parametrize("bad", [{"na": 1.2}, {"condenser_sigma": 0.0}, {"um_per_px": 0.0}])
def test_impossible_optics_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        Optics(**bad)  # type: ignore[arg-type]


def scene(seed: int = 1) -> Scene:
    return Scene(
        VirtualSlide(SlideImage(tissue(), 0.345), 0.345, seed, blank_share=0.0), Optics(), (300, 300), seed
    )


def test_the_sharpest_image_is_at_the_true_focus() -> None:
    made = scene()
    z_um = np.arange(-4.0, 4.01, 0.5)
    sharpness = [variance_of_laplacian(made.shot(1000.0, 1000.0, float(z), 1.0)) for z in z_um]
    assert abs(z_um[int(np.argmax(sharpness))]) <= 0.5
    assert sharpness[0] < 0.5 * max(sharpness) > 2.0 * sharpness[-1]


def test_without_light_the_image_is_black() -> None:
    assert scene().shot(1000.0, 1000.0, 0.0, 0.0).mean() < 2.0


def test_the_slide_is_continued_by_its_mirror_image() -> None:
    slide = VirtualSlide(SlideImage(tissue(128), 0.345), 0.345, seed=1, blank_share=0.0)
    width_um = 128 * 0.345
    here = slide.density(500 * width_um, 500 * width_um, (64, 64))
    there = slide.density(502 * width_um, 500 * width_um, (64, 64))
    assert np.allclose(here, there)
    assert np.allclose(here, here[:, :, ::-1])  # the seam at an even multiple is a mirror


def test_the_same_seed_gives_the_same_slide_and_blank_areas_are_blank() -> None:
    image = SlideImage(tissue(), 0.345)
    slides = [VirtualSlide(image, 0.345, seed, blank_share=0.5) for seed in (1, 1)]
    areas = [
        slide.density(x, 2250.0, (64, 64)) for slide in slides for x in np.arange(750.0, 40000.0, 1500.0)
    ]
    half = len(areas) // 2
    assert all(np.array_equal(a, b) for a, b in zip(areas[:half], areas[half:], strict=True))
    blank = sum(float(a.max()) == 0.0 for a in areas[:half])
    assert 0 < blank < half


def test_the_surface_is_the_same_for_the_same_seed_and_gentle_between_neighbours() -> None:
    first, again = FocusSurface(3, 0.0, 0.0, 2500.0), FocusSurface(3, 0.0, 0.0, 2500.0)
    heights_um = [first.z_um(x, 5000.0) for x in np.arange(0.0, 8000.0, 400.0)]
    assert heights_um == [again.z_um(x, 5000.0) for x in np.arange(0.0, 8000.0, 400.0)]
    assert 0.0 < np.abs(np.diff(heights_um)).max() < 6.0
    assert heights_um != [
        FocusSurface(4, 0.0, 0.0, 2500.0).z_um(x, 5000.0) for x in np.arange(0.0, 8000.0, 400.0)
    ]


class Ramp:
    """A stage that rises by 1 um per second, with the lamp on."""

    def true_um(self, time_s: float) -> tuple[float, float, float]:
        return 0.0, 0.0, time_s

    def lamp_duty(self, _time_s: float) -> float:
        return 0.6


def height_as_pixels(_x: float, _y: float, z_um: float, _duty: float) -> UInt8Array:
    return np.full((2, 2, 3), int(z_um), np.uint8)


def test_a_late_grab_gives_an_old_frame_and_waiting_gives_a_fresh_one() -> None:
    clock = VirtualClock(100.0)
    camera = SimulatedCamera(
        Ramp(), clock, CameraConfig(frame_period_s=0.1, exposure_s=0.02), height_as_pixels
    )
    clock.sleep_s(5.0)
    stale = camera.grab()
    assert stale.exposure_start_s < 105.0 - 0.1
    fresh = frame_after(camera, 105.0)
    assert fresh.exposure_start_s >= 105.0
    assert fresh.exposure_start_s == pytest.approx(105.0, abs=0.11)
    assert clock.now_s() >= fresh.exposure_start_s + 0.02


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.027, 3.141])
def test_a_frame_of_a_free_run_is_there_a_period_after_its_exposure(after_s: float) -> None:
    clock = VirtualClock(100.0)
    camera = SimulatedCamera(
        Ramp(), clock, CameraConfig(frame_period_s=0.03, exposure_s=0.01), height_as_pixels
    )
    clock.sleep_s(after_s)
    asked_s = clock.now_s()
    frame = frame_after(camera, asked_s)
    assert asked_s <= frame.exposure_start_s <= asked_s + 0.03 + 1e-6
    assert clock.now_s() == pytest.approx(frame.exposure_start_s + 0.01 + 0.03, abs=1e-5)


def test_no_frame_is_given_twice() -> None:
    clock = VirtualClock(100.0)
    camera = SimulatedCamera(Ramp(), clock, CameraConfig(), height_as_pixels)
    starts_s = [camera.grab().exposure_start_s for _ in range(20)]
    assert starts_s == sorted(set(starts_s))


def test_a_frame_shows_where_the_stage_was_while_it_was_exposed() -> None:
    clock = VirtualClock(100.0)
    camera = SimulatedCamera(
        Ramp(), clock, CameraConfig(frame_period_s=1.0, exposure_s=0.5), height_as_pixels
    )
    for _ in range(5):
        frame = camera.grab()
        clock.sleep_s(20.0)
        assert int(frame.pixels[0, 0, 0]) == int(frame.exposure_start_s + 0.25)


def test_a_simulated_frame_that_was_overtaken_has_no_pixels() -> None:
    camera = SimulatedCamera(Ramp(), VirtualClock(100.0), CameraConfig(), height_as_pixels)
    first = camera.grab()
    camera.grab()
    with pytest.raises(RuntimeError, match="before the next `grab`"):
        _ = first.pixels


def test_the_microscopes_time_stands_still_while_an_image_is_rendered() -> None:
    shared = VirtualClock(100.0)
    clock = HeldClock(shared)
    before_s = clock.now_s()
    with clock.held():
        shared.sleep_s(3.0)
    assert clock.now_s() == before_s
    clock.sleep_s(1.0)
    assert clock.now_s() == before_s + 1.0
    assert clock.shared_s(clock.now_s()) == shared.now_s()
    assert clock.shared_s(before_s - 0.5) == before_s - 0.5


# Samples -----------------------------------------------------------------------------------------------


def test_the_sample_tissue_comes_with_a_package() -> None:
    pytest.importorskip("skimage", reason="the demo extra is not installed")
    assert sample_image().shape == (512, 512, 3)


def test_a_file_that_is_not_an_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_text("not an image")
    with pytest.raises(ConfigError, match=r"notes\.png is not an image .*nothing moved"):
        image_from_file(path)
    with pytest.raises(ConfigError, match=r"gone\.png cannot be read"):
        image_from_file(tmp_path / "gone.png")


@pytest.mark.parametrize(
    ("pixels", "um_per_px", "why"),
    [
        (np.full((200, 200, 3), 180, np.uint8), 0.5, "one colour"),
        (tissue(64), 0.05, "smaller than"),
        (tissue(64), -1.0, "must be 0.001 to 100; nothing moved. Correct --um-per-px"),
        (tissue(64), float("nan"), "must be 0.001 to 100"),
        (tissue(64), float("inf"), "must be 0.001 to 100"),
        (tissue(64), 1e300, "must be 0.001 to 100"),
        (tissue(64), 1e-300, "must be 0.001 to 100"),
    ],
)
def test_a_slide_without_structure_or_with_impossible_sampling_is_refused(
    pixels: UInt8Array, um_per_px: float, why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        VirtualSlide(SlideImage(pixels, um_per_px), 0.345, seed=1)


def test_an_image_without_its_sampling_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), tissue(64))
    with pytest.raises(ConfigError, match="--um-per-px"):
        sample_from(tmp_path / "a.png", None, Config(), 1)
    # A missing file is reported first.
    with pytest.raises(ConfigError, match="No such file"):
        sample_from(tmp_path / "b.png", None, Config(), 1)


def recorded(folder: Path, rows: str | None = None, odd_size: bool = False) -> Path:
    folder.mkdir()
    made = scene()
    lines = ["file,z_um"]
    for k, z_um in enumerate(np.arange(-5.0, 5.1, 1.0)):
        side = 100 if odd_size and k == 3 else 300
        cv2.imwrite(
            str(folder / f"p{k}.png"), made.shot(1000.0, 1000.0, float(z_um), 1.0)[:side, :side, ::-1]
        )
        lines.append(f"p{k}.png,{100.0 + z_um}")
    (folder / "stack.csv").write_text("\n".join(lines) + "\n" if rows is None else rows)
    return folder


def test_a_missing_slide_is_reported_before_its_missing_sampling(tmp_path: Path) -> None:
    for name in ("gone.png", "gone.ome.tiff"):
        with pytest.raises(ConfigError, match=rf"slide .*{name} cannot be read: No such file or directory"):
            sample_from(tmp_path / name, None, Config(), seed=1)


def test_a_recorded_stack_shows_the_nearest_plane_and_finds_its_focus(tmp_path: Path) -> None:
    stack = RecordedStack(recorded(tmp_path / "stack"))
    assert stack.shape_px == (300, 300)
    assert stack.focus_z_um == pytest.approx(100.0, abs=0.6)
    assert stack.nearest(101.4) is stack.nearest(100.6)
    assert stack.nearest(200.0) is stack.nearest(105.0)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ("file,z_um\np0.png,1.0\n", "1 plane,"),
        ("file,z_um\n" + "".join(f"p{k}.png,{z}\n" for k, z in enumerate([1, 2, 2, 3, 4])), "must rise"),
        ("file,height\np0.png,1.0\n", "columns file,z_um"),
        ("file,z_um\np0.png,high\n", "must be a number in every row, found 'high'"),
        ("file,z_um\n" + "".join(f"q{k}.png,{k}\n" for k in range(6)), r"q0\.png cannot be read"),
    ],
)
def test_a_stack_with_a_bad_table_is_refused(tmp_path: Path, rows: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        RecordedStack(recorded(tmp_path / "stack", rows))


def test_a_stack_with_unequal_planes_or_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"p3\.png is 100 x 100 px"):
        RecordedStack(recorded(tmp_path / "odd", odd_size=True))
    (tmp_path / "none").mkdir()
    with pytest.raises(ConfigError, match=r"neither stack\.csv nor images"):
        RecordedStack(tmp_path / "none")
