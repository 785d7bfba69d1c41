"""Built engines on disk, each with a sidecar that records what it was built for, down to the driver.

An engine is the file `SLOT.DIGEST.engine`. Its sidecar `SLOT.DIGEST.json` is written last, in one step, so it exists
only if the engine is complete. Older engines stay until no choice uses them: a build that fails half way, for example
on a full disk, leaves the old engine in place. `SLOT.failed.json` records why the last build failed, so that the next
run does not spend minutes on the same failure.
"""

import contextlib
import fcntl
import glob
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from parfocal.engines.errors import HOW_TO_REBUILD, BuildFailed, EngineStale
from parfocal.engines.key import EngineKey
from parfocal.engines.progress import Report

FORMAT_VERSION: Final = 1
OF_AN_ENGINE: Final = re.compile(r"(.+)\.([0-9a-f]{16})\.(engine|timing|json)")  # slot, digest, kind
LOCK_FILE: Final = ".lock"


class Sidecar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content of a sidecar.

    Attributes:
        format_version: version of this structure.
        key: key that the engine was built for.
        engine: file name of the engine.
        sha256: SHA-256 of that file.
    """

    format_version: int
    key: EngineKey
    engine: str
    sha256: str


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A failed build.

    Attributes:
        format_version: version of this structure.
        key: key of the engine that was not built.
        reason: text of the error.
    """

    format_version: int
    key: EngineKey
    reason: str


def default_cache_folder() -> Path:
    """Return the folder for engines: parfocal/engines in the user's cache folder.

    Raises:
        BuildFailed: the user has no home folder and XDG_CACHE_HOME is not set.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "parfocal" / "engines"
    except RuntimeError as error:
        # No fall-back to a folder that others can write to: an engine is executable code.
        raise BuildFailed(
            "no folder for engines: HOME is not set, and this user is not in the password file. "
            "Set HOME or XDG_CACHE_HOME to a folder of this user."
        ) from error


class EngineCache:
    """A folder of engines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, key: EngineKey) -> bytes:
        """Return the engine of a key.

        Raises:
            EngineStale: there is none, it was built for something else, or it is damaged.
        """
        sidecar = self._sidecar(key)
        differing = [
            f"{value} is {_shown(getattr(sidecar.key, value))} in the engine, {_shown(getattr(key, value))} here"
            for value in key.__struct_fields__
            if getattr(sidecar.key, value) != getattr(key, value)
        ]
        if differing:
            raise EngineStale(f"engine {key.slot} is stale: {'; '.join(differing)}. {HOW_TO_REBUILD}")
        try:
            engine = (self.folder / sidecar.engine).read_bytes()
        except OSError as error:
            raise EngineStale(
                f"engine {key.slot} cannot be read: {self.folder / sidecar.engine}: {error.strerror}. {HOW_TO_REBUILD}"
            ) from error
        if hashlib.sha256(engine).hexdigest() != sidecar.sha256:
            raise EngineStale(
                f"engine {key.slot} is damaged: {sidecar.engine} differs from what was built. {HOW_TO_REBUILD}"
            )
        return engine

    def store(self, key: EngineKey, engine: bytes) -> None:
        """Write an engine and its sidecar. Older engines stay until `keep_only`.

        Raises:
            BuildFailed: a file could not be written; the old engines are untouched.
        """
        name = f"{key.slot}.{key.digest}.engine"
        sidecar = Sidecar(FORMAT_VERSION, key, name, hashlib.sha256(engine).hexdigest())
        self.write(name, engine)
        self.write(_sidecar_name(key), msgspec.json.format(msgspec.json.encode(sidecar), indent=1))
        with contextlib.suppress(OSError):  # obsolete once an engine exists
            (self.folder / f"{key.slot}.failed.json").unlink()

    def keep_only(self, labels: Iterable[str], keys: Iterable[EngineKey]) -> None:
        """Remove the engines and timing caches of the models in `labels`, except those of `keys`."""
        kept, slots = {key.digest for key in keys}, tuple(f"{label}." for label in labels)
        for path in self.folder.glob("*"):
            named = OF_AN_ENGINE.fullmatch(path.name)
            if named and named[2] not in kept and named[1].startswith(slots):
                with contextlib.suppress(OSError):  # a leftover only costs disk space
                    path.unlink()

    @contextlib.contextmanager
    def locked(self, report: Report) -> Iterator[None]:
        """Lock the folder for one writer, and wait for another one: each would remove the other's new engines.

        If the folder is not writable there is no lock; the writes that follow report it.
        """
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                self.folder.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context((self.folder / LOCK_FILE).open("ab"))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    report("waiting for another program that is building engines")
                    fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def failure(self, key: EngineKey) -> str:
        """Return why the last build of this key failed; "" if it did not fail or the record is unreadable."""
        try:
            failure = msgspec.json.decode(self.read(f"{key.slot}.failed.json") or b"", type=Failure)
        except (msgspec.MsgspecError, EngineStale):
            return ""
        return failure.reason if failure.key == key else ""

    def store_failure(self, key: EngineKey, reason: str) -> None:
        """Record why a build failed. Without disk space it is not recorded, which only costs time later."""
        content = msgspec.json.format(msgspec.json.encode(Failure(FORMAT_VERSION, key, reason)), indent=1)
        with contextlib.suppress(BuildFailed):
            self.write(f"{key.slot}.failed.json", content)

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the folder atomically: a reader sees the old file or the new one.

        Raises:
            BuildFailed: the file could not be written; the old file is untouched.
        """
        part = self.folder / f"{name}.{os.getpid()}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.folder / name)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise BuildFailed(
                f"write of {self.folder / name} ({len(content) / 1e6:.1f} MB) failed: {error.strerror}; the old "
                "file is untouched. Free some disk space or grant access, or set XDG_CACHE_HOME to another folder."
            ) from error

    def read(self, name: str) -> bytes | None:
        """Return the content of a file of the folder; None if it does not exist.

        Raises:
            EngineStale: the file exists but cannot be read.
        """
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise EngineStale(
                f"read of {self.folder / name} failed: {error.strerror}. Grant access to the file, or set "
                f"XDG_CACHE_HOME to another folder. {HOW_TO_REBUILD}"
            ) from error

    def _sidecar(self, key: EngineKey) -> Sidecar:
        content = self.read(_sidecar_name(key)) or self._another_of_slot(key)
        if content is None:
            raise EngineStale(f"engine {key.slot} is not built on this machine. {HOW_TO_REBUILD}")
        try:
            return msgspec.json.decode(content, type=Sidecar)
        except msgspec.MsgspecError as error:
            raise EngineStale(
                f"engine {key.slot} is damaged: its sidecar is invalid: {error}. {HOW_TO_REBUILD}"
            ) from error

    def _another_of_slot(self, key: EngineKey) -> bytes | None:
        """Return the sidecar of another engine of the slot, to report what has changed since."""
        names = [path.name for path in self.folder.glob(f"{glob.escape(key.slot)}.*.json")]
        others = sorted(name for name in names if OF_AN_ENGINE.fullmatch(name))
        return self.read(others[-1]) if others else None


def _sidecar_name(key: EngineKey) -> str:
    return f"{key.slot}.{key.digest}.json"


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else str(value)
