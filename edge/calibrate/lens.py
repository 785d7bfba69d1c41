"""`parfocal calibrate lens`: the focal plane at each current, found with the Z motor (liao2021 appendix D)."""

import msgspec
import numpy as np

from parfocal.board.lens import Lens
from parfocal.board.tunable.lens_motor import UNMEASURED_SETTLE_S
from parfocal.calib.errors import CalibPoor
from parfocal.calib.lens.curve import FocalPlane, LensFit, fit_lens
from parfocal.calib.lens.table import LensTable
from parfocal.calib.motion.play import peak_of
from parfocal.calib.motion.swing import SettleFit, Swing
from parfocal.calib.store import Store
from parfocal.edge.calibrate.curves import Curves, Step
from parfocal.edge.calibrate.keeper import Found, Keeper, KeptValue, Stamp
from parfocal.edge.calibrate.lens_settling import CHANGE_UM, LensSettling
from parfocal.edge.config import Config
from parfocal.edge.focus.picture.sharpness import brenner_gradient
from parfocal.edge.instrument import Instrument

METHOD = "focal plane by Brenner gradient at rising and falling currents, twice each"
STEM = "lens"
N_SWEEPS = 4  # up, down, up, down
# All um are those of 20x/0.75, and as many depths of field through another objective: the lens does about as many, and
# an objective that sees deeper is farther from its sample.
REACH_UM, STEP_UM = 5.0, 0.625
# Where the focal plane is not within reach of its guess: a wider look. The lens may be steeper than its neighbours say.
WIDE_REACH_UM, WIDE_STEP_UM = 30.0, 2.5
# The stage never goes farther than this above the focus without current.
HIGHEST_UM = 150.0
# A sweep begins this far beyond its first current, so that the lens stands on the flank that it is measured on.
RUN_UP_MA = 20.0


class RawLens(msgspec.Struct, frozen=True):
    """What the curve was computed from; `refused` says why it was not kept.

    `temperatures_c`: before and after, empty for a lens without a sensor. `swings`: after changes of the current.
    """

    lens: str
    planes: tuple[FocalPlane, ...]
    temperatures_c: tuple[float, ...] = ()
    swings: tuple[Swing, ...] = ()
    fit: LensFit | None = None
    settle: SettleFit | None = None
    refused: str | None = None


class LensCalibration:
    """Measures the lens on the field at the configured origin."""

    def __init__(
        self, instrument: Instrument, lens: Lens, config: Config, store: Store, stamp: Stamp, step: Step
    ) -> None:
        """Nothing moves. Raises CalibError for a store that could not take the result.

        Raises ValueError for currents that the lens driver does not give.
        """
        low_ma, high_ma = lens.range_ma
        if config.lens.min_ma < low_ma or config.lens.max_ma > high_ma:
            raise ValueError(
                f"lens.min_ma = {config.lens.min_ma:g}, lens.max_ma = {config.lens.max_ma:g}: its driver gives "
                f"{low_ma:g}..{high_ma:g} mA"
            )
        self._instrument, self._lens, self._config, self._step = instrument, lens, config, step
        self._keeper = Keeper(store, stamp)
        self._curves = Curves(
            instrument, config.focus, lambda _words: None, lambda shot: brenner_gradient(shot.part.pixels)
        )
        self._focus_um = 0.0
        self._settle_s = UNMEASURED_SETTLE_S if config.lens.settle_s is None else config.lens.settle_s
        self._settling: LensSettling | None = None
        self._settled: SettleFit | None = None
        self._planes: list[FocalPlane] = []

    @property
    def images(self) -> int:
        """Shots taken so far."""
        return self._curves.images + (self._settling.images if self._settling else 0)

    def run(self) -> tuple[KeptValue, ...]:
        """Home if the instrument may, turn the lamp on, measure, and keep the curve; the lens has no current after it.

        Raises CalibPoor where it is refused; the earlier curve stays. BoardError, CameraFailed.
        """
        instrument, scan = self._instrument, self._config.scan
        instrument.home_if_allowed()
        temperatures_c: list[float] = []
        fitted: LensFit | None = None
        try:
            with instrument.lit(scan.lamp_duty):
                instrument.go_to(scan.origin_x_um, scan.origin_y_um)
                self._set(0.0)
                self._focus_um = self._curves.focus_um()
                self._step(f"focus at {self._focus_um:.1f} um")
                temperatures_c += self._temperature()
                self._sweep_all()
                temperatures_c += self._temperature()
                self._curves.leave_at(self._focus_um)
            fitted = fit_lens(self._planes, self._curves.scale)
        except CalibPoor as error:
            raw = self._raw(tuple(temperatures_c), None, str(error))
            raise self._keeper.poor(error, "the lens", STEM, raw) from error
        finally:
            self._lens(0.0)
        return self._kept(fitted, tuple(temperatures_c))

    def _sweep_all(self) -> None:
        """Go from no current to the lowest, then up and down."""
        currents_ma = currents_of(self._config)
        guess_um: dict[float, float] = {}
        before = [self._focus_um]
        for current_ma in [ma for ma in currents_ma[::-1] if ma < 0.0]:
            before.append(self._plane_um(current_ma, _next_um(before)))
            guess_um[current_ma] = before[-1]
            self._step(f"{current_ma:g} mA")
        self._settle((before[-1] - self._focus_um) / currents_ma[0] if currents_ma[0] < 0.0 else 0.0)
        for number in range(N_SWEEPS):
            is_rising = number % 2 == 0
            ordered = currents_ma if is_rising else currents_ma[::-1]
            self._set(self._beyond(ordered[0], is_rising))
            before = []
            for current_ma in ordered:
                near_um = guess_um.get(current_ma)
                z_um = self._plane_um(current_ma, _next_um(before) if near_um is None else near_um)
                before.append(z_um)
                guess_um[current_ma] = z_um
                now_s = self._instrument.clock.now_s()
                self._planes.append(FocalPlane(current_ma, z_um, is_rising, now_s))
                self._step(f"{current_ma:g} mA, focal plane at {z_um:.1f} um")

    def _settle(self, um_per_ma: float) -> None:
        """Measure how long the lens swings, and wait as long from now on. Nothing for a lens that does next to nothing.

        `um_per_ma`: its slope, about. Raises CalibPoor.
        """
        change_um = self._curves.scale * CHANGE_UM
        if abs(um_per_ma) * min(abs(one) for one in self._lens.range_ma) < change_um:
            return
        self._settling = LensSettling(self._instrument, self._lens, self._config.camera, um_per_ma)
        self._settled = self._settling.measure(self._curves, self._focus_um, self._config.focus)
        if self._config.lens.settle_s is None:
            self._settle_s = self._settled.settle_s + self._settled.uncertainty_s
        self._step(f"at rest after {self._settled.settle_s:.3f} s")

    def _plane_um(self, current_ma: float, near_um: float) -> float:
        """The focal plane at a current, near `near_um` if all is well. Raises CalibPoor."""
        self._set(current_ma)
        try:
            return self._peak_um(near_um, REACH_UM, STEP_UM)
        except CalibPoor:
            try:
                return self._peak_um(self._peak_um(near_um, WIDE_REACH_UM, WIDE_STEP_UM), REACH_UM, STEP_UM)
            except CalibPoor as error:
                raise CalibPoor(
                    f"no focal plane at {current_ma:g} mA within {self._curves.scale * WIDE_REACH_UM:.3g} um of "
                    f"{near_um:.1f} um. {error} "
                    "Or set lens.min_ma and lens.max_ma closer to 0, or lens.step_ma smaller."
                ) from error

    def _peak_um(self, middle_um: float, reach_um: float, step_um: float) -> float:
        scale = self._curves.scale
        highest_um = min(self._focus_um + scale * HIGHEST_UM, self._instrument.board.z.limits_um[1])
        if middle_um + scale * reach_um > highest_um:
            raise CalibPoor(
                f"the focal plane would lie at {middle_um:.1f} um; the stage goes to {highest_um:.1f} um at most."
            )
        return peak_of(self._curves.upward(self._curves.near(middle_um, reach_um, step_um))).z_um

    def _beyond(self, current_ma: float, is_rising: bool) -> float:
        low_ma, high_ma = self._lens.range_ma
        run_up_ma = -RUN_UP_MA if is_rising else RUN_UP_MA
        return min(max(current_ma + run_up_ma, low_ma), high_ma)

    def _set(self, current_ma: float) -> None:
        """Set a current and wait until the lens is at rest."""
        self._lens(current_ma)
        self._instrument.clock.sleep_s(self._settle_s)

    def _temperature(self) -> list[float]:
        temperature_c = self._lens.temperature_c()
        return [] if temperature_c is None else [temperature_c]

    def _kept(self, fitted: LensFit, temperatures_c: tuple[float, ...]) -> tuple[KeptValue, ...]:
        """Keep raw data, then curve and values together."""
        found = [
            Found("lens_error_um", fitted.residual_um, fitted.uncertainty_um),
            Found("lens_play_um", fitted.play_um, fitted.play_uncertainty_um),
            Found("lens_um_per_ma", fitted.um_per_ma, fitted.um_per_ma_uncertainty),
        ]
        if self._settled is not None:
            found.append(Found("lens_settle_s", self._settled.settle_s, self._settled.uncertainty_s))
        table = LensTable(self._lens.name, fitted.currents_ma, fitted.heights_um)
        raw = self._raw(temperatures_c, fitted, None)
        file = self._keeper.keep(tuple(found), METHOD, STEM, raw, {"lens": table})
        return tuple(KeptValue(one.name, one.value, one.uncertainty, None, file) for one in found)

    def _raw(self, temperatures_c: tuple[float, ...], fitted: LensFit | None, refused: str | None) -> RawLens:
        swings = tuple(self._settling.taken) if self._settling else ()
        return RawLens(
            self._lens.name, tuple(self._planes), temperatures_c, swings, fitted, self._settled, refused
        )


def currents_of(config: Config) -> list[float]:
    """The currents at which the lens is measured, ascending, mA; 0 is among them."""
    lens = config.lens
    below, above = int(-lens.min_ma / lens.step_ma + 1e-9), int(lens.max_ma / lens.step_ma + 1e-9)
    return [float(ma) for ma in np.arange(-below, above + 1) * lens.step_ma]


def n_steps(config: Config) -> int:
    """How many times `step` will be called."""
    currents_ma = currents_of(config)
    return 2 + sum(ma < 0.0 for ma in currents_ma) + N_SWEEPS * len(currents_ma)


def _next_um(before: list[float]) -> float:
    """Where the next focal plane lies, by the last two."""
    return before[-1] if len(before) < 2 else 2.0 * before[-1] - before[-2]
