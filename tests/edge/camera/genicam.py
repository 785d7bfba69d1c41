"""The features of a GenICam camera in a dictionary, strict about names and entries as a camera is."""

from __future__ import annotations

from collections.abc import Mapping

from parfocal.edge.errors import CameraFailed

PER_SELECTOR = ("TriggerMode", "TriggerSource", "TriggerActivation")  # each trigger has its own


class FakeNodes:
    """`entries_of`: what each enumeration takes. `stuck`: features that keep their value whatever is written."""

    def __init__(
        self, entries_of: Mapping[str, tuple[str, ...]], stuck: Mapping[str, str | float] = {}
    ) -> None:
        self._entries_of, self._stuck = dict(entries_of), dict(stuck)
        self.values: dict[tuple[str, str], str | float] = {}
        self.written: list[tuple[str, str | float]] = []

    def has(self, name: str) -> bool:
        return name in self._entries_of

    def entries(self, name: str) -> tuple[str, ...]:
        return self._entries_of[name]

    def read(self, name: str) -> str | float:
        if name not in self._entries_of:
            raise CameraFailed(f"no {name}")
        first = self._entries_of[name][0] if self._entries_of[name] else 0.0
        return self._stuck.get(name, self.values.get(self._key(name), first))

    def write(self, name: str, value: str | float) -> None:
        if name not in self._entries_of:
            raise CameraFailed(f"no {name}")
        if isinstance(value, str) and value not in self._entries_of[name]:
            raise CameraFailed(f"no {value} in {name}")
        self.written.append((name, value))
        self.values[self._key(name)] = value

    def mode_of(self, selector: str) -> str | float:
        """TriggerMode of one trigger."""
        return self.values.get((selector, "TriggerMode"), "Off")

    def _key(self, name: str) -> tuple[str, str]:
        selectors = self._entries_of.get("TriggerSelector")
        if not selectors or name not in PER_SELECTOR:
            return ("", name)
        return (str(self.values.get(("", "TriggerSelector"), selectors[0])), name)


CAMERA: dict[str, tuple[str, ...]] = {
    "TriggerSelector": ("AcquisitionStart", "FrameStart"),
    "TriggerMode": ("Off", "On"),
    "TriggerSource": ("Software", "Line1", "Line2"),
    "TriggerActivation": ("FallingEdge", "RisingEdge"),
    "ExposureMode": ("TriggerWidth", "Timed"),
}


def without(*names: str) -> dict[str, tuple[str, ...]]:
    """`CAMERA` without these features."""
    return {name: entries for name, entries in CAMERA.items() if name not in names}
