"""Where a stub process may put its link and its socket. It replaces only what a dead stub has left."""

from __future__ import annotations

import errno
import os
import re
import socket
from pathlib import Path

_MAX_SOCKET_PATH_BYTES = 107  # sun_path of unix(7), less its terminating zero
_PSEUDO_TERMINAL = re.compile(r"/dev/pts/\d+")
_ELSEWHERE = "Choose another --link PATH."


def bind_socket(link: Path, side: Path) -> socket.socket:
    """Make a socket at `side`, not yet listening. Raises ValueError when that fails."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.bind(str(side))
    except OSError as error:
        server.close()
        why = os.strerror(error.errno or 0).lower()
        raise ValueError(
            f"stub at {link} not started: cannot make a socket in {link.parent} ({why}). {_ELSEWHERE}"
        ) from error
    return server


def check_place(link: Path, side: Path) -> None:
    """Raises ValueError when link and socket can never be made at this place."""
    n_bytes = len(os.fsencode(side))
    if n_bytes > _MAX_SOCKET_PATH_BYTES:
        raise ValueError(
            f"stub at {link} not started: the path of {side.name} beside it has {n_bytes} bytes, that of a socket at "
            f"most {_MAX_SOCKET_PATH_BYTES}. Choose a shorter --link PATH."
        )
    if not link.parent.is_dir():
        raise ValueError(
            f"stub at {link} not started: {link.parent} is not a folder. Make it, or choose another --link PATH."
        )


def clear_remains(link: Path, side: Path) -> None:
    """Remove the link and socket of a dead stub: a link to a pseudo-terminal, a socket that nobody listens to.

    Raises FileExistsError for anything else.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        answer = probe.connect_ex(str(side))
    if answer == 0:
        raise FileExistsError(f"stub at {link} refused: a running stub is there. {_ELSEWHERE}")
    has_side = os.path.lexists(side)
    if has_side and not (side.is_socket() and answer == errno.ECONNREFUSED):
        raise FileExistsError(
            f"stub at {link} refused: {side} is there, and no dead stub has left it. {_ELSEWHERE}"
        )
    if os.path.lexists(link):
        if not link.is_symlink():
            raise FileExistsError(f"stub at {link} refused: a file is there. {_ELSEWHERE}")
        target = str(link.readlink())
        if not has_side or _PSEUDO_TERMINAL.fullmatch(target) is None:
            raise FileExistsError(
                f"stub at {link} refused: a link to {target} is there, and no dead stub has left it. {_ELSEWHERE}"
            )
        link.unlink()
    if has_side:
        side.unlink()
