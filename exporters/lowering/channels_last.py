"""channels_last(): the layout changes of a graph, moved down until they meet their inverse.

Lowerings for kernels that keep channels last wrap them in two transposes. Between two such kernels lie additions,
concatenations, resizes and reshapes to tokens, which work in either layout: here they are done in the kernels' own, so
that a network changes layout where it begins and ends and hardly anywhere else. Fusions that ONNX Runtime's CUDA
provider has kernels for follow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import torch

from exporters.lowering.builder import Builder

CONTRIB = "com.microsoft"
KERNELS = frozenset((torch.float32, torch.float16))  # types that the provider's image kernels exist for
TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
GATE_WIDTHS = (2560, 5120, 10240)  # that BiasSplitGelu has kernels for
_ELEMENTWISE = frozenset(("Add", "Sub", "Mul", "Div", "Sigmoid", "Tanh", "Relu", "Gelu", "Swish", "Cast"))


def last(b: Builder, x: ir.Value) -> ir.Value:
    """An image with its channels last: (N, C, H, W) to (N, H, W, C)."""
    return b.transpose(x, *TO_LAST)


def first(b: Builder, x: ir.Value) -> ir.Value:
    """Back from `last`."""
    return b.transpose(x, *TO_FIRST)


def normed(x: ir.Value) -> ir.Node | None:
    """The GroupNorm with channels last that an image comes from, if nothing was done to it since but `first`."""
    turned = x.producer()
    source = _input(turned).producer() if turned is not None and _permutes(turned, TO_FIRST) else None
    plain = source is not None and source.op_type == "GroupNorm" and not source.attributes["activation"].as_int()
    return source if plain else None


def with_silu(b: Builder, norm: ir.Node) -> ir.Value:
    """The same norm, followed by x * sigmoid(x); channels last."""
    y = b.op("GroupNorm", *norm.inputs, dims=b.dims(norm.outputs[0]), domain=CONTRIB)
    _producer(y).attributes.update({**norm.attributes, "activation": ir.AttrInt64("activation", 1)})
    return y


def channels_last(b: Builder, nodes: Sequence[ir.Node], outputs: Sequence[ir.Value]) -> list[ir.Node]:
    """The same graph with few layout changes; what becomes unused may be left in it."""
    return _Rewriter(b, outputs).run(nodes)


class _Rewriter:
    """`last` holds, for images with channels first, the same with channels last."""

    def __init__(self, b: Builder, outputs: Sequence[ir.Value]) -> None:
        self.b = b
        self.outputs = outputs
        self.last: dict[ir.Value, ir.Value] = {}

    def run(self, nodes: Sequence[ir.Node]) -> list[ir.Node]:
        b = self.b
        b.nodes = []
        for node in nodes:
            start = len(b.nodes)
            found = None if any(output in self.outputs for output in node.outputs) else self._better(node)
            if found is None:
                b.nodes.append(node)
                if _permutes(node, TO_FIRST):
                    self.last[node.outputs[0]] = _input(node)
                continue
            old = node.outputs[0]
            if b.dims(found) != b.dims(old):  # it has its channels last: who wants them first finds them so
                image, found = found, first(b, found)
                self.last[found] = image
            b.name_since(start, node.name or "", found if len(b.nodes) > start else None, node.metadata_props)
            if found.producer() in b.nodes[start:]:
                found.name = old.name
            ir.convenience.replace_all_uses_with(old, found)
            for index in range(len(node.inputs)):
                node.replace_input_with(index, None)
        return b.nodes

    def _better(self, node: ir.Node) -> ir.Value | None:
        """What may stand for the result of a node: the same value, or the same image with channels last."""
        match node.op_type:
            case "Transpose" if _permutes(node, TO_LAST):
                return self.last.get(_input(node))
            case "Transpose" if _permutes(node, (0, 2, 1)):
                return self._to_tokens(node)
            case "Reshape":
                return self._from_tokens(node)
            case "Concat":
                return self._concatenated(node)
            case "Resize":
                return self._resized(node)
            case "GroupNorm":
                return self._normed_sum(node)
            case "Mul" if (gated := self._gated(node)) is not None:
                return gated
            case op_type if op_type in _ELEMENTWISE:
                return self._elementwise(node)
        return None

    def _elementwise(self, node: ir.Node) -> ir.Value | None:
        inputs = [_given(value) for value in node.inputs]
        if not any(value in self.last for value in inputs):
            return None
        operands = [self._operand(value) for value in inputs]
        if None in operands:
            return None
        attributes = node.attributes.values()
        result = self.b.op(
            node.op_type, *operands, dims=_permuted(self.b.dims(node.outputs[0])), dtype=self.b.dtype(node.outputs[0])
        )
        _producer(result).attributes.update((attribute.name, attribute) for attribute in attributes)
        return result

    def _operand(self, value: ir.Value) -> ir.Value | None:
        """What stands for a value beside an image with channels last, None where nothing does."""
        if value in self.last:
            return self.last[value]
        dims, node = self.b.dims(value), value.producer()
        if all(size == 1 for size in dims):
            return value if len(dims) < 4 else None
        if node is None or node.op_type != "Unsqueeze" or dims[-2:] != (1, 1):
            return None
        vector = _input(node)  # (N, C) or (C,)
        return self.b.unsqueeze(vector, 1, 2) if len(self.b.dims(vector)) == 2 else vector

    def _concatenated(self, node: ir.Node) -> ir.Value | None:
        inputs = [_given(value) for value in node.inputs]
        if node.attributes["axis"].as_int() != 1 or not all(value in self.last for value in inputs):
            return None
        dims = _permuted(self.b.dims(node.outputs[0]))
        return self.b.op("Concat", *(self.last[value] for value in inputs), dims=dims, axis=3)

    def _resized(self, node: ir.Node) -> ir.Value | None:
        """By nearest neighbour: the provider interpolates in the last two axes only."""
        x = _input(node)
        scales = _numbers(node.inputs[2]) if len(node.inputs) == 3 else None
        if x not in self.last or scales is None or node.attributes["mode"].as_string() != "nearest":
            return None
        dims = _permuted(self.b.dims(node.outputs[0]))
        result = self.b.op(
            "Resize", self.last[x], None, self.b.constant(scales[list(TO_LAST)], torch.float32), dims=dims
        )
        _producer(result).attributes.update(node.attributes)
        return result

    def _to_tokens(self, node: ir.Node) -> ir.Value | None:
        """(N, C, H, W) to (N, C, H * W) to (N, H * W, C)."""
        flat = _input(node).producer()
        if flat is None or flat.op_type != "Reshape" or (x := _input(flat)) not in self.last:
            return None
        tokens = self.b.dims(node.outputs[0])
        if tokens[2] != self.b.dims(x)[1]:
            return None
        return self.b.op("Reshape", self.last[x], self.b.ints(0, -1, int(str(tokens[2]))), dims=tokens)

    def _from_tokens(self, node: ir.Node) -> ir.Value | None:
        """(N, H * W, C) to (N, C, H * W) to (N, C, H, W)."""
        turned, dims = _input(node).producer(), self.b.dims(node.outputs[0])
        if turned is None or not _permutes(turned, (0, 2, 1)) or len(dims) != 4:
            return None
        tokens = _input(turned)
        if self.b.dims(tokens)[2] != dims[1]:
            return None
        shape = _given(node.inputs[1])
        known = _numbers(shape)
        wanted = (
            self.b.op("Gather", shape, self.b.ints(*TO_LAST), dims=[4], axis=0)
            if known is None
            else self.b.ints(*(int(known[axis]) for axis in TO_LAST))
        )
        return self.b.op("Reshape", tokens, wanted, dims=_permuted(dims))

    def _normed_sum(self, node: ir.Node) -> ir.Value | None:
        """A sum that nobody else reads is made inside the norm."""
        x, scale, shift = (_given(value) for value in node.inputs)
        total = x.producer()
        if total is None or total.op_type != "Add" or any(user is not node for user in _readers(x)):
            return None
        dims, terms = self.b.dims(x), [_given(value) for value in total.inputs]
        whole = next((term for term in terms if self.b.dims(term) == dims), None)
        if whole is None:
            return None
        other = terms[1 - terms.index(whole)]
        if self.b.dims(other) not in (dims, (dims[0], 1, 1, dims[3])):
            return None
        result = self.b.op("SkipGroupNorm", whole, scale, shift, other, dims=dims, domain=CONTRIB)
        _producer(result).attributes.update(node.attributes)
        return result

    def _gated(self, node: ir.Node) -> ir.Value | None:
        """value * gelu(gate) of two halves of a product and its bias."""
        value, act = (_given(value).producer() for value in node.inputs)
        if act is None or act.op_type != "Gelu" or act.attributes["approximate"].as_string() != "none":
            return None
        gate = _input(act).producer()
        if value is None or value is not gate or value.op_type != "Split" or len(value.outputs) != 2:
            return None
        if node.inputs[0] is not value.outputs[0] or _input(act) is not value.outputs[1]:
            return None
        dims, total = self.b.dims(_input(value)), _input(value).producer()
        if total is None or total.op_type != "Add" or len(dims) != 3 or dims[2] not in GATE_WIDTHS:
            return None
        product, bias = (_given(each) for each in total.inputs)
        if self.b.dims(bias) != (dims[2],) or bias.producer() is not None or self.b.dtype(product) not in KERNELS:
            return None
        return self.b.op("BiasSplitGelu", product, bias, dims=self.b.dims(node.outputs[0]), domain=CONTRIB)


def _readers(image: ir.Value) -> list[ir.Node]:
    """Who reads an image with channels last, or with channels first."""
    return [
        reader
        for user in image.consumers()
        for reader in ([user] if not _permutes(user, TO_FIRST) else user.outputs[0].consumers())
    ]


def _permuted(dims: Sequence[object]) -> list:  # type: ignore[type-arg]
    return [dims[axis] for axis in TO_LAST]


def _permutes(node: ir.Node, perm: Sequence[int]) -> bool:
    return node.op_type == "Transpose" and tuple(node.attributes["perm"].as_ints()) == tuple(perm)


def _given(value: ir.Value | None) -> ir.Value:
    assert value is not None  # an operator's required input
    return value


def _input(node: ir.Node) -> ir.Value:
    return _given(node.inputs[0])


def _producer(value: ir.Value) -> ir.Node:
    node = value.producer()
    assert node is not None  # it was made by an operator
    return node


def _numbers(value: ir.Value | None) -> np.ndarray | None:
    return None if value is None or value.const_value is None else value.const_value.numpy()
