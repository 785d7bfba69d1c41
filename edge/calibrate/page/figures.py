"""The figures of a calibration report, from the raw data that a measurement left beside the store."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from parfocal.edge.calibrate.page.svg import Series, plot, shaded

N_CURVES = 8  # the focus curves from which the play of Z is taken; those before find the focus

Raw = dict[str, Any]


def figures_of(name: str, raw: Raw) -> list[str]:
    """Plots of the raw data behind the value `name`, as `<svg>` elements; none where nothing is known about it."""
    if name.startswith("lens_"):
        return _of_lens(raw)
    if name.endswith("play_um"):
        return _of_curves(raw) if name.startswith("z") else _of_stairs(name, raw)
    if name.endswith("um_per_step"):
        return _of_chains(name[0], raw)
    if name.endswith("settle_s"):
        return [_of_swings(raw)]
    if name.endswith("home_um"):
        return [_of_homes(raw)]
    if name.endswith("speed_um_per_s"):
        return [_of_rates(name[0], raw)]
    return _BY_NAME[name](raw) if name in _BY_NAME else []


def _of_lens(raw: Raw) -> list[str]:
    fit, planes = raw["fit"], raw["planes"]
    fitted = Series(tuple(zip(fit["currents_ma"], fit["heights_um"], strict=True)), "upwards", colour=1)
    left = tuple((one["current_ma"], um) for one, um in zip(planes, fit["residuals_um"], strict=True))
    settling = {"axis": "lens", "swings": raw.get("swings"), "fit": raw.get("settle")}
    return [
        plot("lens: what a current does", "current, mA", "height, um", [fitted]),
        plot("lens: focal planes less the curve", "current, mA", "um", [Series(left, "", "dots")]),
        *([_of_swings(settling)] if settling["swings"] else []),
    ]


def _of_flashes(raw: Raw) -> list[str]:
    delays_ms = [1e3 * delay_s for delay_s in raw["delays_s"]]
    bands = list(zip(*raw["levels"], strict=True))
    series = [
        Series(tuple(zip(delays_ms, bands[band], strict=True)), name, colour=number)
        for number, (band, name) in enumerate(((0, "top of the picture"), (-1, "bottom")))
    ]
    return [plot("trigger: flashes in the exposure", "flash after trigger, ms", "grey level", series)]


def _of_curves(raw: Raw) -> list[str]:
    curves = raw["seen"][-N_CURVES:]
    series = []
    for number, curve in enumerate(curves):
        is_up = curve["direction"] == "up"
        top = max(curve["sharpness"]) or 1.0
        points = tuple(zip(curve["z_um"], (value / top for value in curve["sharpness"]), strict=True))
        label = curve["direction"] if number < 2 else ""
        series.append(Series(points, label, colour=0 if is_up else 1))
    return [plot("Z: focus curves", "commanded height, um", "sharpness", series)]


def _of_stairs(name: str, raw: Raw) -> list[str]:
    series = []
    for number, run in enumerate(raw["seen"]):
        lengths = np.hypot(*np.array(run["shifts_px"]).T)
        label = ("down" if run["step_um"] < 0 else "up") if number < 2 else ""
        points = tuple((float(k), float(px)) for k, px in enumerate(lengths, start=1))
        series.append(Series(points, label, colour=1 if run["step_um"] < 0 else 0))
    return [plot(f"{name[0].upper()}: moves after a reversal", "move", "shift, px", series)]


def _of_chains(axis: str, raw: Raw) -> list[str]:
    series = []
    for number, chain in enumerate(raw["chains"][axis]):
        lengths = np.hypot(*np.array(chain["shifts_px"]).T)
        points = tuple((float(k), float(px - lengths.mean())) for k, px in enumerate(lengths, start=1))
        series.append(Series(points, "", colour=number))
    return [plot(f"{axis.upper()}: equal moves, residual", "move", "shift less its mean, px", series)]


def _of_rates(axis: str, raw: Raw) -> str:
    """Trials in their order; a refused one lost nothing."""
    series = []
    for label, has_held, colour in (("held", True, 0), ("lost steps, or refused", False, 1)):
        points = tuple(
            (float(k), 100.0 * one["share"])
            for k, one in enumerate(raw["trials"], start=1)
            if one["has_held"] is has_held
        )
        series.append(Series(points, label, "dots", colour=colour))
    return plot(f"{axis.upper()}: speed and acceleration tried", "trial", "% of configured", series)


def _of_swings(raw: Raw) -> str:
    seen = tuple(
        (since_s * 1000.0, away_um)
        for swing in raw["swings"]
        for since_s, away_um in zip(swing["since_s"], swing["away_um"], strict=True)
    )
    series = [Series(seen, "frames", "dots")]
    fit = raw.get("fit") or {}
    if fit.get("tau_s"):
        times_s = np.linspace(0.0, max(ms for ms, _ in seen) / 1000.0, 80)
        envelope = fit["amplitude_um"] * np.exp(-times_s / fit["tau_s"])
        for sign, name in ((1.0, "fitted decay"), (-1.0, "")):
            points = tuple(
                (float(s) * 1000.0, float(sign * um)) for s, um in zip(times_s, envelope, strict=True)
            )
            series.append(Series(points, name, colour=1))
    if fit:
        last_ms = max(ms for ms, _ in seen)
        limit_um = fit["limit_um"]
        series += [
            Series(((0.0, sign * limit_um), (last_ms, sign * limit_um)), name, colour=2)
            for sign, name in ((1.0, "at rest within"), (-1.0, ""))
        ]
    if raw["axis"] == "lens":
        return plot("lens: after a change", "after the change of the current, ms", "away, um", series)
    return plot(f"{raw['axis'].upper()}: after a move", "after the last step, ms", "away, um", series)


def _of_homes(raw: Raw) -> str:
    series = [
        Series(
            tuple((float(k), float(place[axis])) for k, place in enumerate(raw["positions_um"], start=1)),
            name,
            colour=axis,
        )
        for axis, name in enumerate("xyz")
    ]
    return plot("after homing", "homing", "away from the mean, um", series)


def _of_optics(raw: Raw, title: str) -> list[str]:
    stacks = raw["stacks"]
    if not stacks:
        return []
    curves = []
    for number, one in enumerate(stacks):
        top = max(one["sharpness"]) or 1.0
        points = tuple(zip(one["z_um"], (value / top for value in one["sharpness"]), strict=True))
        curves.append(Series(points, "", colour=number))
    seen = []
    for key, label, colour in (("shipped_um", "as shipped", 1), ("corrected_um", "corrected", 0)):
        points = tuple(
            (true_um, said_um - true_um)
            for one in stacks
            for true_um, said_um in zip(one["true_um"], one[key], strict=True)
        )
        seen.append(Series(points, label, "dots", colour))
    return [
        plot("optics: focus curves of the stacks", "height, um", "sharpness", curves),
        plot(title, "distance to the sharpest plane, um", "error, um", seen),
    ]


def _of_loop(raw: Raw) -> list[str]:
    planes = raw["planes"]
    times_s, sharpest_um = [one["time_s"] for one in planes], [one["z_um"] for one in planes]
    ended = tuple(
        (float(k), one["z_um"] - float(np.interp(one["time_s"], times_s, sharpest_um)))
        for k, one in enumerate(raw["approaches"], start=1)
        if one["outcome"] == "focused"
    )
    errors = tuple((one["distance_um"], one["error_um"]) for one in raw["judged"])
    return [
        plot("loop: where it ended", "approach", "above the sharpest plane, um", [Series(ended, "", "dots")]),
        plot("loop: error of the model", "distance to the sharpest plane, um", "error, um", [Series(errors)]),
    ]


def _of_camera(raw: Raw) -> list[str]:
    figures = []
    response = raw.get("response")
    if response:
        seen = tuple((100.0 * one["light"], one["level"]) for one in raw["levels"])
        lights = np.linspace(0.0, max(light for light, _ in seen) / 100.0, 60)
        levels = response["offset_level"] + response["scale"] * lights ** response["gamma"]
        fitted = tuple(
            (float(100.0 * light), float(min(level, 255.0)))
            for light, level in zip(lights, levels, strict=True)
        )
        curves = [Series(fitted, "fitted", colour=1), Series(seen, "measured", "dots")]
        figures.append(plot("camera: response", "lamp, %", "level of 255", curves))
        left = tuple(
            (
                light,
                level - response["offset_level"] - response["scale"] * (light / 100.0) ** response["gamma"],
            )
            for light, level in seen
            if response["saturation_light"] is None or light / 100.0 < response["saturation_light"]
        )
        figures.append(plot("camera: residual", "lamp, %", "level less fitted", [Series(left, "", "dots")]))
    steady = raw.get("steady_light") or []
    if steady:
        mean = math.fsum(steady) / len(steady)
        points = tuple((float(k), 100.0 * (one / mean - 1.0)) for k, one in enumerate(steady, start=1))
        figures.append(plot("camera: frames in a row", "frame", "light less its mean, %", [Series(points)]))
    if raw.get("flat"):
        figures.append(shaded("camera: light over the field, % of the brightest part", raw["flat"]))
    return figures


# The other values by their whole names.
_BY_NAME: dict[str, Callable[[Raw], list[str]]] = {
    "optics_error_um": lambda raw: _of_optics(raw, "optics: error of the model"),
    # The stacks are those of the two-shot model.
    "single_error_um": lambda raw: _of_optics(raw, "single shots: error of the model")[1:],
    "focus_repeatability_um": _of_loop,
    "camera_fine_noise": _of_camera,
    "trigger_delay_s": _of_flashes,
}
