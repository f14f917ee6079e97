"""Rewrites of the finished node list that need to see two leaves at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import onnx_ir as ir


def fold_pads(nodes: Sequence[ir.Node]) -> list[ir.Node]:
    """Zero padding of an image that only a convolution reads becomes that convolution's own `pads`.

    Conv takes other pads at the end than at the start, which PyTorch's does not: `F.pad(x, (0, 1, 0, 1))` before a
    strided convolution is the published downsampler of DDPM and Stable Diffusion.
    """
    folded: set[ir.Node] = set()
    for node in nodes:
        if node.op_type != "Conv" or (source := node.inputs[0]) is None:
            continue
        pad = source.producer()
        pads = _spatial_zeros(pad) if pad is not None and len(source.uses()) == 1 else None
        if pad is None or pads is None:
            continue
        own = node.attributes["pads"].as_ints()
        node.attributes["pads"] = ir.AttrInt64s("pads", [a + b for a, b in zip(own, pads, strict=True)])
        node.replace_input_with(0, pad.inputs[0])
        folded.add(pad)
        pad.replace_input_with(0, None)
    return [node for node in nodes if node not in folded]


def drop_unused(nodes: Sequence[ir.Node], outputs: Collection[ir.Value]) -> list[ir.Node]:
    """Without the nodes whose results nobody reads: what another lowering made unnecessary."""
    kept: list[ir.Node] = []
    for node in reversed(nodes):
        if any(output.uses() or output in outputs for output in node.outputs):
            kept.append(node)
        else:
            for index in range(len(node.inputs)):
                node.replace_input_with(index, None)
    return kept[::-1]


def _spatial_zeros(pad: ir.Node) -> list[int] | None:
    """The pads of the spatial axes, starts then ends, if that and nothing else is what `pad` adds."""
    if pad.op_type != "Pad" or pad.attributes["mode"].as_string() != "constant":
        return None
    amounts, fill = (_numbers(value) for value in pad.inputs[1:3])
    if amounts is None or fill is None or fill.any() or (amounts < 0).any():
        return None
    starts, ends = np.split(amounts, 2)
    if starts[:2].any() or ends[:2].any():
        return None
    return [int(amount) for amount in (*starts[2:], *ends[2:])]


def _numbers(value: ir.Value | None) -> np.ndarray | None:
    return None if value is None or value.const_value is None else value.const_value.numpy()
