"""The features of a camera of Aravis, as `genicam` reads and writes them."""

from __future__ import annotations

from typing import Any


class AravisNodes:
    """The features of an open camera. Errors of Aravis come as they are."""

    def __init__(self, library: Any, camera: Any) -> None:  # noqa: ANN401  # PyGObject has no types
        self._library, self._camera = library, camera

    def has(self, name: str) -> bool:
        """Whether there is a feature of this name that can be used now."""
        return bool(self._camera.is_feature_available(name))

    def entries(self, name: str) -> tuple[str, ...]:
        """What an enumeration can be set to now."""
        return tuple(self._camera.dup_available_enumerations_as_strings(name))

    def read(self, name: str) -> str | float:
        """The value of a feature, of an enumeration its name."""
        node, camera = self._camera.get_device().get_feature(name), self._camera
        if isinstance(node, self._library.GcEnumeration):
            return str(camera.get_string(name))
        if isinstance(node, self._library.GcFloat):
            return float(camera.get_float(name))
        return float(camera.get_integer(name))

    def write(self, name: str, value: str | float) -> None:
        """Set a feature."""
        if isinstance(value, str):
            self._camera.set_string(name, value)
        elif isinstance(self._camera.get_device().get_feature(name), self._library.GcFloat):
            self._camera.set_float(name, value)
        else:
            self._camera.set_integer(name, round(value))
