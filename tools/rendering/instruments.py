"""Random instruments for a training: the objective within its tolerance, and foreign ones."""

from dataclasses import dataclass, replace

import numpy as np

from parfocal.edge.simscope.optics import Optics

Rng = np.random.Generator

# Aperture of the condenser over that of the objective. The head takes it as an input.
CONDENSERS = (0.25, 0.95)
REFERENCE_CONDENSER, REFERENCE_TOLERANCE = 0.6, 0.03
REFERENCE_SHARE = 0.4  # of the settings


@dataclass(frozen=True)
class Spread:
    """Shares of the settings that differ from the objective by more than its tolerance.

    Attributes:
        aperture: another numerical aperture, within 7 %.
        sampling: another size of a pixel, within 15 %.
        aberration: spherical aberration of any sign.
        colours: colours that focus at the same height, or mirrored.
        nominal: nothing differs but the condenser, and the rest by far less than the tolerance.
    """

    aperture: float = 0.15
    sampling: float = 0.15
    aberration: float = 0.15
    colours: float = 0.1
    nominal: float = 0.0


# The direction of a single shot comes from the colours and the aberration, so they rarely differ.
TWO_SHOT = Spread(colours=0.15)
# It depends on the very objective as well, so half of the settings are close to the one that the model is for.
SINGLE_SHOT = Spread(aberration=0.06, colours=0.03, nominal=0.5)
NOMINAL_COLOURS, NOMINAL_W040_WAVES, NOMINAL_NA, NOMINAL_SAMPLING = 0.03, 0.01, 0.005, 0.002
ODD_KEPT_ONE_IN = 5  # frames of instruments without that direction from which a single shot learns


def random_instrument(reference: Optics, rng: Rng, spread: Spread = TWO_SHOT) -> Optics:
    """Return a setting of the objective, with aberrations varied by about 30 %; some are foreign."""
    if spread.nominal and rng.random() < spread.nominal:
        return _nominal(reference, rng)
    red, green, blue = reference.chromatic_shift_um
    size_um = (red - blue) / 2.0
    shift_um = (
        red * float(rng.uniform(0.7, 1.3)),
        green + 0.15 * size_um * float(rng.standard_normal()),
        blue * float(rng.uniform(0.7, 1.3)),
    )
    if rng.random() < spread.colours:
        share = float(rng.uniform(-1.0, 0.5))
        shift_um = (share * shift_um[0], shift_um[1], share * shift_um[2])
    w040 = float(np.clip(reference.w040_waves + 0.05 * rng.standard_normal(), 0.05, 0.25))
    if rng.random() < spread.aberration:
        w040 = float(rng.uniform(-0.2, 0.35))
    na = reference.na * float(rng.uniform(0.97, 1.0))
    if rng.random() < spread.aperture:
        na = reference.na * float(rng.uniform(0.93, 1.07))
    um_per_px = reference.um_per_px * float(1.0 + 0.01 * np.clip(rng.standard_normal(), -2.0, 2.0))
    if rng.random() < spread.sampling:
        um_per_px = reference.um_per_px * float(rng.uniform(0.86, 1.17))
    return replace(
        reference,
        na=na,
        condenser_sigma=_random_condenser(rng),
        chromatic_shift_um=shift_um,
        w040_waves=w040,
        um_per_px=um_per_px,
    )


def usual_instrument(reference: Optics, rng: Rng) -> Optics:
    """Return the objective itself with the condenser that it is used with."""
    return replace(_nominal(reference, rng), condenser_sigma=_reference_condenser(rng))


def _nominal(reference: Optics, rng: Rng) -> Optics:
    """Return the objective itself with any condenser."""
    colours = 1.0 + NOMINAL_COLOURS * float(rng.uniform(-1.0, 1.0))
    red, green, blue = reference.chromatic_shift_um
    return replace(
        reference,
        na=reference.na * (1.0 + NOMINAL_NA * float(rng.uniform(-1.0, 1.0))),
        condenser_sigma=_random_condenser(rng),
        chromatic_shift_um=(red * colours, green, blue * colours),
        w040_waves=reference.w040_waves + NOMINAL_W040_WAVES * float(rng.standard_normal()),
        um_per_px=reference.um_per_px * (1.0 + NOMINAL_SAMPLING * float(rng.uniform(-1.0, 1.0))),
    )


def _random_condenser(rng: Rng) -> float:
    """Return the aperture of a condenser: the reference within its tolerance, or any."""
    return _reference_condenser(rng) if rng.random() < REFERENCE_SHARE else float(rng.uniform(*CONDENSERS))


def _reference_condenser(rng: Rng) -> float:
    return REFERENCE_CONDENSER + REFERENCE_TOLERANCE * float(rng.uniform(-1.0, 1.0))


def is_odd(optics: Optics, reference: Optics) -> bool:
    """Whether an instrument lacks what tells the direction in a single shot: colours and aberration as usual."""
    (red_um, _, blue_um), (usual_red_um, _, usual_blue_um) = (
        o.chromatic_shift_um for o in (optics, reference)
    )
    return red_um - blue_um < 0.5 * (usual_red_um - usual_blue_um) or optics.w040_waves < 0.0
