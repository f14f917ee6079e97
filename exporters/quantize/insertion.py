"""quantise a graph: Q and DQ around each layer, its weight in few bits, by reference into the target's own file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
import torch

from exporters.lowering.dtypes import DTYPES
from exporters.quantize.layers import Grid, Layer
from exporters.quantize.scheme import Scheme
from exporters.quantize.sites import Site, sites
from exporters.quantize.weights import Packed

CONTRIB = "com.microsoft"
INT8_ACTIVATIONS = (
    4  # accuracy level of MatMulNBits: products of whole numbers, each block of activations rounded to 8 bits
)
_STORED = {
    "I8": ir.DataType.INT8,
    "U8": ir.DataType.UINT8,
    "I32": ir.DataType.INT32,
    "F8_E4M3": ir.DataType.FLOAT8E4M3FN,
}
_FLOATS = {"F32": ir.DataType.FLOAT, "F16": ir.DataType.FLOAT16, "BF16": ir.DataType.BFLOAT16}
_KINDS = {torch.uint8: ir.DataType.UINT8, torch.int8: ir.DataType.INT8, torch.float8_e4m3fn: ir.DataType.FLOAT8E4M3FN}


def insert(model: ir.Model, layers: Mapping[str, Layer], scheme: Scheme, packed: Packed) -> None:
    """Rewrite the graph in place. Its float weights of these layers were placeholders, and are gone."""
    pen = _Pen(model.graph, scheme, packed)
    for path, places in sites(model, list(layers), scheme.operators).items():
        for site in places:
            pen.rewrite(site, layers[path])
    if scheme.operator and layers:
        model.graph.opset_imports.setdefault(CONTRIB, 1)
    if scheme.weights == "blocks" and not scheme.operator:
        model.graph.opset_imports[""] = max(21, model.graph.opset_imports[""])


class _Pen:
    """Writes into one graph: constants once, an activation that several layers read quantised once."""

    def __init__(self, graph: ir.Graph, scheme: Scheme, packed: Packed) -> None:
        self._graph = graph
        self._scheme = scheme
        self._packed = packed
        self._constants: dict[str, ir.Value] = {}
        self._reads: dict[tuple[ir.Value, str, Grid], ir.Value] = {}
        self._weights: dict[str, ir.Value] = {}

    def rewrite(self, site: Site, layer: Layer) -> None:
        if self._scheme.operator:
            self._blocks(site, layer)
            return
        if layer.read is not None:
            read = site.read
            site.node.replace_input_with(0, self._read(site, layer.read, layer.base))
            self._drop(read)
        entry, index = site.entry
        entry.replace_input_with(index, self._weight(site, layer))
        if self._scheme.whole_bias and site.bias is not None:
            site.node.replace_input_with(2, self._bias(site, layer))
        if layer.made is not None:
            self._made(site, layer.made, layer.base)

    def _read(self, site: Site, grid: Grid, kind: torch.dtype) -> ir.Value:
        """What enters the layer, rounded to the grid: once for layers that read the same tokens, in the same shape."""
        value = site.read
        key = site.source, str(value.shape), grid
        if key not in self._reads:
            self._reads[key] = self._rounded(value, grid, kind, f"{site.node.name}/read", site.node)
        return self._reads[key]

    def _drop(self, value: ir.Value) -> None:
        """Remove the reshape that made a value nobody reads any more."""
        node = value.producer()
        if node is not None and node.op_type == "Reshape" and not value.uses():
            self._graph.remove(node, safe=True)

    def _made(self, site: Site, grid: Grid, kind: torch.dtype) -> None:
        """Round what the layer makes: the rounded value takes its name, and its place in whatever reads it."""
        value, name = site.made, str(site.made.name)
        value.name = f"{site.node.name}/exact"
        uses = list(value.uses())
        after = self._rounded(value, grid, kind, f"{site.node.name}/made", site.node, after=True)
        after.name = name
        for use in uses:
            use.node.replace_input_with(use.idx, after)
        self._graph.outputs[:] = [after if output is value else output for output in self._graph.outputs]

    def _rounded(
        self, value: ir.Value, grid: Grid, kind: torch.dtype, name: str, node: ir.Node, *, after: bool = False
    ) -> ir.Value:
        scale = self._constant(torch.tensor(grid.scale, dtype=kind))
        zero = self._constant(torch.tensor(grid.zero).to(grid.dtype))
        few = self._node("QuantizeLinear", [value, scale, zero], name, _KINDS[grid.dtype], value.shape)
        wide = self._node("DequantizeLinear", [few.outputs[0], scale, zero], f"{name}/float", DTYPES[kind], value.shape)
        for each in (few, wide):
            each.metadata_props.update(node.metadata_props)
        if after:
            self._graph.insert_after(node, [few, wide])
        else:
            self._graph.insert_before(node, [few, wide])
        return wide.outputs[0]

    def _weight(self, site: Site, layer: Layer) -> ir.Value:
        """The weight as float again, for the operator that a runtime makes one kernel of."""
        key = f"{layer.path}.weight"
        if key not in self._weights:
            shape = site.weight.shape
            attributes: dict[str, int] = {"axis": 0} if self._scheme.weights == "int8" else {}
            if layer.block:
                attributes = {"axis": 1, "block_size": layer.block}
            data = self._stored(key, layer, shape)
            inputs = [data, self._stored(f"{key}_scale", layer)]
            if self._scheme.weights == "int8":  # ONNX Runtime has a kernel for products only where it is written
                inputs.append(self._constant(torch.zeros(self._packed.infos[key].shape[0], dtype=torch.int8)))
            node = self._node(
                "DequantizeLinear",
                inputs,
                f"{layer.path.replace('.', '/')}/weight",
                DTYPES[layer.base],
                shape,
                attributes,
            )
            self._graph.insert_before(site.entry[0], node)
            self._weights[key] = node.outputs[0]
        return self._weights[key]

    def _bias(self, site: Site, layer: Layer) -> ir.Value:
        key = f"{layer.path}.bias"
        if key not in self._weights:
            inputs = [self._stored(key, layer), self._stored(f"{key}_scale", layer)]
            name = f"{layer.path.replace('.', '/')}/bias"
            assert site.bias is not None  # the caller asked
            node = self._node("DequantizeLinear", inputs, name, DTYPES[layer.base], site.bias.shape, {"axis": 0})
            self._graph.insert_before(site.node, node)
            self._weights[key] = node.outputs[0]
        return self._weights[key]

    def _blocks(self, site: Site, layer: Layer) -> None:
        """MatMulNBits in place of the product: of a Gemm with its bias, of a MatMul alone."""
        rows, count = self._packed.infos[f"{layer.path}.weight_scale"].shape
        inputs: list[ir.Value | None] = [
            site.read, self._stored(f"{layer.path}.weight", layer), self._stored(f"{layer.path}.weight_scale", layer),
        ]  # fmt: skip
        if site.bias is not None:
            inputs += [None, None, site.bias]
        attributes = {
            "K": count * layer.block, "N": rows, "bits": layer.bits, "block_size": layer.block,
            "accuracy_level": INT8_ACTIVATIONS,
        }  # fmt: skip
        old = site.node
        node = ir.Node(
            CONTRIB, "MatMulNBits", inputs, ir.convenience.convert_attributes(attributes),
            name=old.name, outputs=[ir.Value(name=site.made.name, shape=site.made.shape, type=site.made.type)],
            metadata_props=dict(old.metadata_props),
        )  # fmt: skip
        removed = [old] if site.entry[0] is old else [old, site.entry[0]]
        ir.convenience.replace_nodes_and_values(self._graph, old, removed, [node], [site.made], list(node.outputs))

    def _node(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        name: str,
        kind: ir.DataType,
        shape: ir.Shape | None,
        attributes: Mapping[str, int] | None = None,
    ) -> ir.Node:
        output = ir.Value(name=name, shape=shape, type=ir.TensorType(kind))
        return ir.Node(
            "", op_type, inputs, ir.convenience.convert_attributes(dict(attributes or {})), name=name, outputs=[output]
        )

    def _stored(self, key: str, layer: Layer, whole: ir.Shape | None = None) -> ir.Value:
        """The initializer of that name in the target's file. `whole` is the shape that the graph sees its numbers in:
        packed ones, or a linear layer's as a convolution's."""
        initializers = self._graph.initializers
        info, slot = self._packed.infos[key], self._packed.slots[key]
        kind = (_FLOATS | _STORED)[info.dtype]
        if whole is not None and layer.block:
            kind = ir.DataType.INT4 if layer.bits == 4 else ir.DataType.INT8
        held = initializers.get(key)
        if held is not None and held.dtype == kind:
            return held
        shape = whole or ir.Shape(info.shape)
        tensor = ir.ExternalTensor(slot.location, slot.offset, slot.length, kind, shape=shape, name=key)
        initializers.pop(key, None)
        value = ir.Value(name=key, shape=shape, type=ir.TensorType(kind), const_value=tensor)
        self._graph.register_initializer(value)
        return value

    def _constant(self, tensor: torch.Tensor) -> ir.Value:
        """A number, or a row of equal ones, in the graph itself."""
        kind = _KINDS.get(tensor.dtype) or DTYPES[tensor.dtype]
        count = f"*{tensor.numel()}" if tensor.ndim else ""
        name = f"{kind.name.lower()}[{tensor.flatten()[0].item():.9g}]{count}"
        if name not in self._constants:
            held = ir.Tensor(_bits(tensor), dtype=kind, name=name)
            value = ir.Value(name=name, shape=ir.Shape(tensor.shape), type=ir.TensorType(kind), const_value=held)
            self._graph.register_initializer(value)
            self._constants[name] = value
        return self._constants[name]


def _bits(tensor: torch.Tensor) -> np.ndarray:
    """The numbers as NumPy holds them; of types that it lacks, the bits."""
    if tensor.dtype == torch.bfloat16:
        return np.asarray(tensor.view(torch.uint16).numpy())
    return np.asarray((tensor.view(torch.uint8) if tensor.dtype == torch.float8_e4m3fn else tensor).numpy())
