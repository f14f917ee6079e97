"""quantized(): the layers that a precision plan names in 8 bits, for XNNPACK."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config
from torch import Tensor, fx
from torch.export import ExportedProgram
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from exporters.quantize import samples
from netspec.planner.points import points
from netspec.target import ExportRequest

SAMPLES = 32


def quantized(program: ExportedProgram, request: ExportRequest) -> ExportedProgram:
    """The program with static 8-bit layers: weights symmetric per channel, activations per tensor over the ranges that
    calibration saw. Jacob et al. 2018, arXiv:1712.05877."""
    assert request.precision is not None  # who calls has looked
    wanted = frozenset(request.precision.quantised)
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    quantizer.set_filter_function(lambda node: _owner(node) in wanted)
    prepared = prepare_pt2e(program.module(), quantizer)
    examples = list(_calibration(request))
    for inputs in examples:
        prepared(*inputs)
    return torch.export.export(convert_pt2e(prepared), examples[0])


def _owner(node: fx.Node) -> str:
    """The path of the layer that a node of a program computes."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return stack[-1][0] if stack else ""


def _calibration(request: ExportRequest) -> Iterator[tuple[Tensor, ...]]:
    """What a sampler would feed the network, over the whole of time."""
    assert request.plan is not None
    (point,) = points(request.plan)  # its sizes are fixed
    for sample in samples.made(request.plan, point.sizes, SAMPLES):
        yield tuple(torch.from_numpy(sample[port.name]).to(port.dtype) for port in request.inputs)
