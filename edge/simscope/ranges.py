"""What a virtual microscope may be asked for, by the command line and by programs: lowest and highest values."""

from parfocal.edge.errors import ConfigError

SEEDS = (0, 2**31 - 1)  # fits any 32-bit generator
UM_PER_PX = (0.001, 100.0)
Z_PLAYS_UM = (0.0, 500.0)


def check_asked(seed: int, um_per_px: float | None, z_play_um: float | None) -> None:
    """Raises ConfigError naming the argument of `parfocal.simulated` that no virtual microscope has."""
    asked = (("seed", seed, SEEDS), ("um_per_px", um_per_px, UM_PER_PX), ("z_play_um", z_play_um, Z_PLAYS_UM))
    for name, value, (low, high) in asked:
        if value is not None and not low <= value <= high:  # nan is in no range
            raise ConfigError(f"{name} = {value}: it must be {low} to {high}. Give another {name}.")
    if seed != int(seed):
        raise ConfigError(f"seed = {seed}: it must be a whole number. Give another seed.")
