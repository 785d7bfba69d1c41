"""What a board can do. Code that needs something asks here, and never which kind of board it has."""

from __future__ import annotations

import msgspec


class Capabilities(msgspec.Struct, frozen=True):
    """What a board can do.

    `has_lamp`: it dims a lamp. `has_strobe`: it triggers a camera and flashes the lamp by itself, at given times or
    positions. `has_lens`: it drives the current of a tunable lens.
    `has_homing`: it can tie its step counters to the stage.
    `has_watchdog`: it stops motion and light when the host falls silent.
    `has_idempotent_moves`: a move that is sent twice acts once.
    `has_checksum`: it notices a damaged command before it acts on it.
    """

    has_lamp: bool
    has_strobe: bool
    has_homing: bool
    has_watchdog: bool
    has_idempotent_moves: bool
    has_checksum: bool
    has_lens: bool = False
