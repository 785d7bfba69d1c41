"""What a command ends with.

0: done. 1: a bug in parfocal; a crash report was written. 2: usage: the command line, the configuration, or a file
that was named. 3: board or camera. 4: engine. 5: calibration. 6: focus or scan. 128 + n: ended by signal n, which is
130 for Ctrl-C, 129 for a terminal that was closed, 143 for SIGTERM, 141 for a pipe that nobody reads any more.
"""

import signal

from parfocal.board.errors import BoardError
from parfocal.edge.errors import CameraFailed
from parfocal.edge.focus.result import FocusLost
from parfocal.engines.errors import EngineError

EXIT_BUG, EXIT_USAGE, EXIT_BOARD, EXIT_ENGINE, EXIT_FOCUS = 1, 2, 3, 4, 6


def exit_code(error: Exception) -> int:
    """The exit code of a command that ended with this error of the product."""
    if isinstance(error, ValueError):  # a name or number that was given is none, whatever it is of
        return EXIT_USAGE
    if isinstance(error, BoardError | CameraFailed):
        return EXIT_BOARD
    if isinstance(error, EngineError):
        return EXIT_ENGINE
    return EXIT_FOCUS if isinstance(error, FocusLost) else EXIT_USAGE


def exit_code_of_signal(number: signal.Signals) -> int:
    """The exit code of a command that a signal ended, as shells count it."""
    return 128 + number
