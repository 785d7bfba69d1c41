"""Errors of the board, sorted by what the caller does next."""


class BoardError(Exception):
    """Root of every error that leaves `parfocal.board`."""


class BoardNotFound(BoardError):
    """No board answers at the port. Plug it in, or name another port."""


class PortInUse(BoardNotFound):
    """Another program has the port. End it, or name another port."""


class BadPort(BoardError, ValueError):
    """What was given is no name of a port. Correct it; nothing was opened."""


class ProtocolMismatch(BoardError):
    """The board speaks another message table. Reflash it; nothing was moved."""


class EstopPressed(BoardError):
    """The emergency stop is pressed, or its wire is broken. Release it; nothing was moved."""


class LinkTimeout(BoardError):
    """The board is there but did not answer, or did not finish a move, in the time computed for it."""


class MoveRefused(BoardError):
    """A move was refused before it began. Nothing moved."""


class MoveStopped(BoardError):
    """A move ended before its target (STOP or watchdog). The position is known; decide anew."""


class PositionLost(BoardError):
    """The step counter can no longer be trusted. Home the axes."""
