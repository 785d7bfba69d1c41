"""The link's bench: the whole fault campaign, and speed over a pty. `python -m tests.bench.link [NAME ...]`.

With names only those benches are run, and their figures replace those of the last run. Writes
build/bench/link.json and prints one line per figure; exit status 1 where a promise is broken.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.bench import link_campaign, link_processes
from tests.bench.link_campaign import LOSSY

RESULTS = Path("build/bench/link.json")
ABOUT = ("machine", "broken")
Figures = dict[str, float]

# What must hold: bench, figure, and the most it may be.
CEILINGS = (
    ("round_trips", "p50_ms", 0.15),
    ("round_trips", "p99_ms", 5.0),
    ("codec", "40_bytes_encode_us", 5.0),
    ("codec", "40_bytes_decode_us", 5.0),
    ("codec", "move_abs_mostly_zeros_encode_us", 5.0),
    ("codec", "move_abs_mostly_zeros_decode_us", 5.0),
    ("idle_cost", "host_percent", 1.0),
    ("killed_host", "motion_stopped_after_ms", 250.0),
    ("killed_host", "lamp_dark_after_ms", 250.0),
)


def over_a_pty(figures: dict[str, Figures]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "board"
        with link_processes.stub_process(link) as stub_pid:
            figures["round_trips"] = link_processes.round_trips(link, 10_000)
            figures["idle_cost"] = link_processes.idle_cost(link, stub_pid, 20.0)
        with link_processes.stub_process(link, speed=10.0):
            runs = [link_processes.killed_host(link, speed=10.0) for _ in range(10)]
        figures["killed_host"] = {name: max(run[name] for run in runs) for name in runs[0]} | {
            "kills": len(runs)
        }


def campaign(prefix: str, runs_firmware: bool) -> tuple[tuple[str, Callable[[], Figures]], ...]:
    """The fault campaign in virtual time, against the stub's own board or against the firmware."""
    return (
        (f"{prefix}lossy_commands", lambda: link_campaign.commands(100_000, 11, LOSSY, runs_firmware)),
        (f"{prefix}stalled_commands", lambda: link_campaign.stalled_commands(100_000, 12, runs_firmware)),
        (f"{prefix}unplugged", lambda: link_campaign.unplugged(200, 13, runs_firmware)),
        (f"{prefix}noise", lambda: link_campaign.noise(10_000_000, 14, runs_firmware)),
        (f"{prefix}fuzz", lambda: link_campaign.fuzz(1_000_000, 15, runs_firmware)),
        (f"{prefix}limits", lambda: link_campaign.limits(10_000, runs_firmware)),
    )


def main() -> int:
    """Run all, or those named: speed first, in a process that is still small. 0 when every promise holds."""
    asked = sys.argv[1:]
    figures: dict[str, Figures] = {}
    broken: list[str] = []
    if asked and RESULTS.exists():
        figures = {
            name: found for name, found in json.loads(RESULTS.read_text()).items() if name not in ABOUT
        }
    benches: tuple[tuple[str, Callable[[], Figures | None]], ...] = (
        ("codec", lambda: link_processes.codec(20_000)),
        ("over_a_pty", lambda: over_a_pty(figures)),
        *campaign("", runs_firmware=False),
        *campaign("firmware_", runs_firmware=True),
    )
    unknown = set(asked) - {name for name, _ in benches}
    if unknown:
        sys.exit(
            f"no bench called {', '.join(sorted(unknown))}; there are {', '.join(n for n, _ in benches)}"
        )
    for name, bench in benches:
        if asked and name not in asked:
            continue
        began_s = time.monotonic()
        try:
            found = bench()
        except Exception:  # noqa: BLE001  # one broken promise must not hide the others
            traceback.print_exc()
            broken.append(name)
            continue
        if found is not None:
            figures[name] = found
        print(f"{name}: {time.monotonic() - began_s:.1f} s", flush=True)  # noqa: T201  # a program
    broken += [
        f"{bench}.{figure} = {figures[bench][figure]:.3f}, at most {most}"
        for bench, figure, most in CEILINGS
        if bench in figures and not figures[bench][figure] <= most
    ]
    machine = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.release(),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine, "broken": broken, **figures}, indent=2) + "\n")
    for name, found in figures.items():
        for figure, value in found.items():
            print(f"{name}.{figure} = {value:.6g}")  # noqa: T201
    print(f"{RESULTS} written; " + ("broken: " + "; ".join(broken) if broken else "every promise holds"))  # noqa: T201
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
