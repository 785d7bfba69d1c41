"""What a command ends with, after DESIGN: 2 usage, 3 board, 4 engine, 6 focus or scan."""

from parfocal.board.errors import BoardError
from parfocal.edge.errors import CameraFailed, FocusLost
from parfocal.engines.errors import EngineError

EXIT_USAGE, EXIT_BOARD, EXIT_ENGINE, EXIT_FOCUS = 2, 3, 4, 6


def exit_code(error: Exception) -> int:
    """The exit code of a command that ended with this error."""
    if isinstance(error, BoardError | CameraFailed):
        return EXIT_BOARD
    if isinstance(error, EngineError):
        return EXIT_ENGINE
    return EXIT_FOCUS if isinstance(error, FocusLost) else EXIT_USAGE
