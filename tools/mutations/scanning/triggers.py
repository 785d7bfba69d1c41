"""Mutations of triggered cameras: arming, pictures at rest, which frame belongs to which trigger."""

from tools.mutations.mutation import Mutation

_MATCHED = ("tests/edge/scan/continuous/test_matching.py",)
_FRAMES = ("tests/edge/scan/continuous/test_frames.py",)
_ON_DEMAND = ("tests/edge/scan/test_on_demand.py",)

MUTATIONS = (
    Mutation(
        "frames that are missing by their ids are not counted",
        "edge/camera/vision/frame_ids.py",
        "return later - earlier - 1",
        "return 0",
        ("tests/edge/camera/test_frame_ids.py",),
    ),
    Mutation(
        "the camera goes on waiting for triggers after a sweep",
        "edge/scan/continuous/frames.py",
        "        camera.disarm()",
        "        pass",
        _FRAMES,
    ),
    Mutation(
        "another trigger of the camera stays on",
        "edge/camera/vision/genicam.py",
        "    check_trigger(nodes, line)\n    free_run(nodes)",
        "    check_trigger(nodes, line)",
        ("tests/edge/camera/test_genicam.py",),
    ),
    Mutation(
        "what a camera did not take is not noticed",
        "edge/camera/vision/genicam.py",
        "if found != value:",
        "if False:",
        ("tests/edge/camera/test_genicam.py",),
    ),
    Mutation(
        "the last frame's delay dates every frame",
        "edge/camera/vision/device_clock.py",
        "min(apart_s for _, apart_s in self._seen)",
        "self._seen[-1][1]",
        ("tests/edge/camera/test_device_clock.py",),
    ),
    Mutation(
        "a frame belongs to the next trigger, whenever it was exposed",
        "edge/scan/continuous/matching.py",
        "if nearest is None or abs(nearest.trigger_s - frame_s) > within_s:",
        "if nearest is None:",
        _MATCHED,
    ),
    Mutation(
        "a second frame of one trigger is the next tile",
        "edge/scan/continuous/matching.py",
        "(each for each in triggers if each.index > last_index)",
        "(each for each in triggers)",
        _MATCHED,
    ),
    Mutation(
        "an event of another sweep is one of this",
        "edge/scan/continuous/frames.py",
        "(each for each in self._take_told() if each.index < self._triggers.count)",
        "(each for each in self._take_told())",
        _FRAMES,
    ),
    Mutation(
        "a frame whose event is late is taken for one of no trigger",
        "edge/scan/continuous/frames.py",
        "                self._waiting = frame\n",
        "",
        _FRAMES,
    ),
    Mutation(
        "a camera that was armed runs freely after a sweep",
        "edge/scan/continuous/frames.py",
        "if not was_armed:",
        "if True:",
        _FRAMES,
    ),
    Mutation(
        "a picture at rest is triggered before the stage is at rest",
        "edge/camera/on_demand.py",
        "max(settled_s, self._next_s) - self._clock.now_s()",
        "self._next_s - self._clock.now_s()",
        _ON_DEMAND,
    ),
    Mutation(
        "a picture at rest is triggered sooner than the camera takes it",
        "edge/camera/on_demand.py",
        "max(settled_s, self._next_s) - self._clock.now_s()",
        "settled_s - self._clock.now_s()",
        _ON_DEMAND,
    ),
    Mutation(
        "a frame that is left over is taken for the picture",
        "edge/camera/on_demand.py",
        ".exposure_start_s < asked_s - EARLY_S:",
        ".exposure_start_s < 0.0:",
        _ON_DEMAND,
    ),
    Mutation(
        "a trigger that was missed ends the scan",
        "edge/camera/on_demand.py",
        "        except CameraFailed:  # a trigger that came too soon after one of a sweep is missed\n",
        "        except ZeroDivisionError:\n",
        _ON_DEMAND,
    ),
    Mutation(
        "the camera still waits for triggers after a scan",
        "edge/scan/on_demand.py",
        "        camera.disarm()\n",
        "        pass\n",
        _ON_DEMAND,
    ),
)
