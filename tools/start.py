"""Begin a training where a shipped model ended: its weights, out of the ONNX file, into a network to train.

An exported network has no batch normalisation left: each was folded into the convolution before it. To train on, each
gets one back that changes nothing for the patches at hand, measured layer by layer as they pass.
"""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from tools.network_focus import Head

Weights = tuple[NDArray[np.float32], NDArray[np.float32] | None]


def start_from(net: nn.Module, model_path: Path, x: torch.Tensor) -> None:
    """Give ``net`` the weights of an exported model of the same architecture; ``x`` is a batch of its input.

    Raises ValueError where the model has other layers.
    """
    theirs = _weights_of(model_path)
    if is_spectral(model_path):
        raise ValueError(f"{model_path} has a head that hears spectra: it goes on with --head spectrum only")
    ours = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    if [w.shape for w, _ in theirs] != [tuple(m.weight.shape) for m in ours]:
        raise ValueError(
            f"{model_path} has {len(theirs)} layers with weights, this network {len(ours)} or others: choose the "
            "--kind and --head that the model was trained with"
        )
    folded: dict[nn.Module, torch.Tensor] = {}
    for module, (weight, bias) in zip(ours, theirs, strict=True):
        module.weight.data.copy_(torch.from_numpy(weight.copy()))
        if module.bias is not None and bias is not None:
            module.bias.data.copy_(torch.from_numpy(bias.copy()))
        elif bias is not None:
            folded[module] = torch.from_numpy(bias.copy()).to(x.device)
    _unfold(net, folded, x)


def is_spectral(model_path: Path) -> bool:
    """Whether the head of a model hears the spectra of its patches."""
    return any(node.op_type == "Log" for node in onnx.load(model_path).graph.node)


def body_from(net: nn.Module, model_path: Path) -> None:
    """Give ``net`` the convolutions of an exported model, to stay as they are: its own linear head is left alone.

    Raises ValueError where the model has other layers.
    """
    theirs = [(w, b) for w, b in _weights_of(model_path) if w.ndim == 4]
    modules = list(net.modules())
    ours = [m for m in modules if isinstance(m, nn.Conv2d)]
    if [w.shape for w, _ in theirs] != [tuple(m.weight.shape) for m in ours]:
        raise ValueError(
            f"{model_path} has other convolutions than this network: choose the --kind that the model was trained with"
        )
    followers = dict(itertools.pairwise(modules))
    for module, (weight, bias) in zip(ours, theirs, strict=True):
        module.weight.data.copy_(torch.from_numpy(weight.copy()))
        follower = followers.get(module)
        owner = module if module.bias is not None else follower
        if not isinstance(owner, nn.Conv2d | nn.BatchNorm2d) or owner.bias is None or bias is None:
            raise ValueError(f"{model_path} has a convolution without the bias that this network has")
        owner.bias.data.copy_(torch.from_numpy(bias.copy()))
        if isinstance(owner, nn.BatchNorm2d):  # one that changes nothing else
            owner.weight.data.fill_((1.0 + owner.eps) ** 0.5)
            owner.reset_running_stats()


def head_from(head: Head, model_path: Path) -> None:
    """Give a head the weights of an exported model whose head hears spectra too.

    Raises ValueError where that has other layers.
    """
    theirs = [(w, b) for w, b in _weights_of(model_path) if w.ndim == 2]
    ours = [m for m in head.modules() if isinstance(m, nn.Linear)]
    if [w.shape for w, _ in theirs] != [tuple(m.weight.shape) for m in ours]:
        raise ValueError(f"{model_path} has a head with other layers than this network's")
    for module, (weight, bias) in zip(ours, theirs, strict=True):
        module.weight.data.copy_(torch.from_numpy(weight.copy()))
        if bias is not None:
            module.bias.data.copy_(torch.from_numpy(bias.copy()))
    values = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(model_path).graph.initializer
    }
    for name, buffer in (("head.mean", head.mean), ("head.deviation", head.deviation)):
        buffer.copy_(torch.from_numpy(values[name].copy()))


def _weights_of(model_path: Path) -> list[Weights]:
    """Weight and bias of each convolution and dense layer, in the order of execution."""
    graph = onnx.load(model_path).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    layers = []
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in values:  # what equals another is stored once
            values[node.output[0]] = values[node.input[0]]
        if node.op_type in ("Conv", "Gemm"):
            names = list(node.input)
            layers.append((values[names[1]], values[names[2]] if len(names) > 2 else None))
    return layers


def _unfold(net: nn.Module, folded: dict[nn.Module, torch.Tensor], x: torch.Tensor) -> None:
    """Set each batch normalisation so that with the statistics of ``x`` it only adds the folded bias."""
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
