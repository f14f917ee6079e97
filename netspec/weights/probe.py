"""Weights that let nothing hide: what parity runs on where a network's own weights would prove little."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from netspec.weights.aligned import AlignedWriter, load_tensors, read_layout

_NOISE = 0.1  # on what is constant
_GAIN = math.sqrt(2)  # keeps the scale through ReLU: He et al. 2015, arXiv:1502.01852, Eq. 10


def write_probe(model: nn.Module, source: Path, path: Path) -> None:
    """A copy of a network's weights in which every part of the network counts; `model` may be on `meta`.

    Fresh weights hide errors: behind a layer of zeros nothing can be seen, a gain of 1 may be forgotten, and where no
    norm restores it, PyTorch's initialisation lets the signal fade to a tenth within four layers, until the output is
    the last bias and little more. So constants get noise, and kernels, matrices and tables the scale that keeps the
    signal's: each output as large as the inputs that it is made from.
    """
    scales = {name: scale for name, module in model.named_modules() if (scale := _scale(module))}
    generator = torch.Generator().manual_seed(0)
    with AlignedWriter(path, read_layout(source)) as writer:
        for name, tensor in load_tensors(source):
            owner, _, leaf = name.rpartition(".")
            if leaf == "weight" and owner in scales:
                tensor = _scaled(tensor, scales[owner], generator)
            elif tensor.is_floating_point() and tensor.min() == tensor.max():
                tensor = tensor + _NOISE * _noise(tensor, generator)
            writer.write(name, tensor)


def _scale(module: nn.Module) -> float:
    """The root mean square of the weights of a layer that mixes its inputs; 0 for what is no such layer."""
    match module:
        case nn.Linear():
            return 1 / math.sqrt(module.in_features)
        case nn.ConvTranspose2d():
            reach = math.prod(module.kernel_size) / math.prod(module.stride)  # pixels that meet in one
            return _GAIN / math.sqrt(module.in_channels / module.groups * reach)
        case nn.Conv2d():
            return _GAIN / math.sqrt(module.in_channels / module.groups * math.prod(module.kernel_size))
        case nn.Embedding():
            return 1.0
    return 0.0


def _scaled(tensor: Tensor, scale: float, generator: torch.Generator) -> Tensor:
    """The tensor, noise where it is all zeros, with a given root mean square."""
    own = float(torch.linalg.vector_norm(tensor, dtype=torch.float32)) / math.sqrt(tensor.numel())
    if own == 0:
        return scale * _noise(tensor, generator)
    return tensor * float(f"{scale / own:.3g}")  # three digits: the rest depends on the number of threads


def _noise(tensor: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(tensor.shape, generator=generator).to(tensor.dtype)
