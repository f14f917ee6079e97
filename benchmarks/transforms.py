"""What each transform makes of a graph at fixed sizes: nodes, operators, and its largest value in float32."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from exporters.lowering import PORTABLE, emit
from exporters.lowering.packing import layout_of, slots_of
from netspec import api, planner
from netspec.deployment import deployments
from netspec.errors import UnknownName

CHUNKS = {"chunked_attention": {"queries": 512}}
FORMS: tuple[tuple[Any, ...], ...] = (
    (), ("linear_as_conv",), ("static_group_norm",), ("attention_per_head",), (CHUNKS,), ("attention_per_head", CHUNKS),
)  # fmt: skip
NETWORKS = (
    ("specs/unet/sd15.yaml", {"batch": 1}),
    ("specs/dit/dit_xl_2.yaml", {}),
    ("specs/autoencoder/kl_f8.yaml", {}),
)
OPERATORS = ("Conv", "MatMul", "Transpose")


def main() -> None:
    """Every form of every network at its `opt` sizes; a form that changes nothing is left out."""
    for path, sizes in NETWORKS:
        dims = {word: dim.opt for word, dim in api.load(path).dims.items()} | sizes
        print(f"{path} {dims}")
        for names in FORMS:
            edge = {"exporter": "onnx", "dims": dims, "transforms": list(names)}
            plan = planner.lower(api.load(path, set={"targets.edge": edge}))
            try:
                request = deployments(plan, ["edge"])[0].request
            except UnknownName:  # NS242
                continue
            graph = emit(request, PORTABLE, slots_of(layout_of(request))).graph
            largest = max(math.prod(value.shape.numpy()) for node in graph for value in node.outputs if value.shape)
            counts = Counter(node.op_type for node in graph)
            told = ", ".join(f"{counts[operator]:,} {operator}" for operator in OPERATORS)
            form = " + ".join(name if isinstance(name, str) else next(iter(name)) for name in names) or "as it is"
            print(f"  {form:<44} {sum(counts.values()):>6,} nodes, {told}; {4 * largest / 1e6:,.0f} MB", flush=True)
