"""The side channel: TRUE positions of a stub in another process, over a unix socket, never on the tty."""

from __future__ import annotations

import socket
import struct
import threading

from parfocal.board.errors import BoardNotFound

REQUEST = struct.Struct("<d")  # time in question, s
REPLY = struct.Struct("<?4d")  # whether it is known; x, y, z in um, lamp duty 0..1
_ANSWER_WALL_S = 5.0


def side_channel_path(link_path: str) -> str:
    """Socket of the stub whose pty is linked at `link_path`."""
    return link_path + ".side"


class SideChannel:
    """The `TrueStage` of a stub process. Both need a clock of the same speed. Safe for several threads."""

    def __init__(self, path: str) -> None:
        """Connect. Raises BoardNotFound when no stub listens at `path`."""
        self._path = path
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_ANSWER_WALL_S)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise BoardNotFound(
                f"side channel at {path} not opened: no stub there. Start `parfocal stub --link PATH`."
            ) from error

    def true_um(self, time_s: float) -> tuple[float, float, float]:
        """True x, y, z at `time_s`, um. Raises ValueError outside the history, BoardNotFound."""
        x, y, z, _ = self._ask(time_s)
        return x, y, z

    def lamp_duty(self, time_s: float) -> float:
        """Duty of the lamp at `time_s`, 0..1. Raises as `true_um` does."""
        return self._ask(time_s)[3]

    def close(self) -> None:
        """Disconnect. Idempotent."""
        self._socket.close()

    def _ask(self, time_s: float) -> tuple[float, float, float, float]:
        try:
            with self._lock:
                self._socket.sendall(REQUEST.pack(time_s))
                data = b""
                while len(data) < REPLY.size:
                    chunk = self._socket.recv(REPLY.size - len(data))
                    if not chunk:
                        raise ConnectionResetError("stub hung up")
                    data += chunk
        except OSError as error:
            raise BoardNotFound(
                f"side channel {self._path} is gone: {error}. Start the stub again."
            ) from error
        known, x, y, z, duty = REPLY.unpack(data)
        if not known:
            raise ValueError(
                f"true position at {time_s} s is no longer known, or not yet known. "
                "Use a clock of the same speed as the stub's, and ask once the exposure has begun."
            )
        return x, y, z, duty
