"""linear_as_conv: linear layers on tokens as 1x1 convolutions of a row of pixels."""

from __future__ import annotations

import operator
from typing import ClassVar

import onnx_ir as ir
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from exporters.lowering import register
from exporters.lowering.builder import Builder
from exporters.lowering.convolutions import convolve
from exporters.lowering.dims import product
from exporters.transforms.rewriting import Forward, Rewrite
from netspec import ops


def to_columns(x: Tensor) -> Tensor:
    """Tokens (N, T, C) as an image of one row, (N, C, 1, T)."""
    return x.transpose(1, 2).unsqueeze(2)


def from_columns(x: Tensor) -> Tensor:
    """An image of one row, (N, C, 1, T), as tokens (N, T, C)."""
    return x.squeeze(2).transpose(1, 2)


def image_columns(x: Tensor) -> Tensor:
    """An image (N, C, *sizes) as the columns of its tokens: (N, C, 1, T)."""
    return x.flatten(2).unsqueeze(2)


def columns_image(x: Tensor, like: Tensor) -> Tensor:
    """Columns (N, C, 1, T) as an image (N, C, *sizes of like)."""
    return x.reshape(*x.shape[:2], *like.shape[2:])


class Pointwise(nn.Module):
    """What a `Linear` computes, with its parameters: a convolution with its weight (O, I) seen as (O, I, 1, 1).

    From (N, I, 1, T) to (N, O, 1, T), or where `tokens`, from (N, T, I) to (N, T, O).
    """

    def __init__(self, linear: nn.Linear, tokens: bool) -> None:
        super().__init__()
        self.weight, self.bias, self.tokens = linear.weight, linear.bias, tokens

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv2d(to_columns(x) if self.tokens else x, self.weight[:, :, None, None], self.bias)
        return from_columns(y) if self.tokens else y


def _to_columns(b: Builder, x: ir.Value) -> ir.Value:
    return b.unsqueeze(b.transpose(x, 0, 2, 1), 2)


def _from_columns(b: Builder, x: ir.Value) -> ir.Value:
    n, c, _, t = b.dims(x)
    return b.transpose(b.op("Squeeze", x, b.ints(2), dims=[n, c, t]), 0, 2, 1)


def _image_columns(b: Builder, x: ir.Value) -> ir.Value:
    n, c, *sizes = b.dims(x)
    return b.reshape(x, [n, c, 1, product(sizes)])


def _columns_image(b: Builder, x: ir.Value, like: ir.Value) -> ir.Value:
    return b.reshape(x, [*b.dims(x)[:2], *b.dims(like)[2:]])


def _pointwise(b: Builder, m: Pointwise, x: ir.Value) -> ir.Value:
    weight = b.parameter("weight", [*m.weight.shape, 1, 1])
    bias = None if m.bias is None else b.parameter("bias")
    y = convolve(b, _to_columns(b, x) if m.tokens else x, weight, bias, stride=(1, 1), pads=(0, 0, 0, 0))
    return _from_columns(b, y) if m.tokens else y


register(to_columns, _to_columns)
register(from_columns, _from_columns)
register(image_columns, _image_columns)
register(columns_image, _columns_image)
register(Pointwise, _pointwise)

# What computes each number by itself, or cuts along channels, and so does not care how they lie.
_FUNCTIONS = (F.silu, F.gelu, F.relu, torch.sigmoid, torch.tanh, operator.mul, operator.add)
_MODULES = (nn.SiLU, nn.GELU, nn.ReLU, nn.Sigmoid, nn.Tanh, nn.Dropout, nn.Identity)


class LinearAsConv(Rewrite):
    """Every `Linear` on tokens as a 1x1 convolution: what accelerators for images have their kernels for. The weight
    keeps its name and its bytes. Between two of them nothing changes its layout but what has to: activations, dropout,
    gates and sums of what convolutions made stay images.
    """

    name: ClassVar[str] = "linear_as_conv"
    seeks: ClassVar[str] = "linear layers on tokens"

    def rewrite(self, forward: Forward) -> bool:
        found = [(node, layer) for node, layer in forward.calls(nn.Linear) if forward.rank(node) == 3]
        inside = bool(forward.path)  # a node of the plan makes tokens: there each layer changes the layout itself
        for node, layer in found:
            forward.replace(node, Pointwise(layer, tokens=not inside))
            if inside:
                _wrap(node)
        if inside and found:
            _stay_columns(forward)
        return bool(found)


def _wrap(call: fx.Node) -> None:
    """Columns into a layer and tokens out of it. What several layers read is turned once."""
    graph, (x,) = call.graph, call.args
    assert isinstance(x, fx.Node)  # a layer reads a value
    turned = next((user for user in x.users if user.target is to_columns), None)
    if turned is None:
        with graph.inserting_after(x):
            turned = graph.call_function(to_columns, (x,))
    call.args = (turned,)
    with graph.inserting_after(call):
        tokens = graph.call_function(from_columns, (call,))
    call.replace_all_uses_with(tokens, lambda user: user is not tokens)


def _stay_columns(forward: Forward) -> None:
    """Take out the changes of layout that undo each other, also around what does not care about layout."""
    graph = forward.graph
    free = _between_columns(forward)
    for node in free:
        for given in node.all_input_nodes:
            if given.target is from_columns:
                node.replace_input_with(given, given.all_input_nodes[0])
        if node.target == "chunk":
            node.args, node.kwargs = (*node.args[:2], 1), {}
    for node in graph.find_nodes(op="call_function", target=to_columns):
        given = node.all_input_nodes[0]
        if given in free or given.target is from_columns:
            node.replace_all_uses_with(given if given in free else given.all_input_nodes[0])
        elif given.target is ops.to_tokens:
            node.target, node.args = image_columns, given.args
    for node in graph.find_nodes(op="call_function", target=ops.from_tokens):
        given = node.all_input_nodes[0]
        if given.target is from_columns:
            node.target, node.args = columns_image, (given.all_input_nodes[0], *node.args[1:])
    for node in reversed(graph.nodes):
        if node.op == "call_function" and not node.users:
            graph.erase_node(node)


def _between_columns(forward: Forward) -> set[fx.Node]:
    """The nodes that do not care about layout, all of whose values come from columns and become columns again."""
    free = {node for node in forward.graph.nodes if _is_free(forward, node)}
    while True:
        bound = {
            node for node in free
            if not all(given in free or given.target is from_columns for given in node.all_input_nodes)
            or not all(user in free or user.target is to_columns for user in node.users)
        }  # fmt: skip
        if not bound:
            return free
        free -= bound


def _is_free(forward: Forward, node: fx.Node) -> bool:
    match node.op:
        case "call_module":
            return type(forward.module.get_submodule(str(node.target))) in _MODULES
        case "call_method":
            dim = node.args[2] if len(node.args) > 2 else node.kwargs.get("dim", 0)
            return node.target == "chunk" and dim in (-1, 2)
        case "call_function":
            part = node.target is operator.getitem and node.all_input_nodes[0].target == "chunk"
            return part or node.target in _FUNCTIONS
        case _:
            return False
