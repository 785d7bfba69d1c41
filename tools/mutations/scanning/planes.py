"""Mutations of uneven tiles: what is usual about a place, and planes while Z rises."""

from tools.mutations.mutation import Mutation

_PLANES = ("tests/edge/scan/continuous/test_planes.py",)
_UNEVEN = ("tests/edge/scan/tiling/test_uneven_tiles.py",)

MUTATIONS = (
    Mutation(
        "planes come without a flash of their own, in the steady light",
        "edge/scan/continuous/planes.py",
        "armed(self._camera, len(heights_um)), self._light.dark()",
        "armed(self._camera, len(heights_um))",
        _PLANES,
    ),
    Mutation(
        "the lamp stays dark after planes",
        "edge/scan/tiling/moving/light.py",
        "            self._instrument.board.lamp(self._duty)\n",
        "            pass\n",
        _PLANES,
    ),
    Mutation(
        "planes begin before the stage has come to rest",
        "edge/scan/continuous/planes.py",
        "            clock.sleep_s(settled_s - clock.now_s())\n",
        "",
        _PLANES,
    ),
    Mutation(
        "a stage that rises has no room to speed up",
        "edge/scan/continuous/planes.py",
        "heights_um[0] - ahead_um - run_um",
        "heights_um[0]",
        _PLANES,
    ),
    Mutation(
        "planes are passed faster than the camera takes frames",
        "edge/scan/continuous/planes.py",
        "step_um / frame_s(self._config.camera)",
        "2.0 * step_um / frame_s(self._config.camera)",
        _PLANES,
    ),
    Mutation(
        "planes are passed beyond a limit",
        "edge/scan/continuous/planes.py",
        " or end_um > high_um:",
        ":",
        _PLANES,
    ),
    Mutation(
        "a plane whose frame was lost is not taken again",
        "edge/focus/uneven/field.py",
        "(*shots, *map(self._shots.take, lacking_um))",
        "shots",
        _PLANES,
    ),
    Mutation(
        "planes are flashed though nobody has measured when all lines expose",
        "edge/scan/continuous/plan.py",
        "if trigger is None or trigger.room_s is None:",
        "trigger = trigger or TriggerInUse(config.scan.flash_delay_s, room_s=1.0)\n    if trigger.room_s is None:",
        _PLANES,
    ),
    Mutation(
        "a flash for planes outlasts the exposure of all lines",
        "edge/scan/continuous/plan.py",
        "if width_s <= trigger.room_s else None",
        "if width_s <= 1.0 else None",
        _PLANES,
    ),
    Mutation(
        "a flash for planes gives the light of the steady lamp at full duty",
        "edge/scan/continuous/plan.py",
        "return config.camera.exposure_s * config.scan.lamp_duty / config.scan.flash_brightness",
        "return config.camera.exposure_s / config.scan.flash_brightness",
        _PLANES,
    ),
    Mutation(
        "planes are flashed by a board without a lamp",
        "edge/scan/continuous/planes.py",
        "        and instrument.board.capabilities.has_lamp\n",
        "",
        _PLANES,
    ),
    Mutation(
        "a scan with stops always stops for planes",
        "edge/scan/tiling/job.py",
        "flash_of_planes(instrument, config)",
        "None",
        _UNEVEN,
    ),
    Mutation(
        "the last tiles of a scan say what is usual everywhere",
        "edge/scan/tiling/judging/uneven_tiles.py",
        'np.argsort(apart_um, kind="stable")[:NEAREST]',
        'np.argsort(0.0 * apart_um, kind="stable")[:NEAREST]',
        _UNEVEN,
    ),
    Mutation(
        "of two tiles at a place the earlier one says what is usual",
        "edge/scan/tiling/judging/uneven_tiles.py",
        "np.array(self._known)[::-1]",
        "np.array(self._known)",
        _UNEVEN,
    ),
)
