"""What is set in a camera so that the board's trigger starts its frames."""

import pytest

from parfocal.edge.camera.vision.genicam import check_trigger, free_run, set_checked, wait_for_triggers
from parfocal.edge.errors import CameraFailed
from tests.edge.camera.genicam import CAMERA, FakeNodes, without


def test_each_rising_edge_at_the_line_starts_one_timed_frame() -> None:
    nodes = FakeNodes(CAMERA)
    nodes.write("TriggerMode", "On")  # another program left the start of an acquisition waiting
    wait_for_triggers(nodes, "Line2")
    assert nodes.mode_of("AcquisitionStart") == "Off"
    assert nodes.mode_of("FrameStart") == "On"
    assert nodes.read("TriggerSelector") == "FrameStart"
    assert nodes.read("TriggerSource") == "Line2"
    assert nodes.read("TriggerActivation") == "RisingEdge"
    assert nodes.read("ExposureMode") == "Timed"
    assert nodes.written[-1] == ("TriggerMode", "On")  # nothing is exposed by a half-set trigger


def test_running_freely_switches_off_every_trigger() -> None:
    nodes = FakeNodes(CAMERA)
    wait_for_triggers(nodes, "Line1")
    free_run(nodes)
    assert (nodes.mode_of("AcquisitionStart"), nodes.mode_of("FrameStart")) == ("Off", "Off")


def test_a_camera_that_only_starts_bursts_starts_bursts_of_one_frame() -> None:
    nodes = FakeNodes(CAMERA | {"TriggerSelector": ("FrameBurstStart",), "AcquisitionBurstFrameCount": ()})
    nodes.values["", "AcquisitionBurstFrameCount"] = 3.0
    wait_for_triggers(nodes, "Line1")
    assert nodes.mode_of("FrameBurstStart") == "On"
    assert nodes.read("AcquisitionBurstFrameCount") == 1.0


def test_a_camera_without_selector_or_edges_is_triggered_too() -> None:
    nodes = FakeNodes(without("TriggerSelector", "TriggerActivation", "ExposureMode"))
    wait_for_triggers(nodes, "Line1")
    assert (nodes.read("TriggerSource"), nodes.read("TriggerMode")) == ("Line1", "On")
    free_run(nodes)
    assert nodes.read("TriggerMode") == "Off"


@pytest.mark.parametrize(
    ("features", "told"),
    [
        (without("TriggerMode"), "it has no TriggerMode. Leave out camera.trigger_line"),
        (without("TriggerMode", "TriggerSource"), "no TriggerMode and no TriggerSource"),
        (
            CAMERA | {"TriggerSource": ("Software", "Line0")},
            "no trigger input 'Line1'; it has Software, Line0",
        ),
        (CAMERA | {"TriggerSelector": ("ExposureEnd",)}, "no trigger of the camera starts a frame"),
        (CAMERA | {"TriggerActivation": ("LevelLow",)}, "not triggered by a rising edge, only by LevelLow"),
    ],
)
def test_a_camera_that_cannot_be_triggered_so_is_refused_and_nothing_is_set(
    features: dict[str, tuple[str, ...]], told: str
) -> None:
    nodes = FakeNodes(features)
    with pytest.raises(CameraFailed, match=told):
        wait_for_triggers(nodes, "Line1")
    with pytest.raises(CameraFailed, match=told):
        check_trigger(nodes, "Line1")
    assert nodes.written == []


@pytest.mark.parametrize("name", ["TriggerMode", "TriggerSource", "TriggerActivation", "ExposureMode"])
def test_what_the_camera_does_not_take_is_an_error(name: str) -> None:
    nodes = FakeNodes(CAMERA, stuck={name: CAMERA[name][0]})
    with pytest.raises(CameraFailed, match=f"did not take {name} ="):
        wait_for_triggers(nodes, "Line1")


def test_a_camera_without_triggers_runs_freely_already() -> None:
    nodes = FakeNodes(without("TriggerMode", "TriggerSource", "TriggerSelector"))
    free_run(nodes)
    assert nodes.written == []


def test_a_number_that_was_rounded_is_an_error() -> None:
    nodes = FakeNodes({"TriggerDelay": ()}, stuck={"TriggerDelay": 27.0})
    with pytest.raises(CameraFailed, match=r"did not take TriggerDelay = 0\.0; it has 27\.0"):
        set_checked(nodes, "TriggerDelay", 0.0)
