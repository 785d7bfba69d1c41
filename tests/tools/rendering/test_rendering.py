"""Patches that are rendered in torch are those of the slower programs. Needs the training extra."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")

from parfocal.edge.focus import prepare  # noqa: E402
from parfocal.edge.simscope.optics import Optics, transfer_profiles  # noqa: E402
from tools import synthesize  # noqa: E402
from tools.cameras import Camera  # noqa: E402
from tools.cameras import processed as processed_by_opencv  # noqa: E402
from tools.learning.rendered import Rendering, of_rendered  # noqa: E402
from tools.networks.focus import FocusNet  # noqa: E402
from tools.networks.two_shot import TwoShotNet  # noqa: E402
from tools.rendering import cameras, prepared  # noqa: E402
from tools.rendering.imaging import Imager, Layered  # noqa: E402
from tools.rendering.objectives import OBJECTIVES  # noqa: E402
from tools.rendering.stream import Stream  # noqa: E402
from tools.rendering.transfer import points_per_diameter, transfers  # noqa: E402
from tools.tissue import thickness  # noqa: E402


class Pool:
    """Two drawn objects, as `ObjectPool` has them."""

    def __init__(self, side_px: int) -> None:
        rng = np.random.default_rng(3)
        fields = [cv2.GaussianBlur(rng.standard_normal((side_px, side_px)), (0, 0), 3.0) for _ in range(6)]
        densities = 0.4 + 4.0 * np.stack(fields).reshape(2, 3, side_px, side_px)
        self.densities = torch.from_numpy(densities.clip(0.0, 1.5).astype(np.float16))
        self.ready = 2


def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(rng.uniform(0, 255, (64, 96, 3)).astype(np.float32), (0, 0), 2)
    values = np.clip(2.0 * (smooth - 127.0) + 130.0 + 3.0 * rng.standard_normal(smooth.shape), 0, 255)
    return np.asarray(values, np.uint8)


def as_tensor(image: np.ndarray) -> Any:  # noqa: ANN401 - torch is optional
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32))


def as_image(tensor: Any) -> np.ndarray:  # noqa: ANN401
    return np.asarray(tensor[0].numpy().transpose(1, 2, 0))


@pytest.mark.parametrize(
    "optics",
    [
        Optics(),
        Optics(condenser_sigma=0.3, w040_waves=-0.1),
        Optics(na=0.65, chromatic_shift_um=(0.4, 0.0, -0.4)),
    ],
)
def test_transfers_are_those_of_the_virtual_microscope(optics: Optics) -> None:
    made = transfers([optics], 6.0, 1.5, "cpu")
    z_um = (np.arange(9, dtype=np.float32) - 4) * 1.5
    absorption, phase = transfer_profiles(optics, z_um)
    assert made.first_z_um == -6.0
    # Both sum over the points of a grid in the condenser, this one over more of them.
    assert np.abs(made.absorption[0].numpy() - absorption).max() < 0.02
    assert np.abs(made.phase[0].numpy() - phase).max() < 0.04


def test_a_wide_condenser_far_from_the_focus_takes_more_points() -> None:
    near, far = points_per_diameter(Optics(), 4.0), points_per_diameter(Optics(condenser_sigma=0.9), 16.0)
    assert near < far


def test_images_are_those_of_synthesize() -> None:
    side_px, heights = 160, np.array([-6.0, -1.0, 0.0, 3.0], np.float32)
    density = np.zeros((3, side_px, side_px), np.float32)
    density[:, 70:84, 76:92] = 0.8
    renderer = synthesize.Renderer(64, "cpu")
    assert renderer.side_px == side_px
    layer = thickness.Layer(0.5, density, np.float32(0.4) * density[1])
    wanted = renderer.densities(
        synthesize.setting_of(Optics(), "cpu"), [layer], heights, np.zeros((4, 2), np.float32)
    )
    objects = Layered(
        torch.from_numpy(density)[None, None],
        torch.from_numpy(layer.phase_rad)[None, None],
        torch.tensor([[0.5]]),
    )
    torch.manual_seed(1)
    found = Imager(side_px, 64, "cpu").densities(
        objects, transfers([Optics()], 20.0, 0.25, "cpu"), torch.tensor([0]), torch.from_numpy(heights)[None]
    )
    # The shots are moved sideways by 0.04 px at random.
    assert np.abs(found[0].numpy() - wanted).max() < 0.03
    assert np.abs(found[0].numpy() - wanted).mean() < 0.002


def test_what_a_network_sees_is_what_the_microscope_prepares() -> None:
    first, second = picture(), np.roll(picture(), 1, axis=0)
    shots = torch.stack([as_tensor(first)[0], as_tensor(second)[0]])[None]
    wanted = prepare.two_shot_image(prepare.smoothed(first), prepare.smoothed(second), with_second=True)
    assert np.array_equal(as_image(prepared.pairs_of(shots)[0]), wanted)
    assert np.array_equal(
        as_image(prepared.singles_of(shots)[:, 1]), prepare.smoothed(second).astype(np.float32)
    )


@pytest.mark.parametrize(
    ("camera", "share"),
    [
        (Camera(demosaiced=True), 0.1),
        (Camera(sharpening=0.5), 0.02),
        (Camera(jpeg_quality=85, full_chroma=True), 0.15),
        (Camera(jpeg_quality=85), 0.3),
    ],
)
def test_cameras_do_what_opencv_does(camera: Camera, share: float) -> None:
    image = picture()
    wanted = processed_by_opencv(image, camera).astype(np.float32)
    found = as_image(cameras.processed(as_tensor(image), camera))
    inside = (slice(8, -8), slice(8, -8))
    effect = np.abs(wanted - image)[inside].mean()
    assert effect > 0.3
    assert np.abs(found - wanted)[inside].mean() < share * effect


@pytest.mark.parametrize("single", [False, True])
def test_a_stream_gives_standardised_patches_with_their_distances(single: bool) -> None:
    objective = replace(OBJECTIVES["20x/0.75"], margin_px=16)

    def batch() -> tuple[Any, Any, Any]:
        torch.manual_seed(1)
        made = Stream(objective, single, 48, Pool(160), 2, "cpu", 2).batch(4)  # type: ignore[arg-type]
        return made.x, made.distance_um, made.condenser

    x, distance_um, condenser = batch()
    assert x.shape == (len(distance_um), 3 if single else 6, 48, 48)
    assert torch.allclose(x.mean(dim=(2, 3)), torch.zeros(()), atol=1e-3)
    assert float(distance_um.abs().max()) <= 1.4 * 10.0
    assert float(distance_um.min()) < 0.0 < float(distance_um.max())
    assert bool(((condenser > 0.2) & (condenser < 1.0)).all())
    assert torch.equal(x, batch()[0])
    if not single:
        # Planes of an object ascend by about delta, and the distance to the focus shrinks with them.
        steps = distance_um.reshape(-1, 4).diff(dim=1)
        assert bool(((steps < -1.8) & (steps > -2.1)).all())


def test_a_stopped_rendering_goes_on_where_it_stopped(tmp_path: Path) -> None:
    tiles = tmp_path / "tiles" / "he_histolab"
    tiles.mkdir(parents=True)
    cv2.imwrite(str(tiles / "a.png"), picture())
    torch.manual_seed(1)
    net = FocusNet(TwoShotNet(6), 6, 224)
    said: list[str] = []
    rendering = Rendering(tmp_path / "tiles", "20x/0.75", single=False, patch_px=224, patches=1, seed=1)
    with contextlib.ExitStack() as patched:
        monkeypatch = pytest.MonkeyPatch()
        patched.callback(monkeypatch.undo)
        monkeypatch.setattr("tools.learning.rendered.BATCHES_PER_PART", 1)
        monkeypatch.setattr("tools.learning.rendered.OBJECTS_PER_BATCH", 1)
        monkeypatch.setattr("tools.learning.rendered.SETTINGS_PER_PART", 1)
        monkeypatch.setattr("tools.learning.rendered.FIRST_OBJECTS", 2)
        first = of_rendered(net, rendering, "cpu", tmp_path / "kept", said.append)
        again = of_rendered(net, rendering, "cpu", tmp_path / "kept", said.append)
        more = of_rendered(
            net, replace(rendering, patches=len(first) + 1), "cpu", tmp_path / "new", said.append
        )
    assert len(first) >= 1
    assert np.array_equal(first.spectral, again.spectral)
    assert f"{len(first)} of 1 patches were found in {tmp_path / 'kept'}" in said
    assert len(more) == 2 * len(first)
