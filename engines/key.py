"""The key of an engine: everything that the engine depends on."""

import hashlib
from typing import Literal

import msgspec

from parfocal.engines.model.forms import Form

Backend = Literal["openvino", "tensorrt"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]
Int8Mode = Literal["none", "explicit", "implicit"]


class EngineKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that an engine depends on. If one value differs, it is another engine.

    Attributes:
        model: label of the model.
        backend: the library that runs it.
        precision: the requested precision.
        int8_mode: "explicit" Q/DQ nodes, "implicit" calibration on the device, "none" if not INT8.
        onnx_sha256: SHA-256 of the FP32 model that it was built from.
        batches: batch sizes that it accepts, in order.
        n_threads: threads of a CPU engine, 0 for every core; 0 on a GPU.
        runtime: name and version of the library, "TensorRT 10.3.0".
        driver: driver of the device, "CUDA 12.6 (560.35.03)"; "" on a CPU.
        device: its name and, on a GPU, its compute capability, "Orin (SM 8.7)".
        system: L4T release of a Jetson, "" on other machines.
        builder: version of the code that built it.
        calibration_sha256: SHA-256 of the golden file that it was calibrated with on the device, "" for none.
        form: form of the model that it was built from.
        forms: version of the code that made that form; 0 for the FP32 model itself.
        scales_sha256: SHA-256 of the ranges of its activations; "" if it has no Q/DQ nodes.
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
    form: Form = "fp32"
    forms: int = 0
    scales_sha256: str = ""

    @property
    def slot(self) -> str:
        """Name shared by all builds of one model, backend and precision; the instrument uses one engine of a slot."""
        mode = f"-{self.int8_mode}" if self.precision == "int8" else ""
        return f"{self.model}.{self.backend}.{self.precision}{mode}"

    @property
    def digest(self) -> str:
        """Short hash of the key, 16 hexadecimal digits."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]
