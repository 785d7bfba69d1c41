"""What a tile's own picture says about its focus: a single-shot prediction, and sharpness beside its neighbours."""

from __future__ import annotations

import math
from collections import deque
from typing import Literal

import msgspec
import numpy as np

from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.judging.depth import depth_of_field_um, depth_scale
from parfocal.edge.focus.judging.estimate import Estimate, estimate_single_anywhere
from parfocal.edge.focus.judging.rule import Seen as Sharp
from parfocal.edge.focus.picture.exposure import exposure_fault
from parfocal.edge.focus.picture.part import reduced
from parfocal.edge.focus.picture.prepare import contrast_of, patches_of, smoothed
from parfocal.edge.focus.result import FocusResult
from parfocal.edge.focus.shots import Shot
from parfocal.edge.focus.uneven.crispness import crispness_of
from parfocal.edge.scan.dust_alone import is_dust_alone
from parfocal.edge.scan.tiling.heights import Expected
from parfocal.edge.scan.tiling.judging.beside import Beside
from parfocal.edge.scan.tiling.judging.reading import MIN_SIGMA_UM, Known, Reading, scatter_of
from parfocal.edge.scan.tiling.plan import PlannedTile
from parfocal.engines.predictor import Predictor

# A single shot is off by a constant that depends on stain and slide. It is taken from tiles whose focus is known.
MIN_KNOWN = 5
# Single shots scatter by 0.3 um from place to place, so the mean of so many is certain to 0.06 um. With 36 of them
# instead of 16 a swept slide had 100 tiles taken again instead of 115 (`tests.bench.scan`). Eight come at once.
MIN_SURE, MIN_FIRST = 25, 8
MIN_SURE_IF_VARIED = 40  # where the constant differs from place to place
# How far neighbouring tiles lie apart tells how much single shots scatter. By 25 fields of a survey alone it comes out
# between 0.25 and 0.42 um where it is 0.30, and how many tiles are taken again would be chance.
KEPT_BESIDE = 200
UNKNOWN_SIGMA_UM = 1.0  # before the constant is known, through 20x/0.75
MAX_TRUSTED_SHARE = 0.9  # of the model's range
CONTRADICTS = 3.0  # standard deviations by which a picture contradicts what was expected: a step of the slide
# A tile this much less sharp than its neighbours, content taken into account, is taken for blurred.
MIN_SHARPNESS_SHARE = 0.6
N_NEIGHBOURS = 9
# Unless its content is like that of a tile that looked blurred and was found in focus: fine detail is rare there.
KEPT_PLAIN = 12
ALIKE_SHARE = 0.2

# A picture is taken again where it is out of focus by more than this share of the depth of field: one that was taken at
# rest, and one of a sweep. There a second picture costs three to seven times as much as the first, and from 0.5 to 0.6
# most of what is taken again is taken for the noise of single shots.
RETAKE_SHARE_AT_REST = 0.5
RETAKE_SHARE_SWEPT = 0.6
# The same without a single-shot model: there tiles are taken 0.3 depths of field beside their focus
# (`beside.APART_SHARE`), and what their neighbours tell is more certain.
RETAKE_SHARE_BESIDE = 0.8

Verdict = Literal["good", "blank", "predicted", "blurred", "unknown", "untold"]


class Seen(msgspec.Struct, frozen=True):
    """What one picture shows.

    `distance_um`: from the picture's height to the focus, positive upwards, None without a prediction; `sigma_um` its
    standard uncertainty. `crispness`: fine detail over coarse detail in the middle of its parts, which says little
    about what is in the picture, and `crispness_spread`: how far the parts lie apart; None where too little is in it.
    `spread_um`: how far the predictions of the picture's patches lie apart, or what its neighbours tell; None with one
    patch. `told_um`: what the model said.
    """

    distance_um: float | None
    sigma_um: float | None
    sharpness: float
    crispness: float | None
    tissue: bool
    spread_um: float | None = None
    crispness_spread: float | None = None
    told_um: float | None = None


class Judged(msgspec.Struct, frozen=True):
    """The verdict on a tile, and the distance to the focus by all that is known, um.

    "good", "blank"; "predicted": out of focus by its own prediction, or by what its neighbours show; "blurred": by its
    sharpness; "unknown": nothing is known of how the model reads this slide, so the tile must be focused once;
    "untold": without a model, no neighbour tells, and where the focus was expected is not certain enough.
    """

    verdict: Verdict
    distance_um: float
    sigma_um: float


class TileJudge:
    """Judges tiles, and learns the constant by which single shots are off on this slide."""

    def __init__(
        self, single: Predictor | None, config: FocusConfig, um_per_px: float, beside: Beside | None = None
    ) -> None:
        """`single`: a single-shot model, None for none. `um_per_px`: of the camera.

        `beside`: holds tiles against their neighbours in place of a model; without either, tiles are judged by
        sharpness alone.
        """
        self._single, self._config, self._um_per_px, self._beside = single, config, um_per_px, beside
        self.depth_um = depth_of_field_um(config.objective)
        scale = depth_scale(config.objective)
        self._unknown_sigma_um, self._min_sigma_um = UNKNOWN_SIGMA_UM * scale, MIN_SIGMA_UM * scale
        self._reading = Reading(scale)
        self._beside_um: deque[float] = deque(maxlen=KEPT_BESIDE)
        self._crispness: deque[float] = deque(maxlen=N_NEIGHBOURS)
        self._plain: deque[float] = deque(maxlen=KEPT_PLAIN)

    @property
    def sigma_um(self) -> float:
        """Standard uncertainty of a single shot, corrected by how it reads on this slide."""
        if not self._knows_bias:
            return self._unknown_sigma_um
        reading = self._reading
        n, variance = len(reading.known), (reading.scatter_um / reading.gain) ** 2
        if self._beside_um:
            # Of two tiles both err, and each tile is in two pairs.
            n_pairs, of_pairs = len(self._beside_um), scatter_of(np.array(self._beside_um)) ** 2 / 2.0
            variance = (n * variance + 0.5 * n_pairs * of_pairs) / (n + 0.5 * n_pairs)
        return max(self._min_sigma_um, math.sqrt(variance))

    def _sigma_um_at(self, place_um: tuple[float, float]) -> float:
        """The same at a place of the slide, where the constant is known less well than elsewhere."""
        if not self._knows_bias:
            return self._unknown_sigma_um
        return math.hypot(self.sigma_um, self._reading.constant_sigma_um(place_um) / self._reading.gain)

    @property
    def is_ready(self) -> bool:
        """Whether it can judge a tile by its own picture: it knows how the model reads this slide, or has no model."""
        return self._single is None or self._knows_bias

    @property
    def known(self) -> tuple[Known, ...]:
        """What single shots said of pictures whose focus is known, to be kept for a scan that is continued."""
        return self._reading.known

    @property
    def shows_play(self) -> bool:
        """Whether pictures of a sweep show what the measured play of Z is off by.

        Not where they are held against neighbouring rows, which are swept the other way.
        """
        return self._beside is None

    @property
    def tells_far_off(self) -> bool:
        """Whether a picture far from its focus tells where that is. There, two pictures of one place hardly differ."""
        return self._beside is None

    def play_um(self, sigma_um: float, is_falling: bool) -> float:
        """How uncertain the height of a swept picture is by the play of Z, um. `sigma_um`: of the measured play."""
        if self._beside is not None:
            # Neighbouring rows go opposite ways, so Z is engaged both ways in what is held against each other.
            return 0.5 * sigma_um
        # Engaged upwards, the play is out of it.
        return sigma_um if is_falling else 0.0

    def is_contradicted(self, seen: Seen) -> bool:
        """Whether the neighbours of a tile contradict each other about it by more than a depth of field."""
        return self._beside is not None and seen.spread_um is not None and seen.spread_um > self.depth_um

    def aim_um(self, tile: PlannedTile) -> float:
        """How far above the expected focus a tile is to be taken, um, so that its neighbours can tell its focus."""
        return 0.0 if self._beside is None else self._beside.aim_um(tile)

    @property
    def known_curve(self) -> tuple[tuple[Sharp, ...], ...]:
        """The shots by which the focus curve of the slide was learned, to be kept for a scan that is continued."""
        return () if self._beside is None else self._beside.known

    def look(self, shot: Shot, place_um: tuple[float, float], tile: PlannedTile | None = None) -> Seen:
        """What a picture taken at X and Y of the slide shows. `tile`: of which tile it is. Raises EngineError."""
        pixels = reduced(shot.pixels, self._config)
        whole = smoothed(pixels)
        contrasts = contrast_of(patches_of(whole, self._config.patch_px))
        tissue = bool(contrasts.max() >= self._config.blank_contrast)
        if tissue and is_dust_alone(pixels, self._config, self._um_per_px):
            tissue = False
        distance_um = sigma_um = spread_um = said_um = None
        found = self._single_shot(shot) if tissue else None
        if found is not None:
            told_um = self._believed_um(found)
            if told_um is not None:
                distance_um = self._reading.distance_um(told_um, place_um)
                sigma_um = self._sigma_um_at(place_um)
            said_um = found.distance_um
            spread_um = found.spread_um if len(found.predictions_um) > 1 else None
        if tissue and tile is not None and self._beside is not None:
            beheld = self._beside.look(tile, place_um, shot.z_um, pixels)
            if beheld is not None:
                distance_um, sigma_um = beheld.distance_um, beheld.sigma_um
                spread_um = beheld.spread_um
        crisp = crispness_of(pixels, self._config.blank_contrast)
        apart = crisp.spread if tissue else None
        return Seen(distance_um, sigma_um, shot.sharpness, crisp.middle, tissue, spread_um, apart, said_um)

    def _single_shot(self, shot: Shot) -> Estimate | None:
        """What the single-shot model says; None without one, or without any contrast."""
        if self._single is None:
            return None
        return estimate_single_anywhere(shot.pixels, self._single, self._config)

    def _believed_um(self, found: Estimate) -> float | None:
        """The distance that a single shot says, within the range of the model; None if it is not believed."""
        if self._single is None or found.believed is False or not math.isfinite(found.distance_um):
            return None
        trusted_um = MAX_TRUSTED_SHARE * self._single.contract.range_um
        return float(np.clip(found.distance_um, -trusted_um, trusted_um))

    def judge(
        self, seen: Seen, z_um: float, expected: Expected, retake_share: float = RETAKE_SHARE_AT_REST
    ) -> Judged:
        """The verdict on a picture taken at `z_um`, where the focus was expected at `expected`.

        `retake_share`: of the depth of field, beyond which it is out of focus.
        """
        prior_um = expected.z_um - z_um
        if not seen.tissue:
            return Judged("blank", prior_um, expected.sigma_um)
        if seen.distance_um is None or seen.sigma_um is None:
            is_sure = self._beside is None or abs(prior_um) + 2.0 * expected.sigma_um <= self.depth_um
            sharp: Verdict = "good" if is_sure else "untold"
            return Judged("blurred" if self.is_blurred(seen) else sharp, prior_um, expected.sigma_um)
        if not self.is_ready:
            return Judged("unknown", seen.distance_um, seen.sigma_um)
        distance_um, sigma_um = _together(seen.distance_um, seen.sigma_um, prior_um, expected.sigma_um)
        if self._beside is not None:
            retake_share = RETAKE_SHARE_BESIDE
        if abs(distance_um) > retake_share * self.depth_um:
            return Judged("predicted", distance_um, sigma_um)
        return Judged("blurred" if self.is_blurred(seen) else "good", distance_um, sigma_um)

    def contradicts(self, seen: Seen, z_um: float, expected: Expected) -> bool:
        """Whether a picture taken at `z_um` says something else than `expected`: a step of the slide, or a mistake."""
        if seen.distance_um is None or seen.sigma_um is None:
            return False
        return _contradict(seen.distance_um, seen.sigma_um, expected.z_um - z_um, expected.sigma_um)

    def learn_tile(self, seen: Seen, above_um: float, place_um: tuple[float, float]) -> None:
        """Learn from a tile whose focus is known to lie `above_um` above its picture."""
        if seen.told_um is not None and abs(above_um) <= self.depth_um:
            self._learn_single(seen.told_um, above_um, place_um)

    def learn_focus(self, shot: Shot, above_um: float, place_um: tuple[float, float]) -> None:
        """Learn from a picture whose focus is known to lie `above_um` above it. Raises EngineError."""
        found = None if exposure_fault(shot.pixels) is not None else self._single_shot(shot)
        if found is not None:
            self._learn_single(found.distance_um, above_um, place_um)

    def learn_field(self, found: FocusResult, place_um: tuple[float, float]) -> None:
        """Learn from a field that two shots or a sweep settled: from what single shots said of it near its focus.

        Raises EngineError.
        """
        if self._beside is not None:
            self._beside.learn_field(found)
        for told_um, true_um in found.singles_um:
            if abs(true_um) <= self.depth_um:
                self._learn_single(told_um, true_um, place_um)
        if not found.singles_um and found.end is not None and abs(found.left_um) <= self.depth_um / 2.0:
            self.learn_focus(found.end, found.left_um, place_um)

    def wants_field(self, share: float) -> bool:
        """Whether two shots should settle the next field of a survey, so that it tells how far single shots are off.

        `share`: of the survey, that is done. A few fields at once, the others spread over the slide: the constant is
        not the same everywhere.
        """
        n, enough = len(self._reading.known), MIN_SURE if self._reading.is_alike else MIN_SURE_IF_VARIED
        return self._single is not None and n < MIN_FIRST + (enough - MIN_FIRST) * share

    def learn_beside(self, difference_um: float) -> None:
        """Learn from two neighbouring tiles by how much more the one lies above the surface, by single shots."""
        self._beside_um.append(difference_um)

    def _learn_single(self, told_um: float, true_um: float, place_um: tuple[float, float]) -> None:
        if math.isfinite(told_um):
            self._reading.learn([Known(told_um, true_um, *place_um)])

    def restore(self, known: tuple[Known, ...]) -> None:
        """Take up what an earlier session of the same scan has learned."""
        self._reading.learn(known)

    def accept(self, seen: Seen) -> None:
        """Take a good tile as a measure for those that follow."""
        if seen.tissue and seen.crispness is not None:
            self._crispness.append(seen.crispness)

    def accept_as_sharp(self, seen: Seen, above_um: float) -> None:
        """Learn that a picture looked blurred and was not, since its focus lies only `above_um` above it."""
        if abs(above_um) <= self.depth_um / 2.0 and seen.crispness is not None:
            self._plain.append(seen.crispness)

    @property
    def _knows_bias(self) -> bool:
        return len(self._reading.known) >= MIN_KNOWN

    def is_blurred(self, seen: Seen) -> bool:
        """Whether the picture is much less sharp than those before it, and than those found to have no more detail."""
        crispness = seen.crispness
        if crispness is None or len(self._crispness) < N_NEIGHBOURS:
            return False
        if any(abs(plain - crispness) <= ALIKE_SHARE * crispness for plain in self._plain):
            return False
        return crispness < MIN_SHARPNESS_SHARE * float(np.median(self._crispness))


def _together(
    distance_um: float, sigma_um: float, prior_um: float, prior_sigma_um: float
) -> tuple[float, float]:
    """The picture's own distance and the expected one, weighted by their certainty; the own one if they contradict."""
    if _contradict(distance_um, sigma_um, prior_um, prior_sigma_um):
        return distance_um, sigma_um
    own, prior = 1.0 / sigma_um**2, 1.0 / prior_sigma_um**2
    return (own * distance_um + prior * prior_um) / (own + prior), math.sqrt(1.0 / (own + prior))


def _contradict(distance_um: float, sigma_um: float, prior_um: float, prior_sigma_um: float) -> bool:
    return abs(distance_um - prior_um) > CONTRADICTS * math.hypot(sigma_um, prior_sigma_um)
