"""What is set in a GenICam camera, by the names of its standard (SFNC 2.7), and read back. No vendor library."""

from __future__ import annotations

from typing import Protocol

from parfocal.edge.errors import CameraFailed

# What may start a frame, the best first. Some cameras only start bursts, of one frame by default.
_STARTS = ("FrameStart", "FrameBurstStart")
EDGE = "RisingEdge"  # the trigger of the board is high while it lasts


class Nodes(Protocol):
    """The features of a camera. Numbers are read and written as float, everything else as text."""

    def has(self, name: str) -> bool:
        """Whether the camera has a feature, and it can be used now."""
        ...

    def entries(self, name: str) -> tuple[str, ...]:
        """What an enumeration may be set to."""
        ...

    def read(self, name: str) -> str | float:
        """The value of a feature. Raises CameraFailed."""
        ...

    def write(self, name: str, value: str | float) -> None:
        """Set a feature. Raises CameraFailed."""
        ...


def set_checked(nodes: Nodes, name: str, value: str | float) -> None:
    """Set a feature and read it back. Raises CameraFailed."""
    nodes.write(name, value)
    found = nodes.read(name)
    if found != value:
        raise CameraFailed(f"the camera did not take {name} = {value}; it has {found}. Set it by hand.")


def set_where_there(nodes: Nodes, name: str, value: str | float) -> bool:
    """Set a feature and read it back; returns whether the camera has it. Raises CameraFailed."""
    if not nodes.has(name):
        return False
    set_checked(nodes, name, value)
    return True


def check_trigger(nodes: Nodes, line: str) -> None:
    """Whether each pulse at the input `line` can start a frame. Sets nothing. Raises CameraFailed."""
    missing = [name for name in ("TriggerMode", "TriggerSource") if not nodes.has(name)]
    if missing:
        raise CameraFailed(
            f"the camera cannot be triggered: it has no {' and no '.join(missing)}. Leave out camera.trigger_line, or "
            "use a camera with a trigger input."
        )
    if nodes.has("TriggerSelector"):
        _start(nodes)
    sources = nodes.entries("TriggerSource")
    if line not in sources:
        raise CameraFailed(
            f"the camera has no trigger input {line!r}; it has {', '.join(sources)}. Set camera.trigger_line to one of "
            "them."
        )
    if nodes.has("TriggerActivation") and EDGE not in (edges := nodes.entries("TriggerActivation")):
        raise CameraFailed(
            f"the camera is not triggered by a rising edge, only by {', '.join(edges)}. Use another camera."
        )


def wait_for_triggers(nodes: Nodes, line: str) -> None:
    """Make each rising edge at the input `line` start one frame of the set exposure. Raises CameraFailed."""
    check_trigger(nodes, line)
    free_run(nodes)
    if nodes.has("TriggerSelector"):
        start = _start(nodes)
        set_checked(nodes, "TriggerSelector", start)
        if start != _STARTS[0]:
            set_where_there(nodes, "AcquisitionBurstFrameCount", 1.0)
    set_where_there(nodes, "ExposureMode", "Timed")
    set_checked(nodes, "TriggerSource", line)
    set_where_there(nodes, "TriggerActivation", EDGE)
    set_checked(nodes, "TriggerMode", "On")


def free_run(nodes: Nodes) -> None:
    """Make the camera expose by itself, whatever it waited for. Raises CameraFailed."""
    if not nodes.has("TriggerMode"):
        return
    selectors = nodes.entries("TriggerSelector") if nodes.has("TriggerSelector") else ()
    for selector in selectors:
        set_checked(nodes, "TriggerSelector", selector)
        set_where_there(nodes, "TriggerMode", "Off")
    if not selectors:
        set_checked(nodes, "TriggerMode", "Off")


def _start(nodes: Nodes) -> str:
    """The trigger that starts a frame. Raises CameraFailed."""
    there = nodes.entries("TriggerSelector")
    for start in _STARTS:
        if start in there:
            return start
    raise CameraFailed(
        f"no trigger of the camera starts a frame; it has {', '.join(there)}. Use another camera."
    )
