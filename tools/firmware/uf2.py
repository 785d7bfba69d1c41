"""Make what a Raspberry Pi Pico takes, of a binary for its flash: `python -m tools.firmware.uf2 IMAGE.bin IMAGE.uf2`.

The boot ROM of the RP2040 runs the first 256 bytes only if the last four of them are the CRC of the others
(RP2040 datasheet 2.8.1.3). A UF2 file has blocks of 512 bytes with 256 bytes of flash each. The same binary gives the
same file.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

FLASH = 0x10000000
BOOT_BYTES = 256
PAGE_BYTES = 256
FAMILY_RP2040 = 0xE48BFF56
_HAS_FAMILY = 0x2000
_BEGIN, _BEGIN_2, _END = 0x0A324655, 0x9E5D5157, 0x0AB16F30
_POLYNOMIAL = 0x04C11DB7


def boot_crc(data: bytes) -> int:
    """Return the CRC of the boot ROM: 32 bits, most significant bit first, not inverted at the end."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ _POLYNOMIAL if crc >> 31 else crc << 1) & 0xFFFFFFFF
    return crc


def bootable(image: bytes) -> bytes:
    """Return the image with the CRC of its boot stage. Raises ValueError when that is too long."""
    if len(image) <= BOOT_BYTES or any(image[BOOT_BYTES - 4 : BOOT_BYTES]):
        raise ValueError(f"the boot stage is longer than {BOOT_BYTES - 4} bytes, or the image ends with it")
    crc = struct.pack("<I", boot_crc(image[: BOOT_BYTES - 4]))
    return image[: BOOT_BYTES - 4] + crc + image[BOOT_BYTES:]


def uf2(image: bytes) -> bytes:
    """Return the UF2 file of a bootable image."""
    pages = [image[at : at + PAGE_BYTES].ljust(PAGE_BYTES, b"\0") for at in range(0, len(image), PAGE_BYTES)]
    blocks = []
    for i, page in enumerate(pages):
        at = FLASH + i * PAGE_BYTES
        head = struct.pack("<8I", _BEGIN, _BEGIN_2, _HAS_FAMILY, at, PAGE_BYTES, i, len(pages), FAMILY_RP2040)
        blocks.append((head + page).ljust(508, b"\0") + struct.pack("<I", _END))
    return b"".join(blocks)


def main() -> int:
    """Write the UF2 file."""
    source, target = map(Path, sys.argv[1:])
    target.write_bytes(uf2(bootable(source.read_bytes())))
    print(f"{target}: {target.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
