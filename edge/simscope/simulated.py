"""A simulated microscope for programs."""

from pathlib import Path

from parfocal.edge.config import Config, config_from
from parfocal.edge.engine import checked_engine
from parfocal.edge.microscope import Microscope
from parfocal.edge.simscope.bench import in_virtual_time, sample_from, stub_of


def simulated_microscope(
    *,
    seed: int = 1,
    slide: str | Path | None = None,
    um_per_px: float | None = None,
    z_play_um: float | None = None,
    config: Config | str | Path | None = None,
) -> Microscope:
    """A microscope that is not there: the stub motor board, simulated optics and a camera, in virtual time.

    It homes by itself, and knows the truth: results carry `error_um`.

    Args:
        seed: of the slide's surface, the mechanics and the noise.
        slide: an image (then `um_per_px` says what one of its pixels measures on the sample) or a recorded stack;
            None for the sample tissue of the `demo` extra.
        um_per_px: see `slide`.
        z_play_um: true play of the Z gear if it is not the configured one.
        config: as for `parfocal.open`.

    Raises:
        ConfigError, EngineError: what cannot be used, and what to do about it.
    """
    settings = config_from(config)
    sample = sample_from(None if slide is None else Path(slide), um_per_px, settings, seed)
    engine = checked_engine(settings)
    return Microscope(in_virtual_time(sample, settings, stub_of(settings, seed, z_play_um)), engine, settings)
