"""Which engine of a model the instrument uses: the fastest accurate one, as measured on this machine."""

from typing import Annotated, Final

import msgspec

from parfocal.engines.cache import EngineCache
from parfocal.engines.errors import EngineStale
from parfocal.engines.gate import Deviation
from parfocal.engines.key import Backend, EngineKey, Int8Mode, Precision
from parfocal.engines.progress import Report

CHOICE_FILE: Final = "choice.json"
FORMAT_VERSION: Final = 1
# Medians of the same engine differ this much from run to run. Within it, the more precise engine wins.
SAME_SPEED: Final = 1.05
MOST_PRECISE_FIRST: Final[tuple[Precision, ...]] = ("fp32", "fp16", "bf16", "int8")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """The measurements of one engine of one model.

    Attributes:
        model, backend, precision, int8_mode: as in its key.
        key: its key; None if such an engine cannot exist here.
        golden_sha256: SHA-256 of the golden patches it was checked with; "" if it was not checked.
        rules: version of the accuracy rules it was checked by.
        batch: batch size it was timed at; None if it was not timed.
        ms_p50, ms_p95: median and 95th percentile of one inference; None without an engine.
        deviation: from the reference; None without an engine, or if a prediction is not a finite number.
        refused: why it is not accurate enough; "" if it is.
        failed: why it was not built; "" if it was.
    """

    model: str
    backend: Backend
    precision: Precision
    int8_mode: Int8Mode
    key: EngineKey | None = None
    golden_sha256: str = ""
    rules: int = 1
    batch: int | None = None
    ms_p50: float | None = None
    ms_p95: float | None = None
    deviation: Deviation | None = None
    refused: str = ""
    failed: str = ""

    @property
    def passed(self) -> bool:
        """Whether it may be chosen."""
        return not self.failed and not self.refused and self.ms_p50 is not None


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen engine of one model, and the engines it was chosen from.

    Attributes:
        key: key of the chosen engine.
        asked_for: whether the user named its precision, whatever the measurement said.
        rows: measurements of all engines.
        in_place_of: the precision that the user named, if its engine was not built; "" otherwise.
    """

    key: EngineKey
    asked_for: bool
    rows: tuple[Row, ...]
    in_place_of: str = ""

    @property
    def reason(self) -> str:
        """Why it was chosen, in a few words."""
        if self.in_place_of:
            return f"in place of {self.in_place_of}, which failed"
        return "precision asked for" if self.asked_for else "fastest that is accurate enough"


class _Choices(msgspec.Struct, frozen=True):
    format_version: Annotated[int, msgspec.Meta(ge=FORMAT_VERSION, le=FORMAT_VERSION)]
    models: dict[str, Choice]


def fastest(rows: tuple[Row, ...]) -> Row | None:
    """Return the fastest engine that passed, or a more precise one of about the same speed. None if none passed."""
    passed = [row for row in rows if row.passed]
    if not passed:
        return None
    limit_ms = SAME_SPEED * min(row.ms_p50 or 0.0 for row in passed)
    equal = [row for row in passed if (row.ms_p50 or 0.0) <= limit_ms]
    return min(equal, key=lambda row: MOST_PRECISE_FIRST.index(row.precision))


def load_choices(cache: EngineCache) -> dict[str, Choice]:
    """Return the choices made on this machine, by label of the model; empty if there are none.

    Raises:
        EngineStale: the file is damaged, of another version, or unreadable.
    """
    content = cache.read(CHOICE_FILE)
    if content is None:
        return {}
    try:
        return msgspec.json.decode(content, type=_Choices).models
    except msgspec.MsgspecError as error:
        raise EngineStale(
            f"the choice of engines {cache.folder / CHOICE_FILE} is invalid: {error}. Delete it and run "
            "`parfocal engine build`."
        ) from error


def choices_so_far(cache: EngineCache, report: Report) -> dict[str, Choice]:
    """Return the choices made on this machine. If they are unusable, report why and return none."""
    try:
        return load_choices(cache)
    except EngineStale as error:
        report(f"{error} Choosing again from scratch.")
        return {}


def description(choice: Choice | None) -> str:
    """Return which engine the instrument uses for a model, in words; `choice` is None if nothing was chosen."""
    if choice is None:
        return "openvino fp32 (nothing chosen yet: `parfocal engine build`)"
    why = "asked for" if choice.asked_for else "measured"
    return f"{choice.key.backend} {choice.key.precision} ({choice.reason if choice.in_place_of else why})"


def save_choices(cache: EngineCache, models: dict[str, Choice]) -> None:
    """Save the choices. Raises BuildFailed if they could not be written."""
    cache.write(
        CHOICE_FILE, msgspec.json.format(msgspec.json.encode(_Choices(FORMAT_VERSION, models)), indent=1)
    )
