"""The image for the RP2040: it fits, and in an emulator it keeps every promise, over its own USB.

The emulator is rp2040js. It models neither the flash cache nor real USB, and the boot ROM and second boot stage are
not run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from parfocal.board.clock import VirtualClock
from parfocal.board.conformance.bench import Bench
from parfocal.board.conformance.run import CHECKS, Asked, run_conformance
from parfocal.board.stub.firmware.library import SOURCES
from parfocal.board.wire import messages
from parfocal.board.wire.messages import Status
from tests.board.firmware.emulator.emulated import EmulatedBoard, EmulatedCable
from tools.firmware import shipped as shipped_firmware
from tools.firmware import uf2

ROOT = Path(__file__).parents[3]
# `make firmware-check` puts it there.
RP2040JS = Path(os.environ.get("RP2040JS", ROOT / "build" / "rp2040js"))
EMULATOR = Path(__file__).parent / "emulator"
CYCLE_US = 1.0 / 125.0
MAX_FLASH_BYTES = 64 * 1024


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("arm-none-eabi-gcc") is None or shutil.which("make") is None:
        pytest.skip("no compiler for the RP2040 here: `apt install gcc-arm-none-eabi`")
    return _built(tmp_path_factory.mktemp("rp2040"))


def _built(out: Path, *options: str) -> Path:
    subprocess.run(["make", "--silent", "-C", SOURCES / "rp2040", f"OUT={out}", *options], check=True)
    return out / "parfocal-rp2040.bin"


@pytest.fixture(scope="module")
def emulator() -> Path:
    if shutil.which("node") is None or not (RP2040JS / "node_modules" / "rp2040js").is_dir():
        pytest.skip("no emulator here: `make firmware-check` fetches rp2040js and runs this test")
    return RP2040JS


def _emulated(emulator: Path, image: Path) -> Iterator[EmulatedBoard]:
    board = EmulatedBoard(image, emulator)
    yield board
    board.close()


@pytest.fixture
def emulated(emulator: Path, image: Path) -> Iterator[EmulatedBoard]:
    yield from _emulated(emulator, image)


@pytest.fixture
def fast(emulator: Path, image: Path) -> Iterator[EmulatedBoard]:
    """A board whose stage follows 20,000 steps/s on every axis."""
    yield from _emulated(emulator, _built(image.parent / "fast", f"CONFIG={EMULATOR / 'fast.c'}"))


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


@pytest.mark.parametrize("speeds", [(20000, 20000, 20000), (20000, 19990, 19970)])
def test_three_axes_step_together_at_20_000_a_second(
    fast: EmulatedBoard, speeds: tuple[int, int, int]
) -> None:
    """At one speed they keep their distance in time; at speeds that differ a little all meet, again and again."""
    clock = VirtualClock(0.1)
    bench = Bench(lambda: EmulatedCable(fast, clock), clock)
    bench.first_session()
    bench.calm()
    assert bench.ask(messages.Watchdog(60000, 60000)).status == Status.OK
    for axis in (4, 1, 2):
        assert bench.ask(messages.Home(bench.next_move_id(), axis, 4000, 400, 80000)).status == Status.OK
        bench.hear(4.0)
    assert bench.state().homed == 7
    homing = fast.run_until(round(clock.now_s() * 1e6), edges=True)
    together = messages.MoveAbs(bench.next_move_id(), 7, (16000,) * 3, speeds, (200000,) * 3)
    assert bench.ask(together).status == Status.OK
    bench.hear(0.15)  # every axis is at full speed
    fast.run_until(round(clock.now_s() * 1e6), edges=True)
    bench.hear(0.5)
    found = fast.run_until(round(clock.now_s() * 1e6), edges=True)
    bench.hear(0.5)
    assert bench.state().pos_steps == (16000, 16000, 16000)
    ending = fast.run_until(round(clock.now_s() * 1e6), edges=True)
    jitter_us = []
    for times_ns, speed in zip(found["edges"], speeds, strict=True):
        times_us = np.array(times_ns) / 1000.0
        assert len(times_us) == pytest.approx(0.5 * speed, rel=0.01)
        late_us = times_us - times_us[0] - np.arange(len(times_us)) * 1e6 / speed
        jitter_us.append(float(late_us.max() - late_us.min()))
    isr = found["isr"]
    ending_us, homing_us = (seen["isr"]["longest"] * CYCLE_US for seen in (ending, homing))
    mean_us, longest_us = isr["sum"] / isr["n"] * CYCLE_US, isr["longest"] * CYCLE_US
    load = isr["sum"] * CYCLE_US / 5e5
    print(  # noqa: T201  # `make firmware-check` shows it
        f"{speeds} steps/s: alarm {mean_us:.2f} us on average, {longest_us:.2f} us at most, "
        f"{ending_us:.1f} us at the end of the move, {homing_us:.1f} us "
        f"in a homing; {100 * load:.0f} % of the processor; jitter {max(jitter_us):.1f} us peak to peak"
    )
    assert longest_us <= 5.0
    assert max(jitter_us) <= 10.0
    assert load <= 0.25
    assert homing_us <= 50.0


def test_a_position_triggers_with_its_step_and_the_pulse_lasts_100_us(emulated: EmulatedBoard) -> None:
    clock = VirtualClock(0.1)
    bench = Bench(lambda: EmulatedCable(emulated, clock), clock)
    bench.first_session()
    bench.calm()
    assert bench.ask(messages.Watchdog(60000, 60000)).status == Status.OK
    assert bench.ask(messages.Home(bench.next_move_id(), 4, 1600, 160, 80000)).status == Status.OK
    bench.hear(6.0)
    emulated.run_until(round(clock.now_s() * 1e6), edges=True)
    assert bench.ask(messages.PositionTrigger(1, 4, 200, 100, 5, 0, 500, 9000)).status == Status.OK
    assert bench.ask(bench.move(2, 800, 3000, 80000)).status == Status.OK
    bench.hear(1.0)
    found = emulated.run_until(round(clock.now_s() * 1e6), edges=True)
    at_ns = [found["edges"][2][200 + 100 * i - 1] for i in range(5)]
    late_us = [(begin - at) / 1000.0 for (begin, _), at in zip(found["triggers"], at_ns, strict=True)]
    pulses_us = [(end - begin) / 1000.0 for begin, end in found["triggers"]]
    print(f"trigger: {max(late_us):.1f} us after its step, pulse {min(pulses_us):.0f} us")  # noqa: T201
    assert 0.0 < max(late_us) <= 10.0
    assert all(95.0 <= pulse_us <= 120.0 for pulse_us in pulses_us)
