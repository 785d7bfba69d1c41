"""A bare echo over a pty: the least that two processes on this machine can take for a round trip.

No packets, no board, nothing kept: `select`, `os.read` and `os.write` at both ends. Against it the link is
measured, as the wake-up of a process and the kernel's pty cost what they cost, differently on every machine.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator

_ANSWER_WALL_S = 5.0

# Ends when its standard input is closed.
ECHO = """
import os
import select
import sys
import tty
master, slave = os.openpty()
tty.setraw(slave)
print(os.ttyname(slave), flush=True)
request_bytes, reply = int(sys.argv[1]), bytes(int(sys.argv[2]))
sources = [master, sys.stdin.fileno()]
got_bytes = 0
while select.select(sources, [], [])[0] == [master]:
    got_bytes += len(os.read(master, 4096))
    if got_bytes == request_bytes:
        os.write(master, reply)
        got_bytes = 0
"""


class BareEcho:
    """The host's end: whatever is sent, `reply_bytes` come back."""

    def __init__(self, tty_path: str, request_bytes: int, reply_bytes: int) -> None:
        self._fd = os.open(tty_path, os.O_RDWR | os.O_NOCTTY)
        self._request = bytes(request_bytes)
        self._reply_bytes = reply_bytes

    def round_trip_ms(self) -> float:
        """Time from before the request is written until the whole reply is read, ms."""
        began_s, left_bytes = time.perf_counter(), self._reply_bytes
        os.write(self._fd, self._request)
        while left_bytes > 0:
            assert select.select([self._fd], [], [], _ANSWER_WALL_S)[0], "the echo does not answer"
            left_bytes -= len(os.read(self._fd, 4096))
        taken_s = time.perf_counter() - began_s
        assert left_bytes == 0, "a reply that belongs to an earlier request"
        return taken_s * 1000.0

    def close(self) -> None:
        os.close(self._fd)


@contextlib.contextmanager
def bare_echo(request_bytes: int, reply_bytes: int) -> Iterator[BareEcho]:
    """An echo process, and the host's end of its pty."""
    command = [sys.executable, "-c", ECHO, str(request_bytes), str(reply_bytes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        echo = BareEcho(process.stdout.readline().strip(), request_bytes, reply_bytes)
        try:
            yield echo
        finally:
            process.stdin.close()
            assert process.wait(timeout=10.0) == 0
            echo.close()
