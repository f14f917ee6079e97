"""lowered(): a program of `torch.export` → the bytes of a `.pte`, as much of it as possible on XNNPACK."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from exporters.executorch.quiet import quiet
from exporters.torch_export.seam import seam
from netspec.target import ExportRequest

with quiet():
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.exir.delegate import executorch_call_delegate


@dataclass(frozen=True)
class Lowered:
    """A finished program, and where its operations run: on XNNPACK, in so many pieces, or on portable kernels."""

    program: bytes
    pieces: int
    delegated: Mapping[str, int]
    portable: Mapping[str, int]

    def report(self) -> dict[str, Any]:
        """What `executorch.json` says."""
        on, off = sum(self.delegated.values()), sum(self.portable.values())
        return {
            "backend": "XNNPACK",
            "delegated_share": round(on / max(on + off, 1), 4),
            "pieces": self.pieces,
            "delegated": dict(sorted(self.delegated.items())),
            "portable": dict(sorted(self.portable.items())),
        }


def lowered(program: ExportedProgram, request: ExportRequest) -> Lowered:
    """The program for ExecuTorch; in 8 bits where the request's precision has layers that are."""
    with seam("lowering the network to ExecuTorch"), quiet(), torch.no_grad():
        if request.precision is not None and request.precision.quantised:
            from exporters.executorch.quantize import quantized

            program = quantized(program, request)
        plain = program.run_decompositions({**_PLAIN})
        edge = to_edge_transform_and_lower(plain, partitioner=[XnnpackPartitioner()])
        graph = edge.exported_program().graph_module
        pieces = [
            graph.get_submodule(str(node.args[0].target))
            for node in graph.graph.find_nodes(op="call_function", target=executorch_call_delegate)
        ]
        delegated = sum((_operations(piece.original_module.graph_module) for piece in pieces), Counter[str]())
        portable = _operations(graph)
        return Lowered(bytes(edge.to_executorch().buffer), len(pieces), delegated, portable)


def _attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """PyTorch's own form also minds rows in which everything is hidden, which no network of ours has: what it needs
    for them XNNPACK lacks."""
    assert attn_mask is None or attn_mask.is_floating_point()
    assert not any((dropout_p, is_causal, enable_gqa))
    scores = (q * (scale or q.shape[-1] ** -0.5)) @ k.transpose(-2, -1)  # (N, heads, T, S)
    return (scores if attn_mask is None else scores + attn_mask).softmax(-1) @ v


_PLAIN: Mapping[Any, Callable[..., Any]] = {torch.ops.aten.scaled_dot_product_attention.default: _attention}


def _operations(graph: fx.GraphModule) -> Counter[str]:
    """How often each operation is in a graph; taking one of several results is none."""
    none = (operator.getitem, executorch_call_delegate)
    calls = (node.target for node in graph.graph.nodes if node.op == "call_function" and node.target not in none)
    return Counter(getattr(target, "__name__", str(target)).removesuffix(".default") for target in calls)
