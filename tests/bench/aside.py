"""What a first shot that lies aside does to the estimate of a pair.

`python -m tests.bench.aside` prints a table in Markdown: the mean change of the predicted distance, um, where the first
shot of a pair is shifted against the second along X, by how far the second shot stands above the focus. Slides are
those of `tests.bench.optics`, the model is the shipped one, all is simulated.
"""

import sys

import numpy as np

from parfocal.edge.focus.judging.estimate import estimate
from parfocal.edge.focus.shots import Shot
from parfocal.edge.simscope.optics import FloatArray
from tests.bench.optics import FOCUS, SEED, Foreign, opened, slides, with_frames

SHIFTS_PX = (0.25, 0.5, 1.0, 1.5, 3.0)
ABOVE_UM = (-6.0, -3.0, -1.0, 0.5, 1.5, 3.0, 6.0)
PLACES_UM = ((1200.0, 1400.0), (1650.0, 2100.0), (2450.0, 1750.0), (2900.0, 2600.0))
LEAST_CONTRAST = 10.0  # grey levels; nearly empty places scatter by themselves
SIDE_PX = 452


def shifted(pixels: FloatArray, shift_px: float) -> FloatArray:
    """A picture (h, w, 3) moved along X by a fraction of a pixel, without any blur."""
    phase = np.exp(-2j * np.pi * np.fft.rfftfreq(pixels.shape[1]) * shift_px)
    spectrum = np.fft.rfft(pixels, axis=1) * phase[None, :, None]
    moved: FloatArray = np.fft.irfft(spectrum, pixels.shape[1], axis=1).astype(np.float32)
    return moved


def main() -> int:
    """Print the table."""
    predictor = opened(FOCUS.model, "optics").predictor
    own, others = slides()
    changes: dict[tuple[float, float], list[float]] = {}
    for tissue in (own, *others.values()):
        foreign = Foreign("reference", tissue, SEED, with_frames(SIDE_PX))
        for x_um, y_um in PLACES_UM:
            for above_um in ABOVE_UM:
                first = foreign.shot(x_um, y_um, above_um - FOCUS.delta_um)
                second = Shot(above_um, foreign.shot(x_um, y_um, above_um), FOCUS)
                if second.part.contrasts.mean() < LEAST_CONTRAST:
                    continue
                found_um = []
                for shift_px in (0.0, *SHIFTS_PX):
                    aside = np.clip(np.rint(shifted(first.astype(np.float32), shift_px)), 0, 255)
                    shot = Shot(above_um - FOCUS.delta_um, aside.astype(np.uint8), FOCUS)
                    found_um.append(estimate(shot.part, second.part, predictor, FOCUS).distance_um)
                for shift_px, one_um in zip(SHIFTS_PX, found_um[1:], strict=True):
                    changes.setdefault((shift_px, above_um), []).append(one_um - found_um[0])
    print(f"| shift | {' | '.join(f'{um:+g} um' for um in ABOVE_UM)} |\n|{'---|' * (1 + len(ABOVE_UM))}")  # noqa: T201
    for shift_px in SHIFTS_PX:
        cells = (f"{float(np.mean(changes[shift_px, um])):+.2f}" for um in ABOVE_UM)
        print(f"| {shift_px:g} px | {' | '.join(cells)} |")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
