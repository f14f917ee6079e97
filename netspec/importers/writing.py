"""text(): a resolved spec as the YAML that a person would write."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

from netspec.importers.spelling import ROWS, shortest
from netspec.registry import named
from netspec.spec import Spec

WIDTH = 120
REMARKS = 39  # column where remarks begin, if lines let them
_PLAIN = re.compile(r"(\d+\*)?[A-Za-z_][\w./*-]*")  # words and sizes made of them: `8*rows`, `height/8`
_TAKEN = {"true", "false", "null"}  # words that YAML reads as something else
_TABLES = ("inputs", "dims", "conditioning", "targets")  # one entry a line


def text(spec: Spec, header: Sequence[str], remarks: Mapping[str, str]) -> str:
    """The shortest spelling of a spec, laid out: comments first, remarks beside inputs and output, rows in a line."""
    data = shortest(spec)
    lines = [f"# {line}" for paragraph in header for line in wrap(paragraph, WIDTH - 2)]
    lines += [f"{key}: {_flow(data.pop(key))}" for key in ("netspec", "name", "convention") if key in data]
    tensors = _table("inputs", data.pop("inputs"))
    tensors += [f"output: {_flow(data.pop('output'))}"] if "output" in data else _table("outputs", data.pop("outputs"))
    lines += ["", *_remarked(tensors, remarks)]
    for key, value in data.items():
        lines.append("")
        lines += _table(key, value) if key in _TABLES else _entry(key, value, "")
    return "\n".join(lines) + "\n"


def _table(key: str, entries: Mapping[str, Any]) -> list[str]:
    """Names in a column, what they are in the next."""
    width = max(map(len, entries)) + 1
    return [f"{key}:", *(f"  {name + ':':<{width}} {_flow(value)}" for name, value in entries.items())]


def _remarked(lines: Sequence[str], remarks: Mapping[str, str]) -> Iterator[str]:
    """Lines of inputs and outputs with a remark each, all of them at one column."""
    column = max(REMARKS, 2 + max(map(len, lines)))
    for line in lines:
        remark = remarks.get(line.strip().partition(":")[0])
        yield f"{line:<{column}}# {remark}" if remark else line


def _entry(key: str, value: Any, indent: str) -> Iterator[str]:
    """One key: in a line where it fits, else an entry a line; rows of levels always stand below each other."""
    line = f"{indent}{key}: {_flow(value)}"
    if isinstance(value, list) and (len(line) > WIDTH or (key == ROWS and isinstance(value[0], dict))):
        yield f"{indent}{key}:"
        yield from (f"{indent}  - {_flow(item)}" for item in value)
    elif isinstance(value, dict) and (len(line) > WIDTH or (not indent and key in named("family"))):
        yield f"{indent}{key}:"
        for inner, item in value.items():
            yield from _entry(inner, item, indent + "  ")
    else:
        yield line


def _flow(value: Any) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_flow, value)) + "]"
        case bool():
            return str(value).lower()
        case float():
            return repr(int(value)) if value.is_integer() and abs(value) < 1e6 else _number(value)
        case str():
            return value if _PLAIN.fullmatch(value) and value not in _TAKEN else json.dumps(value)
        case _:
            return str(value)


def _number(value: float) -> str:
    """As YAML 1.1 and 1.2 both read it: with digits before the exponent's sign, `1e-06` as `1e-6`."""
    return re.sub(r"e([-+])0*", lambda found: f"e{found[1].replace('+', '')}", repr(value))
