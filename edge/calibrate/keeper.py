"""Keeps what a calibration measured: the raw data first, then the value, each whole or not at all."""

import contextlib
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

import msgspec

from parfocal.calib.errors import CalibError, CalibMissing, CalibPoor
from parfocal.calib.lens.table import LensTable
from parfocal.calib.store import Store, TriggeredInput
from parfocal.calib.value import Measured


class Stamp(msgspec.Struct, frozen=True):
    """When a measurement was made, and with which version of the program."""

    measured_at: datetime
    program_version: str


class Found(msgspec.Struct, frozen=True):
    """A measured value under its name in the store, and half the width of its 95 % interval, in the same unit."""

    name: str
    value: float
    uncertainty: float


class KeptValue(msgspec.Struct, frozen=True):
    """A measured value under its name in the store, in the unit of its name, with half its 95 % interval.

    `before` is what was in use until now, None if there was nothing. `raw` is the file that holds what was seen.
    """

    name: str
    value: float
    uncertainty: float
    before: float | None
    raw: str


class Keeper:
    """Puts results into a store."""

    def __init__(self, store: Store, stamp: Stamp) -> None:
        """Raises CalibError for a store that could not take a result."""
        self.store, self.stamp = store, stamp
        with contextlib.suppress(CalibMissing):  # the first calibration makes it
            store.load()
        store.check_writable()

    def keep(
        self,
        found: tuple[Found, ...],
        method: str,
        stem: str,
        raw: object,
        tables: Mapping[str, LensTable | TriggeredInput] = MappingProxyType({}),
    ) -> str:
        """Keep raw data under `stem`, then the values, and `tables` with them; returns the name of the file.

        An interruption between the two leaves the earlier values in force. Raises CalibError.
        """
        file = self.keep_raw(stem, raw)
        stamp = self.stamp
        values = {
            one.name: Measured(
                one.value, one.uncertainty, stamp.measured_at, method, stamp.program_version, file
            )
            for one in found
        }
        self.store.keep_all({**tables, **values})
        return file

    def poor(self, error: CalibPoor, what: str, stem: str, raw: object) -> CalibPoor:
        """The error of a refused measurement, with where to look at what was seen. `what` was measured: "this axis"."""
        stays = f"An earlier calibration of {what} stays in force"
        try:
            file = self.keep_raw(stem, raw)
        except CalibError:  # the reason for the refusal matters more than a full disk
            return CalibPoor(f"{error} {stays}.")
        return CalibPoor(f"{error} {stays}; what was seen is in {self.store.path.with_name(file)}.")

    def keep_raw(self, stem: str, raw: object) -> str:
        """Keep raw data under `stem` and the time; returns the name of the file. Raises CalibError."""
        return self.store.keep_raw(f"{stem}-{self.stamp.measured_at:%Y%m%dT%H%M%SZ}", raw)
