"""How the camera lay on the stage by the tiles themselves, where that is not as the scan was told."""

from collections.abc import Callable, Sequence

import numpy as np

from parfocal.calib.camera.seen_view import SeenStep, contradiction, seen_view
from parfocal.calib.camera.view import View
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.stitch.layout import StagePlace, neighbours, px_from_um
from parfocal.edge.stitch.wide import wide_look

N_PAIRS = 24  # of neighbours, evenly over the scan


def view_by_tiles(
    places: Sequence[StagePlace], load: Callable[[int], UInt8Array], told: View
) -> tuple[View, str | None]:
    """The view that explains how neighbours lie on each other, and how it contradicts `told`, in words.

    `told` itself and None where they agree, or too few pictures tell. `load` gives tile k, RGB uint8 (h, w, 3).
    """
    pairs = list(neighbours(places))
    chosen = sorted({round(k) for k in np.linspace(0, len(pairs) - 1, N_PAIRS)}) if pairs else []
    matrix, steps = px_from_um(told), list[SeenStep]()
    for first, second in (pairs[k] for k in chosen):
        one, other = places[first], places[second]
        move_um = other.x_um - one.x_um, other.y_um - one.y_um
        expected = matrix @ move_um
        seen_at = wide_look(load(first), load(second), (float(expected[0]), float(expected[1]))).offset_px
        if seen_at is not None:
            steps.append(SeenStep(move_um, seen_at))
    seen = seen_view(steps, told)
    why = None if seen is None else contradiction(seen, told)
    return (told, None) if seen is None or why is None else (seen.view, why)
