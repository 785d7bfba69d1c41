"""parfocal: the software of a low-cost digital microscope.

    import parfocal

    with parfocal.simulated(seed=1) as scope:  # or parfocal.open("parfocal.toml")
        print(scope.focus(x_um=20_000, y_um=10_000))

Each name is imported when it is first used: `import parfocal.board` needs neither OpenCV nor OpenVINO.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parfocal.board.errors import BoardError as BoardError
    from parfocal.calib.errors import CalibError as CalibError
    from parfocal.edge.config import Config as Config
    from parfocal.edge.errors import CameraFailed as CameraFailed
    from parfocal.edge.errors import ConfigError as ConfigError
    from parfocal.edge.focus.result import FocusLost as FocusLost
    from parfocal.edge.focus.shots import Shot as Shot
    from parfocal.edge.microscope import Microscope as Microscope
    from parfocal.edge.microscope import open_microscope as open  # noqa: A004
    from parfocal.edge.scan.field_result import FieldResult as FieldResult
    from parfocal.edge.simscope.simulated import simulated_microscope as simulated
    from parfocal.engines.errors import EngineError as EngineError

__version__ = "0.1.0"

# Public name -> where it is.
_NAMES = {
    "BoardError": ("parfocal.board.errors", "BoardError"),
    "CalibError": ("parfocal.calib.errors", "CalibError"),
    "CameraFailed": ("parfocal.edge.errors", "CameraFailed"),
    "Config": ("parfocal.edge.config", "Config"),
    "ConfigError": ("parfocal.edge.errors", "ConfigError"),
    "EngineError": ("parfocal.engines.errors", "EngineError"),
    "FieldResult": ("parfocal.edge.scan.field_result", "FieldResult"),
    "FocusLost": ("parfocal.edge.focus.result", "FocusLost"),
    "Microscope": ("parfocal.edge.microscope", "Microscope"),
    "Shot": ("parfocal.edge.focus.shots", "Shot"),
    "open": ("parfocal.edge.microscope", "open_microscope"),
    "simulated": ("parfocal.edge.simscope.simulated", "simulated_microscope"),
}

__all__ = [
    "BoardError",
    "CalibError",
    "CameraFailed",
    "Config",
    "ConfigError",
    "EngineError",
    "FieldResult",
    "FocusLost",
    "Microscope",
    "Shot",
    "__version__",
    "open",
    "simulated",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  # each name has its own type, given above
    """Import a public name when it is first used."""
    if name not in _NAMES:
        raise AttributeError(f"module 'parfocal' has no attribute {name!r}; it has {', '.join(__all__)}")
    module, attribute = _NAMES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return __all__
