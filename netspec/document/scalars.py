"""What a plain (unquoted) scalar means: the core rules of YAML 1.2, and nothing of YAML 1.1.

`no`, `on`, `2024-01-01`, `1:30` and `1_000` are words, `0755` is seven hundred fifty-five, `1e-4` is a number.
"""

from __future__ import annotations

import math
import re
from typing import TypeAlias

from netspec.errors import Diagnostic, DocumentError

Scalar: TypeAlias = str | int | float | bool | None

_CASES = (str.lower, str.capitalize, str.upper)  # null, Null, NULL; `nUll` is a word
_WORDS: dict[str, Scalar] = {
    "": None,
    "~": None,
    **{case("null"): None for case in _CASES},
    **{case("true"): True for case in _CASES},
    **{case("false"): False for case in _CASES},
    **{f".{case('nan') if case is not str.capitalize else 'NaN'}": math.nan for case in _CASES},
    **{f"{sign}.{case('inf')}": float(f"{sign}inf") for sign in ("", "+", "-") for case in _CASES},
}
_NUMBER = re.compile(
    r"(?P<decimal>[-+]?[0-9]+)"
    r"|(?P<hexadecimal>0x[0-9a-fA-F]+)"
    r"|(?P<octal>0o[0-7]+)"
    r"|(?P<float>[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)"
)
_BASE = {"decimal": 10, "hexadecimal": 16, "octal": 8}
_FIRST = frozenset("+-.0123456789")

INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1  # what ONNX, torch and JSON readers hold
_LONGEST = 400  # characters; the longest exact decimal of interest has about 310


def parse_scalar(text: str) -> Scalar:
    """The value of one plain scalar, such as the right side of `--set unet.mid=none`.

    Raises DocumentError (NS013, without a place) for a number that netspec cannot hold exactly enough: a whole number
    beyond 64 bits, a decimal beyond a double, or hundreds of digits.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _FIRST:
        return text
    number = _NUMBER.fullmatch(text)
    if number is None:
        return text
    if len(text) > _LONGEST:
        raise _out_of_range(text, f"{len(text):,} characters long")
    base = _BASE.get(number.lastgroup or "")
    if base is None:
        decimal = float(text)
        if math.isinf(decimal):
            raise _out_of_range(text, "beyond 1.8e308", "write .inf where infinity is meant")
        return decimal
    whole = int(text, base)
    if not INTEGER_MIN <= whole <= INTEGER_MAX:
        raise _out_of_range(text, "does not fit in 64 bits", "quote it if it is text")
    return whole


def shorten(text: str, limit: int = 60) -> str:
    """`text` for use inside a message: its first line's worth, with `…` for what is left out."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _out_of_range(text: str, why: str, help_text: str = "quote it if it is text") -> DocumentError:
    return DocumentError(
        Diagnostic("NS013", f"number `{shorten(text, 40)}` is out of range", label=why, help=(help_text,))
    )
