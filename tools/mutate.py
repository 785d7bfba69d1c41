"""Mutation test of the board's code: break it on purpose, and check that tests fail: `python -m tools.mutate`.

Mutations are made one at a time, in a copy of the tree. The tests listed with each must fail. A mutation that survives
is a promise without a test; the exit status is then 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
COPIED = (
    "board",
    "edge",
    "engines",
    "calib",
    "tests/board",
    "tests/bench",
    "tests/conftest.py",
    "tools",
    "pyproject.toml",
)
_LONGEST_S = 300.0


class Mutation(NamedTuple):
    """One change of one file that a test must detect."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "a wrong CRC passes",
        "board/wire/packet.py",
        "!= zlib.crc32(body):",
        "!= zlib.crc32(body) and False:",
        ("wire/test_packet.py",),
    ),
    Mutation(
        "CRC of another polynomial, on both sides alike",
        "board/wire/packet.py",
        "zlib.crc32(",
        "zlib.adler32(",
        ("test_protocol_document.py",),
    ),
    Mutation(
        "the board carries out an older seq",
        "board/stub/stub_board.py",
        "0 < (packet.seq - self._last_seq) & 0xFFFF < 0x8000",
        "packet.seq != self._last_seq",
        ("link/test_link.py",),
    ),
    Mutation(
        "the board forgets its replies",
        "board/stub/stub_board.py",
        "self._replies.append(",
        "bool(",
        ("link/test_link.py", "test_campaign.py"),
    ),
    Mutation(
        "a resend gets a new seq",
        "board/link/outbox.py",
        "                    self._counters.resends += 1\n",
        "                    self._counters.resends += 1\n"
        "                    frame = self._next_frame(opcode, payload)\n",
        ("link/test_link.py",),
    ),
    Mutation(
        "a reply to another seq is taken",
        "board/link/inbox.py",
        "self._pending.get(packet.seq)",
        "next(iter(self._pending.values()), None)",
        ("link/test_link.py", "test_campaign.py", "stub/test_faults.py"),
    ),
    Mutation(
        "the answer to another host's HELLO is taken",
        "board/link/inbox.py",
        "if packet.payload and not packet.payload.startswith(slot.nonce):",
        "if False:",
        ("link/test_opening.py",),
    ),
    Mutation(
        "a board that starts is not waited for",
        "board/link/outbox.py",
        "(4.0 * REPLY_WALL_S,)",
        "(REPLY_WALL_S,)",
        ("link/test_opening.py",),
    ),
    Mutation(
        "um_from_steps with the wrong sign",
        "board/axis.py",
        "return pos_steps * um_per_step",
        "return -pos_steps * um_per_step",
        ("test_axis_rules.py",),
    ),
    Mutation(
        "overshoot to the wrong side",
        "board/axis.py",
        "start_steps = target_steps - overshoot_steps",
        "start_steps = target_steps + overshoot_steps",
        ("test_axis_rules.py",),
    ),
    Mutation(
        "target first, overshoot after",
        "board/axis.py",
        "return (start_steps, target_steps) if",
        "return (target_steps, start_steps) if",
        ("test_axis_rules.py",),
    ),
    Mutation(
        "engagement of the other flank",
        "board/axis.py",
        "Engagement.UP if delta_steps > 0",
        "Engagement.UP if delta_steps < 0",
        ("test_axis_rules.py",),
    ),
    Mutation(
        "way points are not held against the limits",
        "board/axis.py",
        "if point_steps < self._min_steps:",
        "if point_steps < self._min_steps - 10**6:",
        ("test_axis_on_stub.py",),
    ),
    Mutation(
        "no margin for the true position",
        "board/axis.py",
        "min(config.highest_um,",
        "min(config.max_um,",
        ("test_campaign.py", "test_upper_limit.py"),
    ),
    Mutation(
        "the margin leaves out that a motor without current falls to a full step",
        "board/config.py",
        "self.um_per_step + falls_um +",
        "self.um_per_step +",
        ("test_upper_limit.py",),
    ),
    Mutation(
        "the margin leaves out the error of the screw",
        "board/config.py",
        " + self.screw_error_um +",
        " +",
        ("test_upper_limit.py",),
    ),
    Mutation(
        "the board carries out what its motor cannot follow",
        "board/stub/ratings.py",
        "if is_followed(speed_steps_per_s, accel_steps_per_s2, *ends) else",
        "if True else",
        ("test_pull_out.py",),
    ),
    Mutation(
        "the host asks for what the motor cannot follow",
        "board/link_motor.py",
        "        self._require_followed(rates, asked)\n        expected_s",
        "        expected_s",
        ("test_pull_out.py",),
    ),
    Mutation(
        "a homing at what the motor cannot follow is sent",
        "board/link_motor.py",
        "        self._require_followed(rates, asked)\n        speed, accel",
        "        speed, accel",
        ("test_pull_out.py",),
    ),
    Mutation(
        "the watchdog leaves the lamp on",
        "board/stub/machine.py",
        "        self._break_off(MoveResult.WATCHDOG)\n        self._lamp.darken(self._now_s)\n",
        "        self._break_off(MoveResult.WATCHDOG)\n",
        ("link/test_link.py",),
    ),
    Mutation(
        "the watchdog lets the motors run on",
        "board/stub/machine.py",
        "        self._break_off(MoveResult.WATCHDOG)\n",
        "",
        ("link/test_link.py",),
    ),
    Mutation(
        "a reboot is taken for the same board",
        "board/link/answers.py",
        "return hello.unit_serial, hello.boot_id",
        "return hello.unit_serial, 0",
        ("link/test_recovery.py",),
    ),
    Mutation(
        "a STOP does not keep later parts of a motion from starting",
        "board/link/outbox.py",
        "                    self.stops += 1\n",
        "                    pass\n",
        ("link/test_link.py",),
    ),
    Mutation(
        "a stuck switch sends the stage up",
        "board/stub/machine.py",
        "axis.seek_release(now_s, off_steps, slow_steps_per_s) is None",
        "axis.seek_release(now_s, whole_steps, slow_steps_per_s) is None",
        ("stub/test_faults.py",),
    ),
    Mutation(
        "the watchdog does not guard a lit lamp",
        "board/stub/machine.py",
        "elif not self._lamp.is_used:",
        "else:",
        ("test_light.py",),
    ),
    Mutation(
        "a reply or an event of another session is taken",
        "board/link/inbox.py",
        "return packet.session == self.session or (is_refusal and packet.session == 0)",
        "return True",
        ("link/test_sessions.py",),
    ),
    Mutation(
        "a refusal in session 0 is not understood",
        "board/link/inbox.py",
        " or (is_refusal and packet.session == 0)",
        "",
        ("test_protocol_promises.py",),
    ),
    Mutation(
        "an inner turn forgets the STOP that ended the outer one",
        "board/motion.py",
        "self._stops = asked if outer is None else outer",
        "self._stops = asked",
        ("link/test_link.py",),
    ),
    Mutation(
        "watchdog and lamp are not asked for again in a new session",
        "board/link/link.py",
        "                    self.open_session()\n                    self._repeat()\n",
        "                    self.open_session()\n",
        ("link/test_sessions.py",),
    ),
    Mutation(
        "an e-stop leaves the host its positions",
        "board/board.py",
        "        self._motion.forget()\n        self._lamp.forget()",
        "        self._lamp.forget()",
        ("stub/test_faults.py",),
    ),
    Mutation(
        "an e-stop line leaves the host its positions",
        "board/board.py",
        "        self._motion.forget()\n        self._lamp.forget()",
        "        self._lamp.forget()",
        ("test_guarded.py",),
    ),
    Mutation(
        "a homing has only the time that the configured limits need",
        "board/link_motor.py",
        "travel_steps = self.ratings.max_steps - self.ratings.min_steps",
        "travel_steps = (config.max_um - config.min_um) / config.um_per_step",
        ("test_homing.py",),
    ),
    Mutation(
        "a homing that timed out is left decelerating",
        "board/motion.py",
        "                    self.wait_for_rest(job.stops_in_s)\n",
        "                    pass\n",
        ("test_homing.py",),
    ),
    Mutation(
        "the board refuses in another order than the document's",
        "board/stub/machine.py",
        "        if move_id <= self._last_move_id:\n            return Status.DUPLICATE\n"
        "        return Status.OK if self._motion is None else Status.BUSY\n",
        "        if self._motion is not None:\n            return Status.BUSY\n"
        "        return Status.DUPLICATE if move_id <= self._last_move_id else Status.OK\n",
        ("test_protocol_refusals.py",),
    ),
    Mutation(
        "a stub deletes the user's link",
        "board/stub/place.py",
        "if not has_side or _PSEUDO_TERMINAL.fullmatch(target) is None:",
        "if False:",
        ("stub/test_place.py",),
    ),
    Mutation(
        "a lens is moved as if it had play",
        "board/axis.py",
        "if ratings.has_play else 0",
        "if True else 0",
        ("test_motor.py",),
    ),
    Mutation(
        "a position outlives the start of the board that knew it",
        "board/axis.py",
        "if not self._known or self._epoch != self._motor.epoch:",
        "if not self._known:",
        ("test_motor.py",),
    ),
    Mutation(
        "a board without a lamp is asked to turn it off",
        "board/board.py",
        "if self.capabilities.has_lamp:",
        "if True:",
        ("test_open.py",),
    ),
    Mutation(
        "a kind of board that is not built is accepted",
        "board/config.py",
        "if self.kind not in BOARD_KINDS:",
        "if False:",
        ("test_open.py",),
    ),
    Mutation(
        "the e-stop line is read the wrong way round",
        "board/gpio.py",
        "return self._gpio.input(pin) == self._gpio.HIGH",
        "return self._gpio.input(pin) == self._gpio.LOW",
        ("test_guarded.py",),
    ),
    Mutation(
        "an e-stop line that cannot be read counts as released",
        "board/guarded.py",
        "return True  # as with a broken wire",
        "return False  # as with a broken wire",
        ("test_guarded.py",),
    ),
    Mutation(
        "a board is opened while its e-stop is pressed",
        "board/guarded.py",
        "if is_watched and lines.estop_pressed():",
        "if is_watched and lines.estop_pressed() and False:",
        ("test_guarded.py",),
    ),
)


def survives(mutation: Mutation, tree: Path) -> bool:
    """Whether the tests of `mutation` pass in `tree` with it applied. Restores the tree."""
    file = tree / mutation.file
    text = file.read_text()
    if mutation.old not in text:
        raise ValueError(f"mutation {mutation.name!r}: {mutation.file} has no {mutation.old!r}. Adapt it.")
    file.write_text(text.replace(mutation.old, mutation.new))
    try:
        return passes(tree, mutation.tests)
    finally:
        file.write_text(text)


def passes(tree: Path, tests: tuple[str, ...]) -> bool:
    """Whether these tests of tests/board pass in `tree`."""
    environment = {**os.environ, "PYTHONPATH": f"{tree / 'path'}:{tree}", "PYTHONDONTWRITEBYTECODE": "1"}
    names = [f"tests/board/{name}" for name in tests]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *names]
    try:
        done = subprocess.run(
            command,
            cwd=tree,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False  # a test that hangs has detected it, too
    if done.returncode not in (0, 1):
        raise RuntimeError(f"pytest could not run in {tree}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0


def copy_of_the_tree(tree: Path) -> None:
    """Copy what the tests of the board need, importable as `parfocal` from `tree`/path."""
    for name in COPIED:
        source = ROOT / name
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.onnx"))
        else:
            shutil.copy(source, tree / name)
    (tree / "path" / "parfocal").mkdir(parents=True)
    shutil.copy(ROOT / "parfocal" / "__init__.py", tree / "path" / "parfocal")
    for folder in ("board", "edge", "engines", "calib"):
        (tree / "path" / "parfocal" / folder).symlink_to(tree / folder)


def main() -> int:
    """Run every mutation. Returns 1 if one survives."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_of_the_tree(tree)
        every = tuple(sorted({name for mutation in MUTATIONS for name in mutation.tests}))
        if not passes(tree, every):
            print("the tests fail without any mutation. Make them pass first.")
            return 1
        survivors = []
        for mutation in MUTATIONS:
            alive = survives(mutation, tree)
            print(f"{'SURVIVES' if alive else 'detected'}: {mutation.name}", flush=True)
            survivors += [mutation.name] if alive else []
    print(
        f"{len(MUTATIONS)} mutations, {len(survivors)} survive" + "".join(f"\n  {name}" for name in survivors)
    )
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
