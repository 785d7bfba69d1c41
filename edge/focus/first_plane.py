"""The focus of a slide of which nothing is known yet: a coarse look, or a whole sweep (dastidar2020 4.3.1)."""

import math

import msgspec
import numpy as np

from parfocal.board.errors import MoveRefused
from parfocal.edge.focus.field_work import FieldWork
from parfocal.edge.focus.judging.rule import Reach
from parfocal.edge.focus.picture.sharpness import parabola_vertex, peak_um
from parfocal.edge.focus.search import is_static
from parfocal.edge.focus.shots import upward_um

# The first round of a coarse look takes one height in three. A field is left as empty if none of its shots reaches
# this share of `blank_contrast` or has a trace: 27 um out of focus, red cells keep a fifth of their contrast, tissue
# half.
EMPTY_SHARE = 0.5
ROUND = 3


class FirstSweep(msgspec.Struct, frozen=True):
    """A look for a slide's focus: where it may be, None if nothing was found; and the images it took."""

    pivot_um: float | None
    images: int


def check_first_sweep(work: FieldWork) -> None:
    """Refuse a first sweep that would leave the limits. Raises MoveRefused; nothing moves."""
    config, shots, (low_um, high_um) = work.config, work.shots, work.shots.limits_um
    lowest_um = config.first_sweep_start_um - config.z1_below_um
    if lowest_um < shots.lowest_um or config.first_sweep_stop_um > high_um:
        raise MoveRefused(
            f"sweep from z={config.first_sweep_start_um} to {config.first_sweep_stop_um} um refused: with "
            f"z0 {lowest_um - (shots.lowest_um - low_um):.1f} um the limit is {low_um}..{high_um} um; "
            "nothing moved. Change focus.first_sweep_start_um / first_sweep_stop_um or the limits of board.z."
        )


def coarse_heights_um(start_um: float, stop_um: float, reach: Reach) -> tuple[float, ...]:
    """The fewest evenly spaced heights of which one is within the model's reach of any focus in the range."""
    n_heights = math.ceil((stop_um - start_um) / (2.0 * reach.believed_um))
    width_um = (stop_um - start_um) / n_heights
    return tuple(start_um + (k + 0.5) * width_um for k in range(n_heights))


def coarse_look(work: FieldWork, reach: Reach) -> FirstSweep:
    """Find the height of most contrast among few, near enough to the focus for the model.

    Contrast, unlike sharpness, still changes far from the focus. An empty field is left after a third of the heights.
    Raises FocusLost for a picture that shows nothing.
    """
    config = work.config
    work.begin(config.first_sweep_start_um)
    heights_um = coarse_heights_um(config.first_sweep_start_um, config.first_sweep_stop_um, reach)
    contrasts: dict[float, float] = {}
    traces: dict[float, float] = {}
    highest, has_trace = 0.0, False
    for round_um in (heights_um[1::ROUND] or heights_um, heights_um):
        for z_um in round_um:
            if z_um not in contrasts:
                part = work.lit_shot(z_um).part
                contrasts[z_um], traces[z_um] = float(part.contrasts.mean()), part.trace
                highest, has_trace = max(highest, float(part.contrasts.max())), has_trace or part.has_trace
        is_empty = not has_trace or is_static(traces)
        if highest < EMPTY_SHARE * config.blank_contrast and is_empty:
            return FirstSweep(None, work.shots.images)
    return FirstSweep(_top_um(heights_um, [contrasts[z_um] for z_um in heights_um]), work.shots.images)


def whole_sweep(work: FieldWork) -> FirstSweep:
    """Find the sharpest height by an upward sweep from a low start. Raises FocusLost as `coarse_look`."""
    config = work.config
    work.begin(config.first_sweep_start_um)
    heights_um = upward_um(
        config.first_sweep_start_um, config.first_sweep_stop_um, config.first_sweep_step_um
    )
    swept = [work.lit_shot(z_um).seen for z_um in heights_um]
    pivot_um = peak_um([seen.z_um for seen in swept], [seen.sharpness for seen in swept])
    return FirstSweep(pivot_um, work.shots.images)


def _top_um(heights_um: tuple[float, ...], contrasts: list[float]) -> float:
    """The top of the curve: by a parabola through three points, or one of the ends."""
    top = int(np.argmax(contrasts))
    if top in (0, len(heights_um) - 1):
        return heights_um[top]
    return parabola_vertex(heights_um[top - 1 : top + 2], contrasts[top - 1 : top + 2])
