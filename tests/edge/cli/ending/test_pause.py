"""A pause begins and ends by a signal, between two frames, in the dark."""

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from parfocal.edge.cli.ending.pause import Pause


def test_the_signal_pauses_and_goes_on_in_the_dark() -> None:
    lamp = ["lit"]

    @contextlib.contextmanager
    def dark() -> Iterator[None]:
        lamp.append("dark")
        yield
        lamp.append("lit")

    def sleep_s(_: float) -> None:
        lamp.append("waiting")
        if lamp.count("waiting") == 3:
            os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.getsignal(signal.SIGUSR1)
    with Pause(sleep_s) as pause:
        assert not pause.wait(dark)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert pause.wait(dark)
        assert lamp == ["lit", "dark", "waiting", "waiting", "waiting", "lit"]
        assert not pause.wait(dark)
    assert signal.getsignal(signal.SIGUSR1) is before


def test_ctrl_c_ends_a_pause_and_the_dark_with_it() -> None:
    ended = []

    @contextlib.contextmanager
    def dark() -> Iterator[None]:
        try:
            yield
        finally:
            ended.append(True)

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    with Pause(interrupted) as pause:
        os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(KeyboardInterrupt):
            pause.wait(dark)
    assert ended
