"""Frames that were lost on the way, by the ids that a camera gives them. Pure."""

_WRAPS_AT = 0xFFFF  # GigE Vision 1.x: 16 bits, and 0 is left out; others count in 64 bits


def n_lost_between(earlier: int, later: int) -> int:
    """How many frames lie between two that came one after the other. 0 if the camera began to count anew."""
    if later > earlier:
        return later - earlier - 1
    left = _WRAPS_AT - earlier
    # A count that begins anew where no 16-bit count ends was restarted with the acquisition.
    return left + later - 1 if 0 <= left < _WRAPS_AT // 2 and 1 <= later < _WRAPS_AT // 2 else 0
