"""The image for the RP2040: it fits, and in an emulator it keeps every promise, over its own USB.

The emulator is rp2040js. It models neither the flash cache nor real USB, and the boot ROM and second boot stage are
not run.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from parfocal.board.clock import VirtualClock
from parfocal.board.conformance.bench import Bench
from parfocal.board.conformance.run import CHECKS, Asked, run_conformance
from parfocal.board.wire import messages
from parfocal.board.wire.messages import Status
from tests.board.firmware.emulator.emulated import EmulatedBoard, EmulatedCable
from tests.board.firmware.emulator.timing import assert_timely
from tools.firmware import shipped as shipped_firmware
from tools.firmware import uf2

MAX_FLASH_BYTES = 64 * 1024


def test_the_image_fits_and_begins_with_a_boot_stage(image: Path) -> None:
    data = image.read_bytes()
    assert len(data) < MAX_FLASH_BYTES
    stack, reset = np.frombuffer(data[256:264], "<u4")
    assert stack == 0x20040000
    assert uf2.FLASH <= reset < uf2.FLASH + len(data)
    assert reset % 2 == 1  # Thumb code
    assert any(data[:252])
    assert not any(data[252:256])  # the place of the CRC


def test_a_build_makes_the_shipped_image_bit_by_bit(image: Path) -> None:
    note = json.loads(shipped_firmware.NOTE.read_text())
    if shipped_firmware.compiler() != note["compiler"]:
        pytest.skip(f"another compiler here: the shipped image was made with {note['compiler']}")
    assert uf2.uf2(uf2.bootable(image.read_bytes())) == shipped_firmware.IMAGE.read_bytes()


def test_all_code_but_the_start_is_in_ram(image: Path) -> None:
    """No step waits for the flash or its cache."""
    listing = subprocess.check_output(
        ["arm-none-eabi-nm", str(image.parent / "rp2040" / "board.elf")], text=True
    )
    addresses = {name: int(at, 16) for at, name in re.findall(r"^(\w+) [tT] ([\w.]+)$", listing, re.M)}
    in_flash = {name for name, at in addresses.items() if at >> 24 == 0x10 and not name.endswith("_veneer")}
    assert in_flash == {"boot2", "first_vectors", "pf_serial", "reset"}
    assert addresses["on_alarm"] >> 24 == addresses["divide"] >> 24 == 0x20


def test_a_uf2_file_holds_the_image_and_the_crc_of_its_boot_stage(image: Path) -> None:
    data = image.read_bytes()
    file = uf2.uf2(uf2.bootable(data))
    assert len(file) % 512 == 0
    blocks = [file[at : at + 512] for at in range(0, len(file), 512)]
    held = b"".join(block[32:288] for block in blocks)
    assert held[256 : len(data)] == data[256:]
    # With its CRC behind it, a CRC of this kind comes to zero when the bytes of the CRC are in its own order.
    assert uf2.boot_crc(held[:252] + held[252:256][::-1]) == 0
    for i, block in enumerate(blocks):
        words = np.frombuffer(block[:32], "<u4")
        assert [int(word) for word in words[2:]] == [
            0x2000,
            0x10000000 + 256 * i,
            256,
            i,
            len(blocks),
            0xE48BFF56,
        ]
    with pytest.raises(ValueError, match="the boot stage is longer than 252 bytes"):
        uf2.bootable(b"\1" * 1000)


def test_the_emulated_board_keeps_every_promise(emulated: EmulatedBoard) -> None:
    clock = VirtualClock(0.1)
    report = run_conformance(
        lambda: EmulatedCable(emulated, clock), clock, Asked(lambda: True, with_estop=True)
    )
    assert report.broken == ()
    assert report.n_kept == len(CHECKS)
    assert_timely("a conformance run", emulated.run_until(round(clock.now_s() * 1e6), edges=True))


def test_the_button_latches_the_emergency_stop_and_holds_it_while_it_is_pressed(
    emulated: EmulatedBoard,
) -> None:
    clock = VirtualClock(0.1)
    bench = Bench(lambda: EmulatedCable(emulated, clock), clock)
    bench.first_session()
    emulated.run_until(round(clock.now_s() * 1e6), estop=True)
    bench.hear(0.02)
    state = bench.state()
    assert (state.faults, state.motors) == (messages.Fault.ESTOP, 0)
    assert bench.ask(messages.Clear(messages.Fault.ESTOP)).status == Status.ESTOP
    emulated.run_until(round(clock.now_s() * 1e6), estop=False)
    bench.hear(0.02)
    assert bench.state().faults == messages.Fault.ESTOP
    assert bench.ask(messages.Clear(messages.Fault.ESTOP)).status == Status.OK
    assert bench.state().faults == 0
