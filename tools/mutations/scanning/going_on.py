"""Mutations of what a scan is begun with, of its light and exposure, and of how it goes on after an end."""

from tools.mutations.mutation import Mutation

_SCAN = ("tests/edge/scan/tiling/test_scan.py",)
_TYPED = ("tests/edge/cli/slides/test_scan.py",)
_INSTRUMENT = ("tests/edge/test_instrument.py",)

MUTATIONS = (
    Mutation(
        "shots after the lamp came on may show the dark",
        "edge/instrument.py",
        "        self.board.rests_from(self.clock.now_s())\n",
        "",
        _INSTRUMENT,
    ),
    Mutation(
        "a picture where the stage went on to may be from the dark of a pause",
        "edge/scan/tiling/moving/going.py",
        "self._instrument.board.rests_from(gone.settled_s)",
        "gone.settled_s",
        _SCAN,
    ),
    Mutation(
        "a lamp that is dark between is not waited for",
        "edge/scan/tiling/moving/light.py",
        "self._instrument.shine(self._duty)\n            yield",
        "self._instrument.board.lamp(self._duty)\n            yield",
        _SCAN,
    ),
    Mutation(
        "the configured exposure is taken for the one in use",
        "edge/instrument.py",
        "exposure_s=exposure_s or config.camera.exposure_s",
        "exposure_s=config.camera.exposure_s",
        _INSTRUMENT,
    ),
    Mutation(
        "a scan is planned with what is configured",
        "edge/cli/slides/scan.py",
        "used = instrument.used_config(settings)",
        "used = settings",
        _TYPED,
    ),
    Mutation(
        "a scan that goes on needs the room of all its tiles",
        "edge/cli/slides/scan.py",
        "check_disk(foretold, len(job.left), out)",
        "check_disk(foretold, foretold.n_tiles, out)",
        _TYPED,
    ),
    Mutation(
        "a surface is not held against the plan",
        "edge/cli/slides/scan.py",
        "        if given is not None:\n            # How far",
        "        if False:\n            # How far",
        _TYPED,
    ),
    Mutation(
        "tiles that were taken count as written",
        "edge/cli/slides/scan.py",
        "if (done.tile.row, done.tile.column) in job.written",
        "if True",
        _TYPED,
    ),
    Mutation(
        "what was learned is lost with the end of a session",
        "edge/scan/tiling/job.py",
        "            with contextlib.suppress(JournalNotWritten):\n                self._keep(judge, usual)\n",
        "",
        _SCAN,
    ),
    Mutation(
        "a tile that cannot be read stops a scan from being continued",
        "edge/scan/tiling/job.py",
        "except OSError:",
        "except FileNotFoundError:",
        _SCAN,
    ),
    Mutation(
        "two programs scan into one slide",
        "edge/scan/tiling/journal.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        _SCAN,
    ),
    Mutation(
        "the size of a lossless WebP is one less",
        "edge/images/size.py",
        "(both & 0x3FFF) + 1",
        "both & 0x3FFF",
        ("tests/edge/images/test_size.py",),
    ),
    Mutation(
        "what was measured at the very place is held against its neighbours",
        "edge/scan/tiling/heights.py",
        "        if here is not None:\n            return here\n",
        "",
        ("tests/edge/scan/tiling/test_heights.py",),
    ),
    Mutation(
        "tiles two pitches away are not looked at",
        "edge/scan/tiling/heights.py",
        "math.ceil(REACH_PITCHES)",
        "1",
        ("tests/edge/scan/tiling/test_heights.py",),
    ),
)
