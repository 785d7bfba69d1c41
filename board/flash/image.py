"""The firmware as a UF2 file: what a Pico in boot mode takes, block by block, and the serial number in it.

Format: blocks of 512 bytes with up to 476 bytes of flash each, and the family of the chip that they are for
(https://github.com/microsoft/uf2).
"""

from __future__ import annotations

import struct
from pathlib import Path

from parfocal.board.errors import FlashFailed

SHIPPED = Path(__file__).resolve().parents[1] / "firmware" / "parfocal-rp2040.uf2"
MAX_SERIAL = 0xFFFFFFFF
FAMILY_RP2040 = 0xE48BFF56
_BLOCK_BYTES = 512
_HEAD = struct.Struct("<8I")
_MAGIC = (0x0A324655, 0x9E5D5157)
_END = 0x0AB16F30
_HAS_FAMILY = 0x2000
_DATA_AT, _MOST_DATA_BYTES = 32, 476
_FLASH, _FLASH_END = 0x10000000, 0x11000000
_FAMILIES = {
    FAMILY_RP2040: "RP2040",
    0xE48BFF57: "RP2350 or RP2040, absolute",
    0xE48BFF59: "RP2350 (Arm)",
    0xE48BFF5A: "RP2350 (RISC-V)",
    0xADA52840: "nRF52840",
    0x68ED2B88: "SAMD21",
    0x55114460: "SAMD51",
    0x57755A57: "STM32F4",
}
# `pf_serial` of rp2040/hal.c.
_MARK = b"parfocal serial:"


def checked_uf2(data: bytes, name: str) -> bytes:
    """The UF2 file `name` itself, if all of it is for the flash of an RP2040. Raises FlashFailed."""
    n_blocks = len(data) // _BLOCK_BYTES
    if n_blocks == 0 or len(data) % _BLOCK_BYTES:
        raise FlashFailed(
            f"{name} is not a UF2 file: {len(data)} bytes are not whole blocks of {_BLOCK_BYTES}"
        )
    for i in range(n_blocks):
        block = data[i * _BLOCK_BYTES : (i + 1) * _BLOCK_BYTES]
        *magic, flags, at, n_bytes, number, n_all, family = _HEAD.unpack_from(block)
        if tuple(magic) != _MAGIC or struct.unpack("<I", block[-4:])[0] != _END:
            raise FlashFailed(f"{name} is not a UF2 file: block {i} lacks its marks")
        if not flags & _HAS_FAMILY or family != FAMILY_RP2040:
            found = _FAMILIES.get(family, f"family {family:#010x}") if flags & _HAS_FAMILY else "no family"
            raise FlashFailed(
                f"{name} is for another chip ({found}), not for the RP2040 of a Raspberry Pi Pico. Nothing was written."
            )
        if (number, n_all) != (i, n_blocks):
            raise FlashFailed(
                f"{name} is incomplete: block {number} of {n_all} stands where {i} of {n_blocks} should"
            )
        if n_bytes > _MOST_DATA_BYTES or not _FLASH <= at <= _FLASH_END - n_bytes:
            raise FlashFailed(f"{name} writes outside the flash, at {at:#010x}. Nothing was written.")
    return data


def with_serial(data: bytes, unit_serial: int) -> bytes:
    """The firmware of a board with this serial number. Raises FlashFailed where the file has no place for one."""
    if not 0 < unit_serial <= MAX_SERIAL:
        raise ValueError(f"serial number {unit_serial} is invalid: it must be 1 to {MAX_SERIAL}")
    if data.count(_MARK) != 1:
        raise FlashFailed(
            "this firmware has no place for a serial number, so it is not one of parfocal. Leave --serial out."
        )
    at = data.index(_MARK) + len(_MARK)
    return data[:at] + struct.pack("<I", unit_serial) + data[at + 4 :]


def serial_of(data: bytes) -> int | None:
    """The serial number in a firmware, None where it has no place for one."""
    if data.count(_MARK) != 1:
        return None
    found: tuple[int] = struct.unpack_from("<I", data, data.index(_MARK) + len(_MARK))
    return found[0]
