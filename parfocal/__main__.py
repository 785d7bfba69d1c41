"""The command `parfocal`, and `python -m parfocal`."""

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line, whose import takes a while: Ctrl-C ends that as it ends a command, in one line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored
        signal.signal(signal.SIGINT, _end)
    from parfocal.edge.cli.app import main as command_line

    command_line()


def _end(_number: int, _frame: FrameType | None) -> None:
    """End at once: nothing is open yet, and an exception may be lost inside an import."""
    sys.stderr.write("ended by SIGINT\n")
    sys.stderr.flush()
    os._exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
