"""What an objective resolves: its depth of field, which every distance of the focus loop is measured by, and detail."""

import functools

GREEN_UM = 0.54  # wavelength; the middle of a brightfield picture
BLUE_UM = 0.45  # the peak of a white LED, and the shortest wavelength in its light
OIL_INDEX = 1.515
REFERENCE_DEPTH_UM = GREEN_UM / 0.75**2  # of 20x/0.75


def depth_of_field_um(objective: str) -> float:
    """Depth of field of `objective`, "20x/0.75", um: n lambda / NA^2, 0.96 um for it.

    An aperture of 1 or more needs oil between slide and objective. Raises ValueError if the name has no aperture.
    """
    aperture = _aperture_of(objective)
    return (OIL_INDEX if aperture >= 1.0 else 1.0) * GREEN_UM / aperture**2


@functools.lru_cache
def depth_scale(objective: str) -> float:
    """Depth of field of `objective` over that of 20x/0.75, 6.25 for "10x/0.3".

    Constants of the focus loop and of scans were measured through 20x/0.75, and are given in um for it. Through another
    objective what depends on defocus is so many times as long. Raises ValueError if the name has no aperture.
    """
    return depth_of_field_um(objective) / REFERENCE_DEPTH_UM


def finest_um(objective: str) -> float:
    """The finest period that `objective` shows in any light, um: lambda / (2 NA), 0.30 um for "20x/0.75".

    For a condenser of the same aperture, and finer than with any smaller one. Raises ValueError if the name has no
    aperture.
    """
    return BLUE_UM / (2.0 * _aperture_of(objective))


def _aperture_of(objective: str) -> float:
    try:
        aperture = float(objective.rsplit("/", 1)[1])
    except (IndexError, ValueError):
        aperture = 0.0
    if not 0.0 < aperture < OIL_INDEX:
        raise ValueError(
            f"objective {objective!r} has no numerical aperture: write magnification and aperture, as in 20x/0.75"
        )
    return aperture
