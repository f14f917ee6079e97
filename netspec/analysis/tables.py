"""A summary as plain text: what `netspec show` prints and `plan.txt` begins with."""

from __future__ import annotations

from collections.abc import Sequence

from netspec.analysis.summary import BYTES, Summary
from netspec.tensors import TensorType

_HEADINGS = ("stage", "output", "parameters", "GFLOPs", "blocks")


def text(summary: Summary) -> str:
    """The table of stages and the totals, as lines of at most the width that the names need."""
    rows = [
        (row.stage, size(row.output), f"{row.cost.params:,}", f"{row.gflops:,.2f}", row.blocks) for row in summary.rows
    ]
    cost = summary.plan.cost
    rows.append(("total", "", f"{cost.params:,}", f"{summary.gflops:,.2f}", f"{summary.gmacs:,.2f} GMACs"))
    lines = [_title(summary), "", *_table([_HEADINGS, *rows]), ""]
    lines += [f"{label:<12} {value}" for label, value in _totals(summary)]
    return "\n".join(lines) + "\n"


def _title(summary: Summary) -> str:
    spec = summary.plan.spec
    return f"{spec.name}  ({spec.family.name}, convention {spec.convention})"


def _totals(summary: Summary) -> list[tuple[str, str]]:
    plan = summary.plan
    weights = "  ".join(f"{name} {amount(summary.weights_bytes(name))}" for name in BYTES)
    activations = "  ".join(f"{name} {amount(summary.activation_bytes(name))}" for name in ("fp32", "fp16"))
    sizes = ", ".join(f"{name} {value}" for name, value in summary.sizes.items())
    totals = [(name, f"input {type_}") for name, type_ in plan.inputs.items()]
    for name, value in plan.outputs.items():
        totals.append((name, f"output {value.type}"))
        if len(plan.outputs) > 1:
            alone = plan.only([name]).cost
            totals.append(("", f"alone {alone.params:,} parameters, {alone.gflops:,.2f} GFLOPs"))
    if plan.cost.frozen:
        totals.append(("frozen", f"{plan.cost.frozen:,} numbers that training leaves alone"))
    totals += [("weights", weights), ("activations", f"{activations}  alive at once between nodes")]
    return [*totals, ("at", sizes)] if sizes else totals


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    right = {2, 3}  # numbers
    lines = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    rule = "-" * max(len(line) for line in lines)
    return [lines[0], rule, *lines[1:-1], rule, lines[-1]]


def size(type_: TensorType) -> str:
    """Sizes at `opt`: channels and grid of an image, tokens and width of a sequence."""
    match type_.layout:
        case "image":
            return " x ".join(str(n) for n in (type_.channels, *(size.opt for size in type_.sizes)))
        case "tokens":
            return f"{type_.sizes[0].opt} tokens x {type_.channels}"
        case "vector" | "index":
            return str(type_.channels)
        case "mask":
            return f"{type_.sizes[0].opt} tokens"
        case "weight":
            return " x ".join(str(size) for size in type_.shape)


def amount(count: int) -> str:
    """Bytes in three digits: `25.9 MB`."""
    shown = float(count)
    for unit in ("B", "KB", "MB"):
        if shown < 1000:
            return f"{shown:.3g} {unit}"
        shown /= 1000
    return f"{shown:.3g} GB"
