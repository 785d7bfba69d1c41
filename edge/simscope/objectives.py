"""The objectives that can be simulated."""

from dataclasses import replace

from parfocal.edge.errors import ConfigError
from parfocal.edge.simscope.optics import Optics

SIMULATED = {
    "20x/0.75": Optics(),
    # dastidar2020 4.2: a plan achromat. Its aberrations are not known; its colours shift in proportion to the depth of
    # field. It is looked through up to 35 um from the focus, hence more points of the source.
    "40x/0.65": Optics(na=0.65, chromatic_shift_um=(0.4, 0.0, -0.4), source_points=91),
    # liao2021 2.1. Its aberrations are not known either, and its colours shift in the same proportion.
    "10x/0.3": Optics(na=0.3, chromatic_shift_um=(1.9, 0.0, -1.9), um_per_px=0.69),
}


def simulated_optics(objective: str, um_per_px: float) -> Optics:
    """The optics of an objective, at a sampling. Raises ConfigError for an objective not in `SIMULATED`."""
    if objective not in SIMULATED:
        raise ConfigError(
            f"objective {objective!r} cannot be simulated, only {', '.join(SIMULATED)}: set focus.objective, or "
            "leave out --sim"
        )
    return replace(SIMULATED[objective], um_per_px=um_per_px)
