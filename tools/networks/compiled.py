"""What a head reads, computed by OpenVINO on one thread, from patches in grey levels."""

import io
from typing import Any

import torch
from torch import nn

from tools.arrays import FloatArray
from tools.networks.standardising import standardised

OPSET = 17


class _Standardising(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.net(standardised(x))
        return y


class Pooled(nn.Module):
    """The averaged maps of a body, (n, pooled)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (n, channels, h, w) -> (n, pooled)."""
        y: torch.Tensor = self.body.features(x).mean(dim=(2, 3))
        return y


class Compiled:
    """A network from patches to features, (n, channels, patch_px, patch_px) -> (n, features)."""

    def __init__(self, net: nn.Module, channels: int, patch_px: int) -> None:
        import openvino

        graph = io.BytesIO()
        torch.onnx.export(
            _Standardising(net).eval(),
            (torch.randn(2, channels, patch_px, patch_px),),
            graph,
            opset_version=OPSET,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
            dynamo=False,
        )
        core = openvino.Core()
        settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        self._model: Any = core.compile_model(core.read_model(graph.getvalue()), "CPU", settings)

    def __call__(self, patches: FloatArray) -> FloatArray:
        """Return the features of patches in grey levels."""
        found: FloatArray = self._model(patches)[0].copy()
        return found
