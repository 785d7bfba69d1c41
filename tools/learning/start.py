"""Start a training from a shipped model: load the weights of its ONNX file into a network.

In an exported network each batch normalisation is folded into the convolution before it. For training each is restored,
so that it changes nothing for a given batch; the statistics are measured layer by layer.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import nn

from tools.arrays import FloatArray
from tools.networks.focus import FocusNet


@dataclass(frozen=True)
class Layer:
    """Weight and bias of a convolution or a dense layer."""

    weight: FloatArray
    bias: FloatArray | None


@dataclass(frozen=True)
class Exported:
    """Content of an ONNX file: layers in the order of execution, and all values by name."""

    layers: list[Layer]
    values: dict[str, FloatArray]
    is_spectral: bool


def read_exported(path: Path) -> Exported:
    """Return the content of a model that `tools.export` wrote."""
    graph = onnx.load(path).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    layers = []
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in values:  # equal values are stored once
            values[node.output[0]] = values[node.input[0]]
        if node.op_type in ("Conv", "Gemm"):
            weight, *bias = (values[name] for name in node.input[1:])
            layers.append(Layer(weight, bias[0] if bias else None))
    return Exported(layers, values, any(node.op_type == "Log" for node in graph.node))


def is_spectral(model_path: Path) -> bool:
    """Whether the head of a model takes the spectra of the patches as input."""
    return read_exported(model_path).is_spectral


def start_from(net: nn.Module, model_path: Path, x: torch.Tensor) -> None:
    """Load the weights of an exported model of the same architecture into `net`. `x` is a batch of its input.

    Raises:
        ValueError: the model has other layers.
    """
    theirs = read_exported(model_path)
    if theirs.is_spectral:
        raise ValueError(f"the head of {model_path} takes spectra: train it with --head spectrum")
    ours = _modules(net, nn.Conv2d | nn.Linear)
    _check_shapes(ours, theirs.layers, model_path, "--kind and --head")
    folded: dict[nn.Module, torch.Tensor] = {}
    for module, layer in zip(ours, theirs.layers, strict=True):
        _copy(layer.weight, module.weight)
        if layer.bias is not None and module.bias is not None:
            _copy(layer.bias, module.bias)
        elif layer.bias is not None:
            folded[module] = torch.from_numpy(layer.bias.copy()).to(x.device)
    _unfold(net, folded, x)


def body_from(net: nn.Module, model_path: Path) -> None:
    """Load the convolutions of an exported model into `net`. The linear head of `net` is not changed.

    Raises:
        ValueError: the model has other layers.
    """
    theirs = [layer for layer in read_exported(model_path).layers if layer.weight.ndim == 4]
    ours = _modules(net, nn.Conv2d)
    _check_shapes(ours, theirs, model_path, "--kind")
    followers = dict(itertools.pairwise(net.modules()))
    for module, layer in zip(ours, theirs, strict=True):
        follower = followers.get(module)
        owner = module if module.bias is not None else follower
        if not isinstance(owner, nn.Conv2d | nn.BatchNorm2d) or owner.bias is None or layer.bias is None:
            raise ValueError(f"{model_path} has a convolution without bias; this network has one")
        _copy(layer.weight, module.weight)
        _copy(layer.bias, owner.bias)
        if isinstance(owner, nn.BatchNorm2d):  # which then only adds the bias
            owner.weight.data.fill_((1.0 + owner.eps) ** 0.5)
            owner.reset_running_stats()


def summary_from(net: FocusNet, model_path: Path) -> None:
    """Load the directions that summarise the maps, from the graph of a model with spectra.

    Raises:
        ValueError: the model or the network has no summary, or they differ.
    """
    first = next((layer for layer in read_exported(model_path).layers if layer.weight.ndim == 2), None)
    ours = None if net.summary is None else tuple(net.summary.weight.shape)
    if net.summary is None or first is None or first.bias is None or first.weight.shape != ours:
        raise ValueError(
            f"{model_path} summarises its maps in another way. Use the --kind that it was trained with."
        )
    _copy(first.weight, net.summary.weight)
    _copy(first.bias, net.summary.bias)


def _modules(net: nn.Module, kind: type) -> list[nn.Module]:
    return [module for module in net.modules() if isinstance(module, kind)]


def _check_shapes(ours: list[nn.Module], theirs: list[Layer], path: Path, options: str) -> None:
    if [layer.weight.shape for layer in theirs] != [tuple(module.weight.shape) for module in ours]:
        raise ValueError(
            f"{path} has {len(theirs)} layers, this network has {len(ours)}, or their shapes differ. "
            f"Use the {options} that the model was trained with."
        )


def _copy(values: FloatArray, ours: torch.Tensor) -> None:
    ours.data.copy_(torch.from_numpy(values.copy()))


def _unfold(net: nn.Module, folded: dict[nn.Module, torch.Tensor], x: torch.Tensor) -> None:
    """Set each batch normalisation so that, with the statistics of `x`, it only adds the folded bias."""
    modules = list(net.modules())
    hooks = []
    for convolution, normalisation in itertools.pairwise(modules):
        if convolution in folded and isinstance(normalisation, nn.BatchNorm2d):
            hooks.append(
                normalisation.register_forward_pre_hook(_setting(normalisation, folded[convolution]))
            )
    net.train()
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()


def _setting(layer: nn.BatchNorm2d, bias: torch.Tensor) -> Callable[[nn.Module, tuple[torch.Tensor]], None]:
    def before(_: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        (y,) = inputs
        variance = y.var(dim=(0, 2, 3), correction=0) + layer.eps
        mean = y.mean(dim=(0, 2, 3))
        layer.weight.data.copy_(variance.sqrt())
        layer.bias.data.copy_(mean + bias)

    return before
