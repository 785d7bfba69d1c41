"""The depth of field of an objective, which every distance of the focus loop is measured by."""

GREEN_UM = 0.54  # wavelength; the middle of a brightfield picture
OIL_INDEX = 1.515


def depth_of_field_um(objective: str) -> float:
    """Depth of field of `objective`, "20x/0.75", um: n lambda / NA^2, 0.96 um for it.

    An aperture of 1 or more needs oil between slide and objective. Raises ValueError if the name has no aperture.
    """
    try:
        aperture = float(objective.rsplit("/", 1)[1])
    except (IndexError, ValueError):
        aperture = 0.0
    if not 0.0 < aperture < OIL_INDEX:
        raise ValueError(
            f"objective {objective!r} has no numerical aperture: write magnification and aperture, as in 20x/0.75"
        )
    return (OIL_INDEX if aperture >= 1.0 else 1.0) * GREEN_UM / aperture**2
