"""Patches cut on the training device are those of the microscope, with their true distances. Needs torch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")

import cv2  # noqa: E402

from parfocal.edge.focus.picture import prepare  # noqa: E402
from tools.learning.data.store import FrameStore, Places, median  # noqa: E402
from tools.rendering.objectives import OBJECTIVES  # noqa: E402
from tools.rendering.parts import BLOCK_PX, SAMPLE_PX, Frame  # noqa: E402
from tools.rendering.seen import PATCH_PX  # noqa: E402

OBJECTIVE = OBJECTIVES["20x/0.75"]
SIDE_PX = SAMPLE_PX - 2 * OBJECTIVE.margin_px
Z_UM = np.array([-3.0, -1.0], np.float32)


def frame_of(objects: int, odd: bool = False) -> Frame:
    """A frame whose mass lies at +2 um in its left half, and at -1 um in its right half."""
    rng = np.random.default_rng(objects)
    shots = rng.integers(0, 255, (2, SIDE_PX, SIDE_PX, 3), np.uint8)
    n = SAMPLE_PX // BLOCK_PX
    mass = np.zeros((2, n, n), np.float32)
    mass[0, :, : n // 2] = 1.0
    mass[1, :, n // 2 :] = 1.0
    return Frame(shots, Z_UM, mass, np.array([2.0, -1.0], np.float32), objects, 0.6, odd)


def test_the_median_on_the_device_is_that_of_the_microscope() -> None:
    x = np.random.default_rng(0).integers(-255, 255, (30, 40, 3)).astype(np.float32)
    found = median(torch.from_numpy(x.transpose(2, 0, 1)[None]))[0].numpy().transpose(1, 2, 0)
    assert (found == cv2.medianBlur(x, 3)[1:-1, 1:-1]).all()


def test_a_pair_is_what_the_microscope_prepares_and_knows_the_height_of_its_own_focus() -> None:
    store, frame = FrameStore(OBJECTIVE, 1, "cpu"), frame_of(1)
    assert store.add(frame)
    rows, columns = np.array([0, 30]), np.array([0, 150])
    cut = store.pairs_at(Places(np.zeros(2, np.int64), np.ones(2, np.int64), rows, columns))
    whole = prepare.two_shot_image(frame.shots[0], frame.shots[1], with_second=True)
    for x, row, column in zip(cut.x.numpy(), rows * BLOCK_PX + 1, columns * BLOCK_PX + 1, strict=True):
        wanted = whole[row : row + PATCH_PX, column : column + PATCH_PX].transpose(2, 0, 1)
        assert (x == wanted).all()
    # A sample that lies 2 um high is in focus with the stage 2 um low, 1 um below the second shot.
    assert cut.distance_um.numpy() == pytest.approx([-2.0 - Z_UM[1], 1.0 - Z_UM[1]])


def test_a_full_store_takes_no_more_frames() -> None:
    store = FrameStore(OBJECTIVE, 1, "cpu")
    assert store.add(frame_of(1))
    assert not store.add(frame_of(1))
    assert store.n_frames == 1


def test_no_patch_crosses_from_one_object_to_another() -> None:
    store = FrameStore(OBJECTIVE, 1, "cpu")
    store.add(frame_of(4))
    places = store.patches(np.zeros(500, np.int64), np.ones(500, np.int64), np.random.default_rng(1))
    for place in (places.row, places.column):
        first, last = place * BLOCK_PX, place * BLOCK_PX + PATCH_PX + 2
        assert ((last <= SIDE_PX // 2) | (first >= SIDE_PX // 2)).all()
        assert last.max() <= SIDE_PX


def test_a_single_shot_learns_from_few_instruments_without_its_direction() -> None:
    store = FrameStore(OBJECTIVE, 6, "cpu")
    for number in range(6):
        store.add(frame_of(1 if number % 2 else 4, odd=number != 3))
    assert store.teaching().tolist() == [0, 3, 5]
    assert store.teaching(objects=1).tolist() == [3, 5]
