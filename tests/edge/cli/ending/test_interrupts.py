"""Signals that end a command."""

import os
import signal
import subprocess
import sys

import pytest

from parfocal.edge.cli.ending.interrupts import CLEAN_UP_S, ENDING, Interrupts


class Wall:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.s = 50.0

    def now_s(self) -> float:
        return self.s


pytestmark = pytest.mark.usefixtures("signals")


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal_acts_like_ctrl_c(number: signal.Signals) -> None:
    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt):
        send(number)
    assert interrupts.first == number


def test_a_second_signal_during_clean_up_does_nothing_and_a_late_one_counts() -> None:
    wall = Wall()
    with Interrupts(wall.now_s) as interrupts:
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGTERM)
        wall.s += 0.9 * CLEAN_UP_S
        for number in ENDING:
            send(number)
        wall.s += 0.2 * CLEAN_UP_S
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert interrupts.first == signal.SIGTERM


def test_a_signal_ignored_by_nohup_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interrupts() as interrupts:
        send(signal.SIGHUP)
    assert interrupts.first is None
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_the_previous_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in ENDING]
    with Interrupts():
        assert [signal.getsignal(number) for number in ENDING] != before
    assert [signal.getsignal(number) for number in ENDING] == before


def test_after_an_interrupt_later_signals_are_ignored() -> None:
    with Interrupts(), pytest.raises(KeyboardInterrupt):
        send(signal.SIGTERM)
    for number in ENDING:
        send(number)


def test_ctrl_c_while_the_command_line_is_imported_ends_in_one_line() -> None:
    code = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "parfocal.edge.cli.app":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
from parfocal.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "ended by SIGINT\n")
