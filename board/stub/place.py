"""Where a stub process may put its link and its socket: nothing that it has not made itself is ever replaced."""

from __future__ import annotations

import errno
import os
import re
import socket
from pathlib import Path

_MAX_SOCKET_PATH_BYTES = 107  # sun_path of unix(7), less its end
_PSEUDO_TERMINAL = re.compile(r"/dev/pts/\d+")
_ELSEWHERE = "Choose another --link PATH."


def bound(link: Path, side: Path) -> socket.socket:
    """A socket at `side`, which nobody listens to yet. Raises ValueError where it cannot be made."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.bind(str(side))
    except OSError as error:
        server.close()
        why = os.strerror(error.errno or 0).lower()
        raise ValueError(
            f"stub at {link} not started: no socket can be made in {link.parent} ({why}). {_ELSEWHERE}"
        ) from error
    return server


def check_place(link: Path, side: Path) -> None:
    """Raises ValueError where link and socket cannot be made at all."""
    n_bytes = len(os.fsencode(side))
    if n_bytes > _MAX_SOCKET_PATH_BYTES:
        raise ValueError(
            f"stub at {link} not started: {side.name} beside it makes a path of {n_bytes} bytes, and a socket's "
            f"has at most {_MAX_SOCKET_PATH_BYTES}. Choose a shorter --link PATH."
        )
    if not link.parent.is_dir():
        raise ValueError(
            f"stub at {link} not started: {link.parent} is no folder. Make it, or choose another --link PATH."
        )


def clear_remains(link: Path, side: Path) -> None:
    """Remove link and socket of a stub that is dead: the link goes to a pseudo-terminal, nobody is at the socket.

    Raises FileExistsError for anything else.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        answer = probe.connect_ex(str(side))
    if answer == 0:
        raise FileExistsError(f"stub at {link} refused: a running stub is there. {_ELSEWHERE}")
    has_side = os.path.lexists(side)
    if has_side and not (side.is_socket() and answer == errno.ECONNREFUSED):
        raise FileExistsError(f"stub at {link} refused: {side} is there, and is no dead stub's. {_ELSEWHERE}")
    if os.path.lexists(link):
        if not link.is_symlink():
            raise FileExistsError(f"stub at {link} refused: a file is there. {_ELSEWHERE}")
        target = str(link.readlink())
        if not has_side or _PSEUDO_TERMINAL.fullmatch(target) is None:
            raise FileExistsError(
                f"stub at {link} refused: a link to {target} is there, and is no dead stub's. {_ELSEWHERE}"
            )
        link.unlink()
    if has_side:
        side.unlink()
