"""Question and answer with a Grbl board: replies matched to lines, alarms and restarts noticed in between."""

from __future__ import annotations

import threading
from collections.abc import Callable

from parfocal.board.errors import BoardError, LinkTimeout, PositionLost
from parfocal.board.foreign import grbl_text
from parfocal.board.foreign.grbl_text import StatusLine
from parfocal.board.foreign.lines import Lines

_ANSWER_WALL_S = 1.0
_REPORT_WALL_S = 0.3  # interface.md: 5 to 20 ms
_QUIET_WALL_S = 0.1
_START_WALL_S = 5.0  # an AVR board restarts as its port opens, and its boot loader takes about 2 s
# How long each request for a first report waits. Nothing is sent while a boot loader may be listening.
_FIRST_WAITS_WALL_S = (0.3, 2.2, 0.5, 0.5, 0.5, 0.5, 0.5)
_REPORTS = 6  # a status report is asked for at most this often
RESET = b"\x18"


class Refused(BoardError):
    """The board has answered `error:` to a line."""

    def __init__(self, number: int) -> None:
        super().__init__(grbl_text.error_text(number))


class GrblTalk:
    """The lines of one board. `held` keeps question and answer together; `lines.urgent` may come in between.

    `alarm`: the last alarm, None where there is none.
    """

    def __init__(self, lines: Lines, port: str, lost: Callable[[], None]) -> None:
        """`lost` is called when the board no longer knows its position."""
        self.lines, self.held = lines, threading.RLock()
        self.alarm: int | None = None
        self._at, self._lost = f"board at {port}", lost
        self._is_late = False

    def woken(self, may_reset: bool) -> StatusLine:
        """The first status report. A board that restarts as its port opens is waited for in silence.

        `may_reset`: reset a board that answers nothing, as after a critical alarm. Raises LinkTimeout, BoardNotFound.
        """
        end_s = self.lines.after_s(_START_WALL_S)
        for n_asked, wall_s in enumerate(_FIRST_WAITS_WALL_S):
            if n_asked == 4 and may_reset:
                self.lines.urgent(RESET)
            self.lines.urgent(b"?")
            until_s = min(self.lines.after_s(wall_s), end_s)
            while (line := self.lines.next(until_s)) is not None:
                if status := grbl_text.status_from_line(line):
                    self.settle()
                    return status
                if grbl_text.is_welcome(line):
                    break
        raise LinkTimeout(
            f"{self._at} does not answer as Grbl: heard {self.lines.heard(_START_WALL_S)}. "
            "Check its cable and supply, board.baud and board.kind."
        )

    def status(self) -> StatusLine:
        """One status report, asked for again where none arrives. Raises LinkTimeout, PositionLost, BoardNotFound."""
        with self.held:
            for _ in range(_REPORTS):
                self.lines.urgent(b"?")
                deadline_s = self.lines.after_s(_REPORT_WALL_S)
                while (line := self.lines.next(deadline_s)) is not None:
                    if status := grbl_text.status_from_line(line):
                        return status
                    self._note(line)
                self._raise_alarm()  # a critical alarm answers nothing until a reset
        raise LinkTimeout(
            f"{self._at} does not report its state. Check its cable and supply, then home the axes."
        )

    def steady_status(self) -> StatusLine:
        """Two equal reports in a row, or one where something moves. Raises as `status`."""
        with self.held:
            last: StatusLine | None = None
            for _ in range(_REPORTS):
                status = self.status()
                if status.is_busy or status == last:
                    return status
                last = status
        raise LinkTimeout(f"{self._at} gives a different position each time. Check its cable.")

    def asked_again(self, line: str) -> list[str]:
        """The answer to a line that does no harm when it acts twice. Raises LinkTimeout, Refused, PositionLost."""
        with self.held:
            for _ in range(3):
                self.take_arrived()
                self.lines.send(line)
                try:
                    return self.answer(_ANSWER_WALL_S)
                except LinkTimeout:
                    continue
                except Refused:  # a damaged line is refused as well; a whole one is refused again
                    self.lines.send(line)
                    return self.answer(_ANSWER_WALL_S)
        raise LinkTimeout(f"{self._at} does not answer `{line}`. Check its cable and supply.")

    def answer(self, wall_s: float = _ANSWER_WALL_S) -> list[str]:
        """The lines up to `ok`. Raises Refused, PositionLost after an alarm or a restart, LinkTimeout."""
        deadline_s, found = self.lines.after_s(wall_s), list[str]()
        while (line := self.lines.next(deadline_s)) is not None:
            if line == "ok":
                return found
            if line.startswith("error:") and line[6:].isdigit():
                raise Refused(int(line[6:]))
            self._note(line)
            self._raise_alarm()
            found.append(line)
        self._is_late = True
        raise LinkTimeout(f"{self._at} did not answer within {wall_s:.7g} s.")

    def take_arrived(self) -> None:
        """Take what has arrived; after a reply that was too late, wait until nothing more does.

        Raises PositionLost after a restart.
        """
        wait_s = self.lines.after_s(_QUIET_WALL_S if self._is_late else 0.0) - self.lines.clock.now_s()
        while (line := self.lines.next(self.lines.clock.now_s() + wait_s)) is not None:
            self._note(line)
        self._is_late = False

    def settle(self) -> None:
        """Drop what arrives until nothing more does: alarms and greetings that are known about."""
        while self.lines.next(self.lines.after_s(_QUIET_WALL_S)) is not None:
            pass
        self._is_late = False
        self.alarm = None

    def reset(self) -> None:
        """Reset the board and wait until it greets. Raises LinkTimeout, BoardNotFound."""
        with self.held:
            self.lines.drop_partial()
            self.lines.urgent(RESET)
            end_s = self.lines.after_s(_START_WALL_S)
            while (line := self.lines.next(end_s)) is not None:
                if grbl_text.is_welcome(line):
                    self.settle()
                    return
        raise LinkTimeout(f"{self._at} does not answer a reset. Unplug it, and plug it in again.")

    def _raise_alarm(self) -> None:
        if self.alarm is not None:
            self._is_late = True
            raise PositionLost(
                f"{self._at} reports: {grbl_text.alarm_text(self.alarm)}. "
                "Find the cause, then run `parfocal home --clear-faults`."
            )

    def _note(self, line: str) -> None:
        """Notice alarms, and restarts, which raise PositionLost."""
        if line.startswith("ALARM:"):
            self.alarm = int(line[6:]) if line[6:].isdigit() else 0
            self._lost()
        elif grbl_text.is_welcome(line):
            self._lost()
            self.alarm, self._is_late = None, True
            raise PositionLost(f"{self._at} has restarted. Run `parfocal home`.")
