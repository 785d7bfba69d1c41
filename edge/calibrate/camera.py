"""`parfocal calibrate camera`: exposure, response, flicker, flat field, and what the camera does to its pictures."""

import math
from collections.abc import Iterator

import msgspec
import numpy as np

from parfocal.calib.camera.lag import LAGS_FROM, lag_of
from parfocal.calib.camera.processing import Processing, processing_of
from parfocal.calib.camera.response import (
    Level,
    ResponseFit,
    fit_response,
    flat_field,
    flicker_of,
    light_table,
)
from parfocal.calib.errors import CalibPoor
from parfocal.calib.store import Store
from parfocal.edge.calibrate.curves import Step
from parfocal.edge.calibrate.keeper import Found, Keeper, KeptValue, Stamp
from parfocal.edge.camera.frame import Adjustable, CameraSettings, Frame, frame_after
from parfocal.edge.camera.linear import raw_camera
from parfocal.edge.config import Config
from parfocal.edge.focus.judging.depth import depth_scale
from parfocal.edge.focus.picture.exposure import MIN_MEAN_LEVEL, SATURATED_LEVEL
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array

METHOD = "out of focus: nine places, the dark, rising light, frames in a row"
# So far below the first sweep every structure is blurred, and only the light is left. Through 20x/0.75, and as many
# depths of field through another objective.
BELOW_UM = 60.0
PLACES = tuple((column, row) for row in (-1, 0, 1) for column in (-1, 0, 1))
# Of a field, from place to place: a third is seen twice, in whole cells of a flat field.
PLACE_SHARE = 2.0 / 3.0
LIGHTS = (0.08, 0.12, 0.17, 0.25, 0.35, 0.5, 0.65, 0.8, 1.0, 1.2, 1.4, 1.6)  # of scan.lamp_duty
MAX_FALL_UNCERTAINTY = 0.05  # more, and the structure of the slide decides, not the lamp
N_PER_LIGHT = 4
N_DARK, N_STEADY, N_NOISE = 4, 32, 8
FORGOTTEN_SHARE, MOST_LAG = 0.002, 0.9
LAG_UNCERTAINTY = 0.1  # python -m tests.bench.camera
LAMP_S = 0.1  # a lamp takes a moment
# The brightest parts of a field, grey levels: bright enough for little noise, with room below saturation.
BRIGHT_PERCENTILE = 99.5
BRIGHT_LEVELS, TARGET_LEVEL, MAX_TRIES = (180.0, 245.0), 220.0, 6
N_STEPS = 3
CORNER_PX = 640  # enough noise to tell from; from the corner, where the blocks of a JPEG begin


class RawCamera(msgspec.Struct, frozen=True):
    """What the values of a camera were computed from; `refused` says why they were not kept.

    `flat` is a grid of 9 by 9 shares of the brightest part of a field of `frame_px`, `fall` that of the darkest corner
    below it with its uncertainty, `steady_light` the mean light of frames in a row, `lag` the share of the frame
    before in each of them, `white` the levels of the brightest part, red, green, blue, under a lamp of `lamp_duty`.
    Gain and white balance are the camera's own.
    """

    settings: CameraSettings
    dark_levels: tuple[float, ...] = ()
    levels: tuple[Level, ...] = ()
    steady_light: tuple[float, ...] = ()
    response: ResponseFit | None = None
    flat: tuple[tuple[float, ...], ...] = ()
    fall: tuple[float, float] | None = None
    frame_px: tuple[int, int] | None = None
    white: tuple[float, float, float] | None = None
    lamp_duty: float | None = None
    processing: Processing | None = None
    lag: float | None = None
    refused: str | None = None


def camera_verdicts(seen: RawCamera) -> tuple[str, ...]:
    """What the camera was found to do, and what it costs, a sentence each.

    The costs are mean errors of `difference-20x` on drawn tissue, 0.08 um without faults
    (python -m tests.bench.camera costs).
    """
    response, told = seen.response, _of_processing(seen.processing)
    if seen.lag is not None and seen.lag >= LAGS_FROM:
        told.append(
            f"noise reduction over time: each picture keeps {100.0 * seen.lag:.0f} % of the frame before. Switch it "
            "off: a picture taken after a move shows a trace of what the camera saw on the way"
        )
    if response is not None and response.is_linear:
        told.append(f"response: linear (gamma {response.gamma:.2f})")
    elif response is not None:
        told.append(f"response: gamma {response.gamma:.2f}, which is undone from now on")
    if response is not None and response.saturation_light is not None:
        told.append(f"saturation: from a lamp of {100.0 * response.saturation_light:.0f} % on")
    if seen.fall is not None and seen.fall[1] > MAX_FALL_UNCERTAINTY:
        told.append(
            "flat field: not told, its nine places differ too much. Choose a place with little tissue: "
            "scan.origin_x_um, scan.origin_y_um"
        )
    return tuple(told)


def _of_processing(found: Processing | None) -> list[str]:
    if found is None or not found.is_told:
        return ["processing: not told, its noise is less than the steps of 8 bits"]
    kinds = (
        (
            found.is_compressed,
            "its pictures are compressed (JPEG). Predictions err by 0.14 um instead of 0.08 um. Choose another mode",
        ),
        (
            found.is_demosaiced,
            "colours are interpolated from a filter array; predictions err by 0.10 um instead of 0.08 um",
        ),
        (found.is_sharpened, "it sharpens. Predictions do not suffer, but switch it off"),
        (found.is_smoothed, "it weakens fine detail. Switch its noise reduction off"),
    )
    told = [f"processing: {words}" for is_found, words in kinds if is_found]
    return told or ["processing: it leaves its pictures alone"]


class CameraCalibration:
    """Measures the camera about the configured origin, out of focus."""

    def __init__(
        self, instrument: Instrument, config: Config, store: Store, stamp: Stamp, step: Step
    ) -> None:
        """Nothing moves. Raises CalibError for a store that could not take the result."""
        self._instrument, self._config, self._step = instrument, config, step
        self._camera = raw_camera(instrument.camera)
        self._keeper = Keeper(store, stamp)
        self.images = 0
        self._forgets_s = 0.0  # until a camera that mixes frames shows another light
        self.seen = RawCamera(self._settings())

    def run(self) -> Iterator[KeptValue]:
        """Home if the instrument may, and measure. All results are kept together, at the end.

        Raises CalibPoor where the measurement is refused; the earlier values stay. BoardError, CameraFailed.
        """
        before = self._settings()
        try:
            found = self._measured()
        except CalibPoor as error:
            self._expose(before.exposure_s)
            raw = msgspec.structs.replace(self.seen, refused=str(error))
            raise self._keeper.poor(error, "the camera", "camera", raw) from error
        in_use = {"camera_exposure_s": before.exposure_s, "camera_gain": before.gain}
        file = self._keeper.keep(found, METHOD, "camera", self.seen)
        for one in found:
            yield KeptValue(one.name, one.value, one.uncertainty, in_use.get(one.name), file)

    def _measured(self) -> tuple[Found, ...]:
        instrument, scan = self._instrument, self._config.scan
        instrument.home_if_allowed()
        focus = self._config.focus
        below_um = depth_scale(focus.objective) * BELOW_UM
        z_um = max(focus.first_sweep_start_um - below_um, instrument.board.z.limits_um[0])
        with instrument.lit(scan.lamp_duty):
            instrument.board.z.move_to(z_um)
            places = self._exposed()
            self._see(settings=self._settings(), white=_white(places), lamp_duty=scan.lamp_duty)
            self._step("nine places")
            processing, lag = self._noise()
            response = self._response()
            table = light_table(response)
            flat, fall, fall_uncertainty = flat_field(
                [table[picture].mean(axis=2) for picture in places],
                [(PLACE_SHARE * column, PLACE_SHARE * row) for column, row in PLACES],
            )
            height_px, width_px = places[0].shape[:2]
            grid = tuple(map(tuple, flat.tolist()))
            self._see(flat=grid, fall=(fall, fall_uncertainty), frame_px=(width_px, height_px))
            means = [float(table[self._picture()].mean()) for _ in range(N_STEADY)]
            flicker, flicker_uncertainty = flicker_of(means)
            self._see(steady_light=tuple(means))
            self._step("frames in a row")
        found = [
            Found("camera_flicker_share", flicker, flicker_uncertainty),
            # Counted over ten thousands of pixels: a few per cent is what different pictures make.
            Found("camera_fine_noise", processing.fine_noise, 0.05),
            Found("camera_mosaic", processing.mosaic, 0.05),
            Found("camera_blocks", processing.blocks, 0.05),
        ]
        if lag is not None:
            found.append(Found("camera_lag_share", lag, LAG_UNCERTAINTY))
        if fall_uncertainty <= MAX_FALL_UNCERTAINTY:
            found.append(Found("camera_falloff_share", max(0.0, fall), fall_uncertainty))
        if response is not None:
            found.append(Found("camera_dark_level", max(0.0, response.dark_level), response.dark_uncertainty))
            found.append(Found("camera_gamma", response.gamma, response.gamma_uncertainty))
        settings = self.seen.settings
        read_back = {
            "camera_exposure_s": settings.exposure_s,
            "camera_gain": settings.gain,
            "camera_white_balance": settings.white_balance,
        }
        found += [Found(name, value, 0.0) for name, value in read_back.items() if value is not None]
        return tuple(found)

    def _exposed(self) -> list[UInt8Array]:
        """Pictures of nine places, under an exposure that fits them. Raises CalibPoor where there is none."""
        bright = 0.0
        for _ in range(MAX_TRIES):
            places, bright = [], 0.0
            for column, row in PLACES:
                picture = self._at(column, row)
                places.append(picture)
                bright = max(bright, float(np.percentile(picture, BRIGHT_PERCENTILE)))
            if max(float(picture.mean()) for picture in places) < MIN_MEAN_LEVEL:
                raise CalibPoor("the pictures are black: check the lamp, the slide and camera.exposure_s.")
            if BRIGHT_LEVELS[0] <= bright <= BRIGHT_LEVELS[1]:
                return places
            exposure_s = self._settings().exposure_s
            if exposure_s is None or not isinstance(self._camera, Adjustable):
                raise CalibPoor(
                    f"brightest parts have a level of {bright:.0f}, {BRIGHT_LEVELS[0]:.0f} to {BRIGHT_LEVELS[1]:.0f} "
                    "are needed, and the exposure of this camera cannot be set. Change scan.lamp_duty."
                )
            # A clipped picture does not say how much too bright it is.
            factor = 0.5 if bright > BRIGHT_LEVELS[1] else TARGET_LEVEL / max(bright, 10.0)
            self._expose(min(exposure_s * factor, self._config.camera.frame_period_s))
        raise CalibPoor(
            f"no exposure of the camera gives the brightest parts a level of {BRIGHT_LEVELS[0]:.0f} to "
            f"{BRIGHT_LEVELS[1]:.0f}: they have {bright:.0f}. Change scan.lamp_duty."
        )

    def _noise(self) -> tuple[Processing, float | None]:
        """What the noise of frames in a row tells, and the share of the frame before in each of them."""
        noisy, taken_s = [], []
        for _ in range(N_NOISE):
            frame = self._frame()
            noisy.append(_corner(frame.pixels).astype(np.float64))
            taken_s.append(frame.exposure_start_s)
        period_s = self._config.camera.frame_period_s
        processing, lag = processing_of(noisy), lag_of(noisy, round(np.median(np.diff(taken_s)) / period_s))
        self._see(processing=processing, lag=lag)
        if lag is not None and lag >= LAGS_FROM:
            self._forgets_s = period_s * math.log(FORGOTTEN_SHARE) / math.log(min(lag, MOST_LAG))
        return processing, lag

    def _response(self) -> ResponseFit | None:
        """The response curve; None on a board without a lamp, where nothing changes the light."""
        board, duty = self._instrument.board, self._config.scan.lamp_duty
        if not board.capabilities.has_lamp:
            self._step("no lamp: no response curve")
            return None
        dark = tuple(float(picture.mean()) for picture in (self._under(0.0) for _ in range(N_DARK)))
        levels = []
        for light in (share * duty for share in LIGHTS if share * duty <= 1.0):
            pictures = [self._under(light) for _ in range(N_PER_LIGHT)]
            clipped = float(np.mean([(picture >= SATURATED_LEVEL).mean() for picture in pictures]))
            levels.append(Level(light, float(np.mean([picture.mean() for picture in pictures])), clipped))
        self._under(duty)
        self._see(dark_levels=dark, levels=tuple(levels))
        response = fit_response(dark, levels)
        self._see(response=response)
        self._step("response curve")
        return response

    def _at(self, column: int, row: int) -> UInt8Array:
        scan = self._config.scan
        away_um = [PLACE_SHARE * side_um for side_um in self._config.camera.field_um]
        self._instrument.go_to(scan.origin_x_um + column * away_um[0], scan.origin_y_um + row * away_um[1])
        return self._picture()

    def _under(self, duty: float) -> UInt8Array:
        self._instrument.board.lamp(duty)
        self._instrument.clock.sleep_s(LAMP_S + self._forgets_s)
        return self._picture()

    def _picture(self) -> UInt8Array:
        return self._frame().pixels

    def _frame(self) -> Frame:
        self.images += 1
        return frame_after(self._camera, self._instrument.clock.now_s())

    def _settings(self) -> CameraSettings:
        return self._camera.settings() if isinstance(self._camera, Adjustable) else CameraSettings()

    def _expose(self, exposure_s: float | None) -> None:
        if exposure_s is not None and isinstance(self._camera, Adjustable):
            self._camera.set_exposure(exposure_s)

    def _see(self, **seen: object) -> None:
        self.seen = msgspec.structs.replace(self.seen, **seen)


def _white(places: list[UInt8Array]) -> tuple[float, float, float]:
    """Levels of the brightest part of the brightest place, red, green, blue."""
    brightest = max(places, key=lambda picture: float(np.percentile(picture, BRIGHT_PERCENTILE)))
    red, green, blue = (float(one) for one in np.percentile(brightest, BRIGHT_PERCENTILE, axis=(0, 1)))
    return red, green, blue


def _corner(pixels: UInt8Array) -> UInt8Array:
    corner: UInt8Array = pixels[:CORNER_PX, :CORNER_PX].copy()
    return corner
