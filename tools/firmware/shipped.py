"""Build the firmware image that the package ships: `python -m tools.firmware.shipped`. Needs gcc-arm-none-eabi.

Beside it lies a note of what it was made of, so that a test without the compiler notices a stale image.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.firmware import uf2

FIRMWARE = Path(__file__).parents[2] / "board" / "firmware"
IMAGE = FIRMWARE / "parfocal-rp2040.uf2"
NOTE = FIRMWARE / "parfocal-rp2040.json"
_SOURCES = ("*.c", "*.h", "rp2040/*.c", "rp2040/*.h", "rp2040/link.ld", "rp2040/Makefile")


def sources_sha256() -> str:
    """Return the hash of everything that the image is made of."""
    made = hashlib.sha256()
    for pattern in _SOURCES:
        for file in sorted(FIRMWARE.glob(pattern)):
            made.update(f"{file.relative_to(FIRMWARE)}\0".encode() + file.read_bytes() + b"\0")
    return made.hexdigest()


def compiler() -> str:
    """Return the first line of what the compiler says about itself. Raises FileNotFoundError without one."""
    said = subprocess.check_output(["arm-none-eabi-gcc", "--version"], text=True)
    return said.splitlines()[0]


def built() -> bytes:
    """Return the UF2 file of the sources."""
    with tempfile.TemporaryDirectory() as out:
        make = ["make", "--silent", "-C", str(FIRMWARE / "rp2040"), f"OUT={out}"]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        return uf2.uf2(uf2.bootable(Path(out, "parfocal-rp2040.bin").read_bytes()))


def main() -> int:
    """Write image and note."""
    image = built()
    IMAGE.write_bytes(image)
    note = {
        "compiler": compiler(),
        "sources_sha256": sources_sha256(),
        "sha256": hashlib.sha256(image).hexdigest(),
    }
    NOTE.write_text(json.dumps(note, indent=1) + "\n")
    print(f"{IMAGE}: {len(image):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
