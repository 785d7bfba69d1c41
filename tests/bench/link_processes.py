"""The link between separate processes over a pty, in real time: speed, idle cost, and a host that is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
import timeit
from collections.abc import Iterator
from pathlib import Path

import msgspec

from parfocal.board.clock import MonotonicClock
from parfocal.board.config import BoardConfig
from parfocal.board.errors import BoardNotFound
from parfocal.board.open import open_link
from parfocal.board.own.board import Board
from parfocal.board.stub.serving.side_channel import SideChannel, side_channel_path
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import AxisBit, Kind, Message, Opcode
from parfocal.board.wire.packet import Packet, StreamDecoder, encode
from tests.bench.bare_echo import bare_echo

Figures = dict[str, float]

BLOCK_REQUESTS = 50  # some 10 ms: shorter than what disturbs a machine mostly lasts

# The stub and the host to be killed, each in an interpreter of its own.
STUB = """
import sys
from pathlib import Path
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.faults import load_faults
from parfocal.board.stub.serving.process import run_stub
faults = load_faults(Path(sys.argv[3])) if len(sys.argv) > 3 else None
run_stub(sys.argv[1], StubConfig(), float(sys.argv[2]), faults)
"""
HOST = """
import sys
from parfocal.board.open import open_link
from parfocal.board.clock import MonotonicClock
from parfocal.board.config import BoardConfig
board = open_link(BoardConfig(port=sys.argv[1]), MonotonicClock(float(sys.argv[2])))
board.home(("z",))
board.lamp(0.5)
print("moving", flush=True)
board.z.move_to(4990.0)
"""


@contextlib.contextmanager
def stub_process(link: Path, speed: float = 1.0, faults: Path | None = None) -> Iterator[int]:
    """A stub process at `link`; its process id. Ended with SIGTERM, it must end well."""
    arguments = [
        sys.executable,
        "-c",
        STUB,
        str(link),
        str(speed),
        *([] if faults is None else [str(faults)]),
    ]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"stub motor board at {link}\n"
            yield process.pid
        finally:
            process.terminate()
            assert process.wait(timeout=10.0) == 0


def opened_when_free(link: Path, clock: MonotonicClock, patience_s: float) -> Board:
    """The board as soon as nobody else has it; a killed host leaves it taken for a moment."""
    end_s = time.monotonic() + patience_s
    while True:
        try:
            return open_link(BoardConfig(port=str(link)), clock)
        except BoardNotFound:  # noqa: PERF203  # asked until it is free
            if time.monotonic() > end_s:
                raise
            clock.sleep_s(0.02 * clock.speed)


def killed_host(link: Path, speed: float = 1.0, run_s: float = 0.05) -> Figures:
    """SIGKILL in mid-move: motion and lamp stop within the watchdog's 250 ms and the deceleration.

    `speed`: of the clock; the watchdog guards wall time. `run_s`: wall time the move has when it is killed.
    """
    config, clock = BoardConfig(), MonotonicClock(speed)
    deceleration_s = config.z.speed_um_per_s / config.z.accel_um_per_s2
    side = SideChannel(side_channel_path(str(link)))
    with subprocess.Popen(
        [sys.executable, "-c", HOST, str(link), str(speed)], stdout=subprocess.PIPE, text=True
    ) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "moving\n"
        clock.sleep_s(run_s * speed)
        host.send_signal(signal.SIGKILL)
        killed_s = clock.now_s()
        host.wait(timeout=10.0)
    clock.sleep_s((config.watchdog_s + 0.3) * speed + deceleration_s)
    now_s = clock.now_s()
    step_s = 0.001 * speed
    times_s = [killed_s + i * step_s for i in range(round((now_s - killed_s) / step_s))]
    z_um = [side.true_um(time_s)[2] for time_s in times_s]
    assert z_um[0] < 4000.0, "the move was over before the host was killed"
    assert z_um[0] != z_um[min(20, len(z_um) - 1)], "the move had not begun when the host was killed"
    still_um = z_um[-1]
    stopped_s = next(t for t, z in reversed(list(zip(times_s, z_um, strict=True))) if abs(z - still_um) > 0.3)
    dark_s = next(t for t in times_s if side.lamp_duty(t) == 0.0)
    side.close()
    with opened_when_free(link, clock, patience_s=5.0) as board:
        free_s = clock.now_s()
        assert board.z.is_homed
        assert abs(board.z.position_um - still_um) < config.z.um_per_step
    return {
        "motion_stopped_after_ms": ((stopped_s - killed_s) - deceleration_s) / speed * 1000.0,
        "lamp_dark_after_ms": (dark_s - killed_s) / speed * 1000.0,
        "port_free_after_ms": (free_s - killed_s) / speed * 1000.0,
    }


def round_trips(link: Path, n_requests: int) -> Figures:
    """Round trip of STATE over the pty, both ends in their own process, ms; beside it that of a bare echo.

    The two take turns, block by block, so that whatever else the machine does falls on both alike.
    """
    echo_sizes = (
        _frame_bytes(Kind.REQUEST, messages.StateRequest),
        _frame_bytes(Kind.RESPONSE, messages.State),
    )
    taken_ms: list[float] = []
    echo_ms: list[float] = []
    ratios: list[float] = []
    with (
        bare_echo(*echo_sizes) as echo,
        open_link(BoardConfig(port=str(link)), MonotonicClock()) as board,
    ):
        for _ in range(n_requests // BLOCK_REQUESTS):
            block_ms, echo_block_ms = [], []
            for _ in range(BLOCK_REQUESTS):
                began_s = time.perf_counter()
                board.state()
                block_ms.append((time.perf_counter() - began_s) * 1000.0)
            for _ in range(BLOCK_REQUESTS):
                echo_block_ms.append(echo.round_trip_ms())  # noqa: PERF401  # one after the other, as above
            ratios.append(statistics.median(block_ms) / statistics.median(echo_block_ms))
            taken_ms += block_ms
            echo_ms += echo_block_ms
        counters = board.counters
    assert msgspec.structs.replace(counters, silences=0) == msgspec.structs.replace(
        type(counters)(), resends=counters.resends, late=counters.late
    )
    centiles, echo_centiles = statistics.quantiles(taken_ms, n=100), statistics.quantiles(echo_ms, n=100)
    return {
        "requests": len(taken_ms),
        "p50_ms": centiles[49],
        "p95_ms": centiles[94],
        "p99_ms": centiles[98],
        "bare_echo_p50_ms": echo_centiles[49],
        "bare_echo_p99_ms": echo_centiles[98],
        "times_bare_echo": statistics.median(ratios),
        "resends": counters.resends,
    }


def _frame_bytes(kind: Kind, message: type[Message]) -> int:
    """Length on the wire of a frame with this message."""
    return len(encode(Packet(kind, Opcode.STATE, 0, 0, 0, bytes(layout.payload_bytes(message)))))


def idle_cost(link: Path, stub_pid: int, wall_s: float) -> Figures:
    """Share of a core that host and stub take with the link open and nobody asking, %."""
    clock = MonotonicClock()
    with open_link(BoardConfig(port=str(link)), clock) as board:
        board.lamp(0.2)
        host_before_s, stub_before_s = time.process_time(), _cpu_s(stub_pid)
        clock.sleep_s(wall_s)
        host_s, stub_s = time.process_time() - host_before_s, _cpu_s(stub_pid) - stub_before_s
        assert board.state().lamp_duty == 0.2
    return {"host_percent": 100.0 * host_s / wall_s, "stub_percent": 100.0 * stub_s / wall_s}


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def codec(n_rounds: int) -> Figures:
    """Time of one packet through the codec, us: frame of a packet, packet of a frame; best of seven."""
    figures: Figures = {}
    decoder = StreamDecoder()
    move = messages.MoveAbs(7, AxisBit.Z, (0, 0, 16000), (0, 0, 3200), (0, 0, 80000))
    cases = {"40_bytes": bytes(range(1, 29)), "move_abs_mostly_zeros": layout.pack(move)}
    for name, payload in cases.items():
        packet = Packet(Kind.REQUEST, Opcode.MOVE_ABS, 0, 17, 3, payload)
        frame = encode(packet)
        assert decoder.feed(frame) == [packet]
        encoding, decoding = (
            timeit.Timer("encode(packet)", globals={"encode": encode, "packet": packet}),
            timeit.Timer("feed(frame)", globals={"feed": decoder.feed, "frame": frame}),
        )
        figures[f"{name}_encode_us"] = min(encoding.repeat(7, n_rounds)) / n_rounds * 1e6
        figures[f"{name}_decode_us"] = min(decoding.repeat(7, n_rounds)) / n_rounds * 1e6
    return figures
