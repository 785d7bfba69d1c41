"""A cable to the RP2040 image, which runs in rp2040js in a process of its own and in the time of its own clock."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from parfocal.board.clock import VirtualClock

SCRIPT = Path(__file__).with_name("emulator.mjs")
_LOOK_S = 0.0005


class EmulatedBoard:
    """The emulated chip. Time passes only in `run_until`."""

    def __init__(self, image: Path, rp2040js: Path) -> None:
        """`rp2040js`: the folder that holds `node_modules/rp2040js`."""
        command = ["node", str(SCRIPT), str(image), str(rp2040js)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._now_us = 0

    def run_until(self, time_us: int, data: bytes = b"", **asked: object) -> dict[str, Any]:
        """Give it bytes, run it until `time_us`; what it said, and what was measured."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"until_us": time_us, "data": data.hex(), **asked}) + "\n")
        stdin.flush()
        line = stdout.readline()
        assert line, "the emulator has ended"
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """End the emulator."""
        with self._process as process:  # closes both pipes, then waits
            assert process.stdin is not None
            process.stdin.close()


class EmulatedCable:
    """A `Transport` to the emulated chip, in virtual time. It may be closed and opened again."""

    def __init__(self, board: EmulatedBoard, clock: VirtualClock) -> None:
        self._board, self._clock = board, clock
        self._pending = b""

    def write(self, data: bytes) -> None:
        self._pending += data

    def read(self, timeout_s: float) -> bytes:
        deadline_s = self._clock.now_s() + timeout_s
        while True:
            now_s = self._clock.now_s()
            until_s = min(deadline_s, now_s + _LOOK_S, self._clock.next_timer_s())
            pending, self._pending = self._pending, b""
            said = self._board.run_until(round(until_s * 1e6), pending)["out"]
            self._clock.advance_to(until_s)
            if said:
                return b"".join(bytes.fromhex(data) for _, data in said)
            if now_s >= deadline_s:
                return b""

    def close(self) -> None: ...
