"""Built engines on the disk: each with a sidecar that says what it was built for, down to the driver.

An engine is a file named by its key; `SLOT.json` beside it says which one is valid and is replaced last, in one
step. So a build that fails half way, for a full disk say, leaves the old engine as it was. `SLOT.failed.json`
says why the last build failed, so that minutes are not spent on failing again.
"""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final, Literal

import msgspec

from parfocal.engines.errors import BuildFailed, EngineStale

Backend = Literal["openvino", "tensorrt"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]
Int8Mode = Literal["none", "explicit", "implicit"]

MENDING: Final = "Run `parfocal engine build` (in a checkout: `make engine`)."
FORMAT_VERSION: Final = 1
PART: Final = ".part"


class EngineKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that an engine depends on: if one value differs, it is another engine.

    Attributes:
        model: name of the model.
        backend: what runs it.
        precision: that was asked for.
        int8_mode: "explicit" Q/DQ nodes, "implicit" calibration on the device, "none" if not INT8.
        onnx_sha256: of the artifact that it was built of.
        batches: batch sizes that it takes, in order.
        n_threads: of a CPU engine, 0 for every core; 0 on a GPU.
        runtime: name and version of the library, "TensorRT 10.3.0".
        driver: of the device, "CUDA 12.6"; "" on a CPU.
        device: name and, on a GPU, compute capability, "Orin (SM 8.7)".
        system: L4T release on a Jetson, else "".
        builder: version of the code that built it.
    """

    model: str
    backend: Backend
    precision: Precision
    int8_mode: Int8Mode
    onnx_sha256: str
    batches: tuple[int, ...]
    n_threads: int
    runtime: str
    driver: str
    device: str
    system: str
    builder: int

    @property
    def slot(self) -> str:
        """What there is one of on a machine: the sidecar's file name."""
        mode = f"-{self.int8_mode}" if self.precision == "int8" else ""
        return f"{self.model}.{self.backend}.{self.precision}{mode}"

    @property
    def digest(self) -> str:
        """Name of this very engine, 16 hexadecimal digits."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


class Sidecar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a sidecar holds.

    Attributes:
        format_version: of this structure.
        key: what the engine was built for.
        engine: name of its file.
        sha256: of its file.
    """

    format_version: int
    key: EngineKey
    engine: str
    sha256: str


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A build that failed.

    Attributes:
        format_version: of this structure.
        key: what was to be built.
        reason: in words.
    """

    format_version: int
    key: EngineKey
    reason: str


def default_cache_folder() -> Path:
    """Return where engines lie: parfocal/engines in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "parfocal" / "engines"


class EngineCache:
    """A folder of engines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, key: EngineKey) -> bytes:
        """Return the engine of that key.

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
            raise EngineStale(f"engine {key.slot} is stale: {'; '.join(differing)}. {MENDING}")
        try:
            engine = (self.folder / sidecar.engine).read_bytes()
        except OSError as error:
            raise EngineStale(
                f"engine {key.slot} cannot be read: {self.folder / sidecar.engine}: {error.strerror}. {MENDING}"
            ) from error
        if hashlib.sha256(engine).hexdigest() != sidecar.sha256:
            raise EngineStale(
                f"engine {key.slot} is damaged: {sidecar.engine} is not what was built. {MENDING}"
            )
        return engine

    def store(self, key: EngineKey, engine: bytes) -> None:
        """Keep an engine; the one that was there before is removed once the new one is in place.

        Raises:
            BuildFailed: it cannot be written; the old engine is untouched.
        """
        name = f"{key.slot}.{key.digest}.engine"
        sidecar = Sidecar(FORMAT_VERSION, key, name, hashlib.sha256(engine).hexdigest())
        encoded = msgspec.json.format(msgspec.json.encode(sidecar), indent=1)
        self.write(name, engine)
        self.write(f"{key.slot}.json", encoded)
        with contextlib.suppress(OSError):  # of no meaning once there is an engine
            (self.folder / f"{key.slot}.failed.json").unlink()
        for old in self.folder.glob(f"{key.slot}.*"):
            if old.suffix in (".engine", ".timing") and key.digest not in old.name:
                with contextlib.suppress(OSError):  # a left-over costs room, nothing else
                    old.unlink()

    def failure(self, key: EngineKey) -> str:
        """Return why the last build of that very key failed; "" if it did not, or nothing readable says so."""
        try:
            failure = msgspec.json.decode(self.read(f"{key.slot}.failed.json") or b"", type=Failure)
        except msgspec.MsgspecError:
            return ""
        return failure.reason if failure.key == key else ""

    def store_failure(self, key: EngineKey, reason: str) -> None:
        """Keep why a build failed, where there is room: not to know it costs time, nothing else."""
        content = msgspec.json.format(msgspec.json.encode(Failure(FORMAT_VERSION, key, reason)), indent=1)
        with contextlib.suppress(BuildFailed):
            self.write(f"{key.slot}.failed.json", content)

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the folder in one step: a reader sees the old one or the new one.

        Raises:
            BuildFailed: it cannot be written; what was there before is untouched.
        """
        part: Path | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, suffix=PART, delete=False) as file:
                part = Path(file.name)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.folder / name)
        except OSError as error:
            if part is not None:
                part.unlink(missing_ok=True)
            raise BuildFailed(
                f"write of {self.folder / name} ({len(content) / 1e6:.1f} MB) failed: {error.strerror}; what was "
                "there before is untouched. Make room or grant access, or set XDG_CACHE_HOME to another folder."
            ) from error

    def read(self, name: str) -> bytes | None:
        """Return a file of the folder; None where there is none that can be read."""
        try:
            return (self.folder / name).read_bytes()
        except OSError:
            return None

    def _sidecar(self, key: EngineKey) -> Sidecar:
        content = self.read(f"{key.slot}.json")
        if content is None:
            raise EngineStale(f"engine {key.slot} is not built on this machine. {MENDING}")
        try:
            return msgspec.json.decode(content, type=Sidecar)
        except msgspec.MsgspecError as error:
            raise EngineStale(
                f"engine {key.slot} is damaged: its sidecar is unusable: {error}. {MENDING}"
            ) from error


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else str(value)
