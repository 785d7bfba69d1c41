"""Exit codes.

0: done. 1: a bug in parfocal; a crash report was written. 2: usage: the command line, the configuration, or a file
named in them. 3: board or camera. 4: engine. 5: calibration. 6: focus or scan. 128 + n: ended by signal n: 130 by
Ctrl-C, 129 by a closed terminal, 143 by SIGTERM, 141 by a closed pipe.
"""

import signal

from parfocal.board.errors import BoardError
from parfocal.calib.errors import CalibError
from parfocal.edge.errors import CameraFailed
from parfocal.edge.focus.result import FocusLost
from parfocal.edge.scan.tiling.journal import JournalNotWritten
from parfocal.edge.scan.tiling.moving.going import ScanAborted
from parfocal.edge.scan.tiling.writer import TileNotWritten
from parfocal.edge.surface.points import SurfaceRefused
from parfocal.engines.errors import EngineError

EXIT_BUG, EXIT_USAGE, EXIT_BOARD, EXIT_ENGINE, EXIT_CALIBRATION, EXIT_FOCUS = 1, 2, 3, 4, 5, 6


def exit_code(error: Exception) -> int:
    """The exit code for an error of parfocal."""
    if isinstance(error, ValueError):  # an invalid argument, of whatever part
        return EXIT_USAGE
    if isinstance(error, BoardError | CameraFailed):
        return EXIT_BOARD
    if isinstance(error, EngineError):
        return EXIT_ENGINE
    if isinstance(error, CalibError):
        return EXIT_CALIBRATION
    return (
        EXIT_FOCUS
        if isinstance(error, FocusLost | JournalNotWritten | ScanAborted | SurfaceRefused | TileNotWritten)
        else EXIT_USAGE
    )


def exit_code_of_signal(number: signal.Signals) -> int:
    """The exit code of a command ended by a signal, as shells count it."""
    return 128 + number
