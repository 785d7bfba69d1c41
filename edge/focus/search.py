"""A field that looks empty: is something in it that is far out of focus?

A few bacteria 20 um out of focus have less contrast than a field needs to be focused, and look like clean glass. But
they leave a trace (`CentralPart.trace`), which noise does not. Where there is one, a few shots follow it.
"""

from collections.abc import Mapping

from parfocal.edge.focus.field_work import FieldWork
from parfocal.edge.focus.judging.depth import depth_scale
from parfocal.edge.focus.picture.sharpness import parabola_vertex
from parfocal.edge.focus.shots import Shot

# A few bacteria show enough contrast from this far away, through 20x/0.75: shots twice as far apart would do.
STEP_UM = 12.0
# From one shot of a search to another, the trace of a specimen changes by more than this factor. What is on the camera
# stays the same.
STATIC = 1.25


def search(work: FieldWork, start: Shot) -> Shot | None:
    """The first shot about `start` that shows enough to be focused; None if the field is empty.

    `start` is the shot at the pivot, and blank. No shot is taken where it has no trace, and none farther away than
    `recovery_reach_um`.

    Raises:
        FocusLost: something is there, and no height shows enough of it. The stage is back at the pivot.
        BoardError, CameraFailed: as they come.
    """
    trace = start.part.trace
    if not leaves_trace(work, start):
        return None
    reach_um, (low_um, high_um) = work.config.recovery_reach_um, work.limits_um
    bounds_um = max(low_um, start.z_um - reach_um), min(high_um, start.z_um + reach_um)
    step_um = min(STEP_UM * depth_scale(work.config.objective), 0.5 * reach_um)
    traces = {start.z_um: trace}
    while (z_um := next_um(traces, step_um, bounds_um)) is not None:
        shot = work.lit_shot(z_um)
        if not shot.part.is_blank:
            return shot
        traces[shot.z_um] = shot.part.trace
        if is_static(traces):
            work.static_trace = max(work.static_trace, trace)
            return None
    strongest_um = max(traces, key=lambda one: traces[one])
    if min(traces) < strongest_um < max(traces):
        return None  # at its best, and still too little to judge focus by
    work.shots.approach(work.pivot_um)
    raise work.lost(
        f"no focus near z={work.pivot_um:.1f} um: something far out of focus shows faintly, most of it at "
        f"z={strongest_um:.1f} um, where the search ended; the stage is back at z={work.pivot_um:.1f} um. "
        "A larger focus.recovery_reach_um searches farther, within the limits of the axis."
    )


def leaves_trace(work: FieldWork, shot: Shot) -> bool:
    """Whether a blank picture shows a trace of more than what is on the camera."""
    return shot.part.has_trace and shot.part.trace > STATIC * work.static_trace


def next_um(traces: Mapping[float, float], step_um: float, bounds_um: tuple[float, float]) -> float | None:
    """Where a search goes on, by the traces at the heights so far: up, as that is quicker, then where they grow.

    Between three heights a step apart, the middle one the strongest, it ends with their vertex. None at its end.
    """
    low_um, high_um = bounds_um
    heights_um = sorted(traces)
    top = max(range(len(heights_um)), key=lambda k: traces[heights_um[k]])
    if top == len(heights_um) - 1 and heights_um[-1] + step_um <= high_um:
        return heights_um[-1] + step_um
    if top == 0 and heights_um[0] - step_um >= low_um:
        return heights_um[0] - step_um
    if top in (0, len(heights_um) - 1):
        return None
    about_um = heights_um[top - 1 : top + 2]
    if about_um[2] - about_um[0] < 1.5 * step_um:
        return None
    return parabola_vertex(about_um, [traces[z_um] for z_um in about_um])


def is_static(traces: Mapping[float, float]) -> bool:
    """Whether a trace is the same at three heights or more: on the camera, not on the slide."""
    return len(traces) >= 3 and max(traces.values()) <= STATIC * min(traces.values())
