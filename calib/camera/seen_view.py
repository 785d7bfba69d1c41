"""How the camera lies on the stage by the pictures of a run, and whether that contradicts what is in use."""

import math
from collections.abc import Sequence

import msgspec

from parfocal.calib.camera.view import View

MIN_AGREEING = 4
MIN_AGREEING_SHARE = 2.0 / 3.0
# A stage repeats a step to 2 um, and a scale that is 2 % off is told apart from one that is right.
AGREE_UM, AGREE_SHARE = 3.0, 0.02
MIN_TURN_DEG, MIN_SCALE_SHARE = 1.0, 0.02
SIGMAS = 3.0


class SeenStep(msgspec.Struct, frozen=True):
    """A move of the stage (x, y), um, and where the second picture lies on the first, px right and down."""

    move_um: tuple[float, float]
    offset_px: tuple[float, float]


class SeenView(msgspec.Struct, frozen=True):
    """How the camera lies by `n_steps` steps that agree; `n_told` steps told anything.

    Angle and mirror as in `View`; a mirror is told only by steps along both axes, else it is that in use.
    """

    view: View
    angle_sigma_deg: float
    n_steps: int
    n_told: int


def seen_view(steps: Sequence[SeenStep], in_use: View) -> SeenView | None:
    """How the camera lies by the pictures of `steps`; None where too few of them agree."""
    best = max(
        (
            _agreeing(steps, in_use, is_mirrored)
            for is_mirrored in (in_use.is_mirrored, not in_use.is_mirrored)
        ),
        key=len,  # the first one, that in use, where both explain as much
    )
    if len(best) < max(MIN_AGREEING, MIN_AGREEING_SHARE * len(steps)):
        return None
    is_mirrored = best[0][2]
    first = best[0][0]
    turns = [_turn(angle, first) for angle, _, _ in best]
    angle = first + sum(turns) / len(turns)
    spread = math.sqrt(sum((first + turn - angle) ** 2 for turn in turns) / (len(turns) - 1))
    um_per_px = math.exp(sum(math.log(scale) for _, scale, _ in best) / len(best))
    return SeenView(
        View(um_per_px, _turn(angle, 0.0), is_mirrored), spread / math.sqrt(len(best)), len(best), len(steps)
    )


def contradiction(seen: SeenView, in_use: View) -> str | None:
    """How the pictures contradict the camera's place on the stage, in words; None if they do not."""
    found = seen.view
    by = f"by {seen.n_steps} of {seen.n_told} steps between neighbours"
    if found.is_mirrored != in_use.is_mirrored:
        now, before = ("mirrored", "not mirrored") if found.is_mirrored else ("not mirrored", "mirrored")
        return f"the picture is {now} {by}, and {before} is in use"
    turn = _turn(found.angle_deg, in_use.angle_deg)
    if abs(turn) > max(MIN_TURN_DEG, SIGMAS * seen.angle_sigma_deg):
        return (
            f"the camera is turned by {_degrees(found)} degrees against the stage {by}, and {_degrees(in_use)} degrees "
            "are in use"
        )
    share = found.um_per_px / in_use.um_per_px
    if abs(share - 1.0) > MIN_SCALE_SHARE:
        told = f"a pixel shows {found.um_per_px:.4f} um of the stage's way"
        return f"{told} {by}, and {in_use.um_per_px:.4f} um are in use"
    return None


def _degrees(view: View) -> str:
    return f"{round(view.angle_deg, 1) + 0.0:+.1f}"  # never -0.0


def _agreeing(steps: Sequence[SeenStep], in_use: View, is_mirrored: bool) -> list[tuple[float, float, bool]]:
    """Angle, um per px and mirror of each step that agrees with the one that most others agree with."""
    told = [(*_of(step, is_mirrored), is_mirrored, math.hypot(*step.move_um)) for step in steps]
    best: list[tuple[float, float, bool]] = []
    for angle, scale, _, _ in sorted(told, key=lambda one: abs(_turn(one[0], in_use.angle_deg))):
        like = [
            (other, its_scale, is_mirrored)
            for other, its_scale, _, length_um in told
            if math.hypot(math.radians(_turn(other, angle)), its_scale / scale - 1.0) * length_um
            < AGREE_UM + AGREE_SHARE * length_um
        ]
        if len(like) > len(best):
            best = like
    return best


def _of(step: SeenStep, is_mirrored: bool) -> tuple[float, float]:
    """The angle of the camera, degrees, and um per px, by one step."""
    x_um, y_um = step.move_um
    of_move = math.degrees(math.atan2(-y_um if is_mirrored else y_um, x_um))
    of_offset = math.degrees(math.atan2(step.offset_px[1], step.offset_px[0]))
    return _turn(of_offset, of_move), math.hypot(*step.move_um) / math.hypot(*step.offset_px)


def _turn(angle_deg: float, from_deg: float) -> float:
    """From one angle to the other the short way, -180..180 degrees."""
    return (angle_deg - from_deg + 180.0) % 360.0 - 180.0
