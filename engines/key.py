"""What identifies an engine: everything that it depends on."""

import hashlib
from typing import Literal

import msgspec

Backend = Literal["openvino", "tensorrt"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]
Int8Mode = Literal["none", "explicit", "implicit"]


class EngineKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that an engine depends on: if one value differs, it is another engine.

    Attributes:
        model: label of the model.
        backend: what runs it.
        precision: that was asked for.
        int8_mode: "explicit" Q/DQ nodes, "implicit" calibration on the device, "none" if not INT8.
        onnx_sha256: of the artifact that it was built of.
        batches: batch sizes that it takes, in order.
        n_threads: of a CPU engine, 0 for every core; 0 on a GPU.
        runtime: name and version of the library, "TensorRT 10.3.0".
        driver: of the device, "CUDA 12.6 (560.35.03)"; "" on a CPU.
        device: name and, on a GPU, compute capability, "Orin (SM 8.7)".
        system: L4T release on a Jetson, else "".
        builder: version of the code that built it.
        calibration_sha256: of the golden file whose patches it was calibrated with on the device, "" for none.
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
    calibration_sha256: str = ""

    @property
    def slot(self) -> str:
        """What the instrument uses one of: engines of other keys in it are older or newer ones."""
        mode = f"-{self.int8_mode}" if self.precision == "int8" else ""
        return f"{self.model}.{self.backend}.{self.precision}{mode}"

    @property
    def digest(self) -> str:
        """Name of this very engine, 16 hexadecimal digits."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]
