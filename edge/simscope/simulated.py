"""A simulated microscope for programs."""

from pathlib import Path

from parfocal.edge.config import Config, config_from
from parfocal.edge.engine import checked_engine
from parfocal.edge.microscope import Microscope
from parfocal.edge.simscope.bench import in_virtual_time, sample_from, stub_of
from parfocal.edge.simscope.ranges import check_asked


def simulated_microscope(
    *,
    seed: int = 1,
    slide: str | Path | None = None,
    um_per_px: float | None = None,
    z_play_um: float | None = None,
    config: Config | str | Path | None = None,
) -> Microscope:
    """Open a simulated microscope: stub motor board, simulated optics and camera, in virtual time.

    It homes by itself. Its true focus is known, so results have `error_um`.

    Args:
        seed: for the focal surface, the mechanics and the noise.
        slide: an image, which needs `um_per_px`, or a recorded stack; None for the sample tissue of the `demo` extra.
        um_per_px: size of a pixel of the image on the sample.
        z_play_um: true play of the Z gear where it differs from the configured one.
        config: as for `parfocal.open`.

    Raises:
        ConfigError: the configuration, the slide or another argument cannot be used.
        EngineError: the model cannot be used.
    """
    check_asked(seed, um_per_px, z_play_um)
    settings = config_from(config)
    sample = sample_from(None if slide is None else Path(slide), um_per_px, settings, seed)
    engine = checked_engine(settings)
    return Microscope(in_virtual_time(sample, settings, stub_of(settings, seed, z_play_um)), engine, settings)
