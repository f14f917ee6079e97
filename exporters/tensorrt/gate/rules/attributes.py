"""NS527: attributes have values that TensorRT implements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from exporters.tensorrt.gate.report import Finding
from exporters.tensorrt.gate.rules.case import Case


def check(case: Case) -> Iterator[Finding]:
    for node, operator in case.imported:
        for name, allowed in operator.attributes.items():
            if name not in node.attributes or _fits(node.attributes[name], allowed):
                continue
            value = node.attributes[name]
            if not allowed:
                yield node.finding("NS527", f"`{name}` of {node.op} is not supported", "leave it out")
                continue
            reason = f"`{name}` of {node.op} is {value}; TensorRT has {', '.join(map(str, allowed))}"
            yield node.finding("NS527", reason, f"export with `{name}` as TensorRT has it, or write the operator out")
        for name in operator.without_attributes:
            if name in node.attributes:
                reason = f"`{name}` of {node.op} is not supported"
                yield node.finding("NS527", reason, "store the value as a dense tensor of numbers")


def _fits(value: Any, allowed: list[Any]) -> bool:
    values = value if isinstance(value, list) else [value]
    return bool(allowed) and all(each in allowed for each in values)
