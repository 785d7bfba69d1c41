import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.judging.estimate import (
    estimate,
    estimate_single,
    estimate_single_anywhere,
    weighted,
)
from parfocal.edge.focus.picture.part import CentralPart, is_blank
from parfocal.engines.model.contract import Contract
from parfocal.engines.model.head import Prediction
from parfocal.engines.predictor import Predictor
from tests.contracts import difference_contract, single_contract

CONFIG = FocusConfig()


def part(frame: NDArray[np.uint8]) -> CentralPart:
    return CentralPart(frame, CONFIG)


def f32(*values: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("predictions", "weights", "distance_um", "spread_um"),
    [
        ((4.0, 4.0, 4.0, 4.0), (1.0, 2.0, 3.0, 4.0), 4.0, 0.0),
        ((1.0, 3.0), (1.0, 1.0), 2.0, 1.0),
        ((1.0, 3.0), (1.0, 3.0), 2.5, np.sqrt(0.75)),
        # An empty patch predicts anything; its weight keeps it from moving the mean or the spread.
        ((5.0, 5.0, 5.0, -9.0), (20.0, 20.0, 20.0, 0.0), 5.0, 0.0),
    ],
)
def test_the_mean_and_spread_are_weighted_by_contrast(
    predictions: tuple[float, ...], weights: tuple[float, ...], distance_um: float, spread_um: float
) -> None:
    found = weighted(Prediction(f32(*predictions)), f32(*weights), CONFIG)
    assert found.distance_um == pytest.approx(distance_um)
    assert found.spread_um == pytest.approx(spread_um, abs=1e-6)
    assert found.predictions_um == predictions


def test_patches_without_any_contrast_give_no_estimate() -> None:
    with pytest.raises(ValueError, match="no patch has any contrast"):
        weighted(Prediction(f32(1.0, 2.0)), f32(0.0, 0.0), CONFIG)


def test_one_patch_with_structure_is_enough_to_judge_a_field() -> None:
    limit = CONFIG.blank_contrast
    assert is_blank(f32(limit * 0.9, limit * 0.5, 0.0, 0.0), CONFIG)
    assert not is_blank(f32(limit * 1.1, 0.0, 0.0, 0.0), CONFIG)


class Sees:
    """A runner that keeps the batch it was given."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.batches: list[NDArray[np.float32]] = []

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self.batches.append(batch)
        return np.arange(len(batch), dtype=np.float32)[:, None]


def a_shot(seed: int, height_px: int = 470, width_px: int = 500) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3)).astype(np.uint8)


@pytest.mark.parametrize(("kind", "channels"), [("difference", 3), ("pair", 6)])
def test_a_two_shot_model_gets_the_channels_of_its_kind(kind: str, channels: int) -> None:
    runner = Sees(difference_contract(kind=kind))
    found = estimate(part(a_shot(1)), part(a_shot(2)), Predictor(runner), CONFIG)
    assert runner.batches[0].shape == (4, channels, 224, 224)
    assert found.predictions_um == (0.0, 1.0, 2.0, 3.0)


def test_the_second_shot_weighs_the_patches() -> None:
    first, second = a_shot(1, 448, 448), a_shot(2, 448, 448)
    first[:224, :224] = 128  # nothing in the first patch of the first shot, in the last patch of the second
    second[224:, 224:] = 128
    found = estimate(part(first), part(second), Predictor(Sees(difference_contract())), CONFIG)
    assert found.weights[3] == pytest.approx(0.0, abs=1e-6)
    assert min(found.weights[:3]) > 10.0


def test_a_hot_pixel_does_not_reach_the_network() -> None:
    plain = np.full((448, 448, 3), 120, np.uint8)
    plain[:, 100:] = 90  # so that there is something to weigh
    hot = plain.copy()
    hot[50, 50] = 255
    runner = Sees(difference_contract(kind="pair"))
    estimate(part(plain), part(plain), Predictor(runner), CONFIG)
    estimate(part(plain), part(hot), Predictor(runner), CONFIG)
    assert np.array_equal(runner.batches[0], runner.batches[1])


def test_a_single_shot_model_gets_patches_of_the_whole_frame_weighted_by_contrast() -> None:
    shot = a_shot(3, 150, 250)
    shot[:, :90] = 128  # nothing to see in the left third
    runner = Sees(single_contract(patch_px=90))
    found = estimate_single(shot, Predictor(runner), CONFIG)
    assert runner.batches[0].shape == (7, 3, 90, 90)
    assert found.weights[0] == found.weights[3] == pytest.approx(0.0, abs=3.0)
    assert min(found.weights[2], found.weights[5]) > 10.0
    assert estimate_single_anywhere(shot, Predictor(runner), CONFIG) == found


@pytest.mark.parametrize(("sigma_um", "doubt"), [(1.15, ""), (1.25, "unsure")])
def test_a_single_shot_that_is_unsure_is_not_believed(sigma_um: float, doubt: str) -> None:
    class Unsure(Predictor):
        def predict(self, batch: NDArray[np.float32]) -> Prediction:
            same = np.ones(len(batch), np.float32)
            return Prediction(3.0 * same, sigma_um * same, same, 3.0)

    found = estimate_single(a_shot(3, 150, 250), Unsure(Sees(single_contract(patch_px=90))), CONFIG)
    # What patches have in common is not averaged out.
    assert found.sigma_um == pytest.approx(0.84 * sigma_um, abs=0.02)
    assert found.doubt == doubt


class SureOfTissue(Predictor):
    """Sure of its distance where a patch is full; sees each batch."""

    def __init__(self) -> None:
        super().__init__(Sees(single_contract(patch_px=672)))
        self.batches = list[NDArray[np.float32]]()

    def predict(self, batch: NDArray[np.float32]) -> Prediction:
        self.batches.append(batch)
        same = np.ones(len(batch), np.float32)
        # A patch of glass is standardised to noise, which changes from pixel to pixel.
        rough = float(np.abs(np.diff(batch, axis=3)).mean())
        return Prediction(3.0 * same, (0.3 if rough < 0.2 else 9.0) * same, same, 3.0)


def a_tile_of_glass_with(tissue: tuple[slice, slice] | None) -> NDArray[np.uint8]:
    noisy = np.random.default_rng(0).normal(230.0, 0.6, (1024, 1224, 3))
    pixels: NDArray[np.uint8] = noisy.round().astype(np.uint8)
    if tissue is not None:
        y, x = (at.astype(float) for at in np.indices(pixels.shape[:2]))
        waves = 150.0 + 60.0 * np.sin(x / 20.0) * np.sin(y / 20.0)
        pixels[tissue] = waves[tissue].round().astype(np.uint8)[..., None]
    return pixels


def test_a_tile_at_the_edge_of_the_tissue_is_judged_by_what_it_holds() -> None:
    at_its_side = a_tile_of_glass_with((slice(0, 512), slice(0, 190)))
    predictor = SureOfTissue()
    assert estimate_single(at_its_side, predictor, CONFIG).doubt == "unsure"
    found = estimate_single_anywhere(at_its_side, predictor, CONFIG)
    assert found is not None
    assert found.doubt == "unsure"  # 18 of 100 cells: too little
    found = estimate_single_anywhere(a_tile_of_glass_with((slice(0, 704), slice(0, 260))), predictor, CONFIG)
    assert found is not None
    assert found.believed


def test_every_picture_takes_one_inference() -> None:
    predictor = SureOfTissue()
    found = estimate_single_anywhere(a_tile_of_glass_with((slice(None), slice(None))), predictor, CONFIG)
    assert found is not None
    assert found.believed
    assert len(predictor.batches) == 1


def test_a_picture_without_any_contrast_tells_nothing() -> None:
    assert estimate_single_anywhere(np.full((1024, 1224, 3), 255, np.uint8), SureOfTissue(), CONFIG) is None


def test_tissue_beside_a_saturated_middle_is_seen() -> None:
    pixels = np.full((1024, 1224, 3), 255, np.uint8)
    pixels[:, :270] = a_tile_of_glass_with((slice(None), slice(None)))[:, :270]
    pixels[:, 276:948] = 255
    found = estimate_single_anywhere(pixels, SureOfTissue(), CONFIG)
    assert found is not None
    assert found.believed
