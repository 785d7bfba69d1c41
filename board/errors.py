"""Errors of the board, sorted by what the caller does next."""


class BoardError(Exception):
    """Root of every error that leaves `parfocal.board`."""


class BoardNotFound(BoardError):
    """No board answers at the port. Plug it in, or name another port."""


class PortInUse(BoardNotFound):
    """Another program uses the port. End it, or name another port."""


class BadPort(BoardError, ValueError):
    """Not a valid name of a port. Correct it; nothing was opened."""


class ProtocolMismatch(BoardError):
    """The board uses another message table. Flash it again; nothing moved."""


class BadSettings(BoardError):
    """The board's own settings do not fit the configuration. Correct one of the two; nothing moved."""


class EstopPressed(BoardError):
    """The emergency stop is pressed, or its wire is broken. Release it; nothing moved."""


class LinkTimeout(BoardError):
    """The board did not answer, or did not finish a move, in the time computed for it."""


class MoveRefused(BoardError):
    """A move was refused before it began; nothing moved."""


class MoveStopped(BoardError):
    """A move ended before its target (STOP or watchdog). The position is known; decide again."""


class MoveBrokenOff(MoveStopped):
    """A move was stopped by what was done meanwhile, and by nobody else. The position is known; decide again."""


class PositionLost(BoardError):
    """The step counter can no longer be trusted. Home the axes."""


class FlashFailed(BoardError):
    """The firmware was not put onto a board, or the board does not answer with it."""
