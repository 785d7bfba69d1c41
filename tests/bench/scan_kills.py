"""A scan that is killed again and again: `python -m tests.bench.scan_kills`, into build/bench/scan_kills.json.

A scan of about 160 small tiles on the drawn slide of the tests. Each session ends by SIGKILL at a random moment, a
board that reboots, the cable of the board that is pulled, a camera that is unplugged, or a disk that is full in the
middle of a file; then the slide lies elsewhere, as after a homing. In the end every tile must be there once, whole, and
where the journal says; what the journal held before a kill must be the same after it. `--pieces N` ends after N
sessions; the same command again goes on. What was seen so far is in build/bench/scan_kills_so_far.json.

With `--continuous` the tiles are swept: board and cable fail in the middle of a motion, the camera and the program
among the frames of a row. Into build/bench/scan_kills_continuous.json.
"""

import argparse
import contextlib
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import numpy as np

from parfocal.board.errors import BoardError
from parfocal.board.stub.faults import Faults, Reboot, Unplug
from parfocal.edge.camera.frame import Frame
from parfocal.edge.errors import CameraFailed
from parfocal.edge.images.rgb import rgb_from_file
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.continuous.plan import sweep_plan
from parfocal.edge.scan.tiles import journal_path, read_scan, tiles_folder
from parfocal.edge.scan.tiling.job import ScanJob, Ways, settings_of
from parfocal.edge.scan.tiling.journal import digest_of
from parfocal.edge.scan.tiling.plan import field_of, plan_tiles
from parfocal.edge.scan.tiling.points import survey_points
from parfocal.edge.scan.tiling.registering import shift_px
from parfocal.edge.scan.tiling.request import Request, kept_request
from parfocal.edge.scan.tiling.writer import TileNotWritten, write_whole
from parfocal.edge.simscope.triggered_camera import TriggeredCamera
from parfocal.edge.tissue.area import rectangle
from tests.edge.scan.conftest import PLAYS
from tests.edge.scan.tiling.small_slide import BRIGHT, CENTRE_UM, CONFIG, UM_PER_PX, SmallSlide, drawn

KINDS = ("kill", "kill", "board", "cable", "camera", "disk")
SIDE_PX = 2000
HALF_UM = (290.0, 285.0)


def session(out: Path, seed: int, kind: str, after: int, continuous: bool) -> None:
    """One session, in a process of its own. `kind` of end comes after so many tiles; "none" runs to the end.

    Of a sweep, it comes after so many frames of rows, or in a motion.
    """
    draw, is_first = random.Random(seed), not seen(out)
    moved_um = (draw.uniform(-8.0, 8.0), draw.uniform(-8.0, 8.0), draw.uniform(-3.0, 3.0))
    small = SmallSlide(
        pixels=drawn(7, SIDE_PX),
        moved_um=(0.0, 0.0, 0.0) if is_first else moved_um,
        faults=Faults(incidents=in_motion(kind, draw)) if continuous else None,
        config=BRIGHT if continuous else CONFIG,
    )
    n_written = 0
    if continuous:
        fail_among_frames(kind, after)

    def write(path: Path, data: bytes) -> None:
        nonlocal n_written
        n_written += 1
        if kind == "disk" and n_written > after:
            path.with_name(path.name + ".part").write_bytes(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write_whole(path, data)

    with small.instrument(PLAYS if continuous else ()) as instrument:
        request = kept_request(out) if journal_path(out).exists() else begun(continuous)
        settings = settings_of(request, instrument, small.config, small.eyes)
        ways = Ways(sweeps=sweep_plan(request.plan, BRIGHT, PLAYS) if continuous else None)
        job = ScanJob(out, request, settings, datetime.now(timezone.utc), "bench", write)
        with contextlib.closing(job):
            if job.kept_surface() is None:
                points = survey_points(request.plan, small.config, 150.0)
                list(job.survey(instrument, small.eyes, small.config, points))
            surface = job.kept_surface()
            assert surface is not None
            say("scanning")
            tiles = job.tiles(instrument, small.eyes, small.config, surface, ways)
            for number, _ in enumerate(tiles, start=1):
                if number == after and not continuous:
                    happen(kind, small, draw.uniform(0.0, 0.1))


def in_motion(kind: str, draw: random.Random) -> tuple[Reboot | Unplug, ...]:
    """What happens to board or cable in a motion: of homing, of the way back to the slide, or of a row."""
    on_motion, after_s = draw.randint(4, 20), draw.uniform(0.0, 0.15)
    if kind == "board":
        return (Reboot(on_motion=on_motion, after_s=after_s),)
    if kind == "cable":
        return (Unplug(on_motion=on_motion, after_s=after_s, gone_s=1e6),)
    return ()


def fail_among_frames(kind: str, n_frames: int) -> None:
    """Be killed, or unplug the camera, after so many frames; in this process for good."""
    poll, n_taken = TriggeredCamera.poll, 0

    def counted(camera: TriggeredCamera) -> Frame | None:
        nonlocal n_taken
        frame = poll(camera)
        n_taken += frame is not None
        if n_taken > n_frames and kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if n_taken > n_frames and kind == "camera":
            raise CameraFailed("the camera is gone")
        return frame

    setattr(TriggeredCamera, "poll", counted)  # noqa: B010


def begun(continuous: bool) -> Request:
    """The request of a new scan."""
    (x, y), (dx, dy) = CENTRE_UM, HALF_UM
    plan = plan_tiles(
        rectangle(x - dx, y - dy, x + dx, y + dy), CONFIG, field_of(CONFIG.camera, UM_PER_PX), 0.1
    )
    return Request("kills", "png", plan, continuous)


def happen(kind: str, small: SmallSlide, soon_s: float) -> None:
    """Reboot the board, pull its cable, unplug the camera, or be killed in `soon_s` of real time."""
    if kind == "kill":
        timer = threading.Timer(soon_s, os.kill, (os.getpid(), signal.SIGKILL))
        timer.daemon = True
        timer.start()
    if kind == "board":
        small.bench.stub.reboot()
    if kind == "cable":
        small.bench.faulty.is_plugged = False
    if kind == "camera":

        def unplugged(_: TriggeredCamera) -> Frame:
            raise CameraFailed("the camera is gone")

        setattr(TriggeredCamera, "poll", unplugged)  # noqa: B010  # for good, in this process


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def ended(out: Path, seed: int, kind: str, draw: random.Random, continuous: bool) -> str:
    """Run a session that ends early; how it ended."""
    after = draw.randint(1, 5)
    command = [
        sys.executable,
        "-m",
        "tests.bench.scan_kills",
        "--session",
        str(seed),
        kind,
        str(after),
        str(out),
        *(["--continuous"] if continuous else []),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if kind == "kill" and draw.random() < 0.2:  # while it starts; else it kills itself among the tiles
        time.sleep(draw.uniform(0.0, 1.5))
        process.send_signal(signal.SIGKILL)
    _, told = process.communicate(timeout=300)
    return (
        "finished" if process.returncode == 0 else told.strip().splitlines()[-1] if told.strip() else "killed"
    )


def seen(out: Path) -> dict[str, str]:
    """Digests in the journal, each checked against its file."""
    if not journal_path(out).exists():
        return {}
    with contextlib.suppress(Exception):
        tiles = read_scan(out).tiles
        for tile in tiles:
            if digest_of(tile.path.read_bytes()) != tile.digest:
                raise SystemExit(f"{tile.path} is torn")
        return {tile.path.name: tile.digest for tile in tiles}
    return {}


def off_px(out: Path) -> list[float]:
    """How far the picture of each tissue tile lies from where the journal says, px.

    Coordinates begin with the first tile that shows tissue; the median of all is taken off.
    """
    ideal, off = SmallSlide(pixels=drawn(7, SIDE_PX)), []
    for tile in read_scan(out).tiles:
        if tile.tissue:
            z_um = ideal.focus(tile.x_um, tile.y_um)
            truth: UInt8Array = ideal.render(tile.x_um, tile.y_um, z_um, CONFIG.scan.lamp_duty)
            off.append(shift_px(truth, rgb_from_file(tile.path))[:2])
    away = np.array(off) - np.median(off, axis=0)
    return [float(value) for value in np.hypot(*away.T)]


class SoFar(msgspec.Struct, frozen=True):
    """What a row of kills has come to: how many there were, how they ended by kind, and the digests of the tiles."""

    seed: int
    number: int = 0
    ends: dict[str, int] = {}
    kinds: dict[str, int] = {}
    tiles: dict[str, str] = {}


def killed_once_more(out: Path, so_far: SoFar, continuous: bool) -> SoFar:
    """One more session that ends early. Exits if a tile of before is lost or changed."""
    draw = random.Random(f"{so_far.seed} {so_far.number}")
    kind = draw.choice(KINDS)
    told = ended(out, so_far.number, kind, draw, continuous)
    now = seen(out)
    lost = {name for name, digest in so_far.tiles.items() if now.get(name) != digest}
    if lost:
        raise SystemExit(f"session {so_far.number}: {sorted(lost)} changed or lost")
    say(f"{so_far.number:3d} {kind:7s} {len(now):4d} tiles; {told[:90]}")
    key = told.split(":")[0]
    return SoFar(
        so_far.seed,
        so_far.number + 1,
        {**so_far.ends, key: so_far.ends.get(key, 0) + 1},
        {**so_far.kinds, kind: so_far.kinds.get(kind, 0) + 1},
        now,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--pieces", type=int, metavar="N", help="end after N of them, to go on later")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--continuous", action="store_true")
    parser.add_argument("--session", nargs=4)
    given = parser.parse_args()
    if given.session:
        seed, kind, after, out = given.session
        with contextlib.suppress(KeyboardInterrupt):
            try:
                session(Path(out), int(seed), kind, int(after), given.continuous)
            except (BoardError, CameraFailed, TileNotWritten) as error:
                sys.exit(f"{type(error).__name__}: {error}")
        return
    folder = Path("build/bench")
    folder.mkdir(parents=True, exist_ok=True)
    name = f"scan_kills{'_continuous' * given.continuous}"
    out, kept = folder / f"{name}.zarr", folder / f"{name}_so_far.json"
    so_far = msgspec.json.decode(kept.read_bytes(), type=SoFar) if kept.exists() else SoFar(given.seed)
    if not so_far.number:
        shutil.rmtree(out, ignore_errors=True)
    for _ in range(min(given.pieces or given.kills, given.kills - so_far.number)):
        so_far = killed_once_more(out, so_far, given.continuous)
        write_whole(kept, msgspec.json.encode(so_far))
    if so_far.number < given.kills:
        return
    before, ends, draw = so_far.tiles, so_far.ends, random.Random(f"{so_far.seed} to the end")
    say(f"to the end: {ended(out, given.kills, 'none', draw, given.continuous)}")
    scan = read_scan(out)
    files = {path.name for path in tiles_folder(out).iterdir()}
    after = seen(out)
    off = off_px(out)
    result = {
        "kills": given.kills,
        "kinds": so_far.kinds,
        "ends": ends,
        "planned": len(scan.about.planned),
        "finished": len(scan.tiles),
        "is_complete": scan.is_complete,
        "kept_digests": all(after[name] == digest for name, digest in before.items()),
        "strange_files": sorted(files - set(after)),
        "tissue": len(off),
        "off_px_median": float(np.median(off)),
        "off_px_p95": float(np.percentile(off, 95)),
        "off_px_max": max(off),
    }
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1))
    kept.unlink()
    say(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
