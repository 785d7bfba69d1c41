"""`parfocal calibrate stage`: scale, camera angle, lost steps, settle times and homing, each kept as it is measured."""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from parfocal.board.config import AxisConfig
from parfocal.calib.errors import CalibPoor
from parfocal.calib.motion.fastest import SLOW_SHARE
from parfocal.calib.motion.scale import Chain, ScaleFit, fit_camera, fit_scale
from parfocal.calib.motion.swing import SettleFit, Swing
from parfocal.calib.store import Store
from parfocal.edge.calibrate.curves import Curves, Step
from parfocal.edge.calibrate.keeper import Found, Keeper, KeptValue, Stamp
from parfocal.edge.calibrate.motion import chains, fastest, returns, settling
from parfocal.edge.calibrate.motion.broken_off import if_broken_off
from parfocal.edge.calibrate.motion.chains import Chains
from parfocal.edge.calibrate.motion.fastest import Fastest, RawRates
from parfocal.edge.calibrate.motion.returns import Homes, Trips
from parfocal.edge.calibrate.motion.settling import Settling
from parfocal.edge.config import Config
from parfocal.edge.instrument import Instrument

N_STEPS = 2 + 2 + 2 * chains.N_CHAINS + 4 + returns.N_HOMES * 2
SideName = Literal["x", "y"]
SIDES: tuple[SideName, ...] = ("x", "y")


class RawScale(msgspec.Struct, frozen=True):
    """What scale and angle were computed from; `refused` says why they were not kept."""

    chains: dict[str, tuple[Chain, ...]]
    fits: tuple[ScaleFit, ...] = ()
    skew_deg: float | None = None
    refused: str | None = None


class RawSettle(msgspec.Struct, frozen=True):
    """What a settle time was computed from; `refused` says why it was not kept."""

    axis: str
    swings: tuple[Swing, ...]
    fit: SettleFit | None = None
    refused: str | None = None


class StageCalibration:
    """Measures the stage on the field at the configured origin."""

    def __init__(
        self,
        instrument: Instrument,
        config: Config,
        store: Store,
        stamp: Stamp,
        step: Step,
        tries_rates: bool = False,
    ) -> None:
        """Nothing moves. `tries_rates`: also find the fastest safe speed of X and Y, for which steps are lost.

        Raises CalibError for a store that could not take the result.
        """
        self._tries_rates = tries_rates
        self._instrument, self._config, self._step = instrument, config, step
        self._keeper = Keeper(store, stamp)
        self.images = 0
        self.trips: list[Trips] = []

    def run(self) -> Iterator[KeptValue]:
        """Home if the instrument may, turn the lamp on, and measure. Each result is kept at once.

        Trips come first: a motor that loses steps has no scale.
        Raises CalibPoor where a measurement is refused; its earlier values stay. BoardError, CameraFailed.
        """
        in_use = {name: _rates_of(self._instrument.board.axes[name].config) for name in SIDES}
        configured = {name: _rates_of(self._config.board.axis(name)) for name in SIDES}
        if not self._tries_rates:
            yield from self._measured(configured)
            return
        # Nothing is known about the motors yet.
        self._use(configured, SLOW_SHARE)
        with if_broken_off(lambda: self._use(in_use, 1.0)):
            yield from self._measured(configured)

    def _measured(self, configured: Mapping[SideName, tuple[float, float]]) -> Iterator[KeptValue]:
        """Everything, in order. `configured`: speed and acceleration of X and Y, um."""
        instrument, scan = self._instrument, self._config.scan
        instrument.home_if_allowed()
        with instrument.lit(scan.lamp_duty):
            instrument.go_to(scan.origin_x_um, scan.origin_y_um)
            curves = Curves(instrument, self._config.focus, self._step)
            focus_um = curves.focus_um()
            curves.leave_at(focus_um)
            for name in SIDES:
                if self._tries_rates:
                    yield from self._rates(name, configured[name], curves, focus_um)
                else:
                    self._trips(name)
            yield from self._scale()
            if not self._tries_rates:
                yield from (self._settle(name, None, focus_um) for name in SIDES)
            yield self._settle("z", curves, focus_um)
            if instrument.board.capabilities.has_homing:
                yield from self._homes(curves, focus_um)
            self.images += curves.images

    def _use(self, rates: Mapping[SideName, tuple[float, float]], share: float) -> None:
        for name, (speed_um_per_s, accel_um_per_s2) in rates.items():
            self._instrument.board.axes[name].use_rates(share * speed_um_per_s, share * accel_um_per_s2)

    def _rates(
        self, name: SideName, configured: tuple[float, float], curves: Curves, focus_um: float
    ) -> Iterator[KeptValue]:
        """The fastest safe pair of an axis. Trips and settle time are measured with it before it is kept."""
        axis, stem = self._instrument.board.axes[name], f"{name}_rates"
        trying = Fastest(axis, self._instrument, configured, curves, self._step)
        try:
            fit = trying.measure(focus_um)
            axis.use_rates(fit.share * configured[0], fit.share * configured[1])
            self._trips(name)
        except CalibPoor as error:
            self._use({name: configured}, SLOW_SHARE)
            axis.home()
            raw = RawRates(name, *configured, tuple(trying.trials), refused=str(error))
            raise self._keeper.poor(error, "this speed", stem, raw) from error
        yield self._settle(name, None, focus_um)
        names = f"{name}_speed_um_per_s", f"{name}_accel_um_per_s2"
        found = tuple(
            Found(one, fit.share * was, fit.uncertainty * was)
            for one, was in zip(names, configured, strict=True)
        )
        file = self._keeper.keep(
            found, fastest.METHOD, stem, RawRates(name, *configured, tuple(trying.trials), fit)
        )
        for one, was in zip(found, configured, strict=True):
            yield KeptValue(one.name, one.value, one.uncertainty, was, file)

    def _trips(self, name: SideName) -> None:
        axis = self._instrument.board.axes[name]
        self.trips.append(returns.trips(axis, self._instrument, self._config.camera, self._step))

    def _scale(self) -> Iterator[KeptValue]:
        """Scale of X and Y and the angle of the camera, kept together: each is measured with the other."""
        taken: dict[str, tuple[Chain, ...]] = {}
        fits: list[ScaleFit] = []
        try:
            for name in SIDES:
                axis_chains = Chains(
                    self._instrument.board.axes[name], self._instrument, self._config.camera, self._step
                )
                try:
                    axis_chains.take()
                finally:
                    taken[name] = tuple(axis_chains.taken)
                    self.images += axis_chains.images
                fits.append(fit_scale(axis_chains.taken, axis_chains.expected()))
            camera = fit_camera(fits[0], fits[1])
        except CalibPoor as error:
            raw = RawScale(taken, tuple(fits), refused=str(error))
            raise self._keeper.poor(error, "scale and angle", "scale", raw) from error
        found = (
            Found("x_um_per_step", fits[0].um_per_step, fits[0].uncertainty),
            Found("y_um_per_step", fits[1].um_per_step, fits[1].uncertainty),
            Found("camera_angle_deg", camera.angle_deg, camera.uncertainty_deg),
            Found("camera_is_mirrored", float(camera.is_mirrored), 0.0),
        )
        yield from self._kept(found, chains.METHOD, "scale", RawScale(taken, tuple(fits), camera.skew_deg))

    def _settle(self, name: str, curves: Curves | None, focus_um: float) -> KeptValue:
        watching = Settling(
            self._instrument.board.axes[name], self._instrument, self._config.camera, self._step
        )
        stem = f"{name}_settle_s"
        try:
            config = self._config.focus
            fitted = watching.upwards(curves, focus_um, config) if curves else watching.sideways()
        except CalibPoor as error:
            raw = RawSettle(name, tuple(watching.taken), refused=str(error))
            raise self._keeper.poor(error, "this settle time", stem, raw) from error
        self.images += watching.images
        found = Found(stem, fitted.settle_s, fitted.uncertainty_s)
        raw = RawSettle(name, tuple(watching.taken), fitted)
        (kept,) = self._kept((found,), settling.METHOD, stem, raw)
        return kept

    def _homes(self, curves: Curves, focus_um: float) -> Iterator[KeptValue]:
        scan = self._config.scan
        place = scan.origin_x_um, scan.origin_y_um, focus_um
        try:
            seen: Homes = returns.homes(self._instrument, self._config.camera, curves, place, self._step)
        except CalibPoor as error:
            refused = {"refused": str(error)}
            raise self._keeper.poor(error, "the repeatability of homing", "home", refused) from error
        scatter_um = dict(zip(("x", "y", "z"), seen.scatter_um(), strict=True))
        errors_um = dict.fromkeys(scatter_um, returns.LOOK_ERROR_UM)
        errors_um["z"] *= curves.scale
        found = tuple(
            Found(f"{name}_home_um", um, seen.uncertainty_um(um, errors_um[name]))
            for name, um in scatter_um.items()
        )
        yield from self._kept(found, returns.HOMES_METHOD, "home", seen)

    def _kept(self, found: tuple[Found, ...], method: str, stem: str, raw: object) -> Iterator[KeptValue]:
        before = {one.name: self._before(one.name) for one in found}
        file = self._keeper.keep(found, method, stem, raw)
        for one in found:
            yield KeptValue(one.name, one.value, one.uncertainty, before[one.name], file)

    def _before(self, name: str) -> float | None:
        """What was in use under this name."""
        axis, _, key = name.partition("_")
        config = self._instrument.board.axes[axis].config if axis in self._instrument.board.axes else None
        if config is not None and key in config.__struct_fields__:
            return float(getattr(config, key))
        view = self._instrument.view
        return {"camera_angle_deg": view.angle_deg, "camera_is_mirrored": float(view.is_mirrored)}.get(name)


def _rates_of(config: AxisConfig) -> tuple[float, float]:
    return config.speed_um_per_s, config.accel_um_per_s2
