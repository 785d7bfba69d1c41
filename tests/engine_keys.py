"""The key of an engine for tests, which change single values of it."""

from parfocal.engines.key import EngineKey

KEY = EngineKey(
    model="small",
    backend="tensorrt",
    precision="fp16",
    int8_mode="none",
    onnx_sha256="a" * 64,
    batches=(4,),
    n_threads=0,
    runtime="TensorRT 10.3.0",
    driver="CUDA 12.6",
    device="Orin (SM 8.7)",
    system="R36 (release)",
    builder=1,
)
