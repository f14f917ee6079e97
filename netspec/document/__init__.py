"""Text → Document: plain data that knows where every key and value was written.

reader.py     load(), loads(): files, encodings, limits
composer.py   YAML events → data and places
scalars.py    YAML 1.2's rules for plain words
syntax.py     the parser's complaints in the user's words
refusals.py   what YAML has and a spec has not: tags, anchors, merge keys
"""

from netspec.document.composer import MAX_DEPTH, MAX_VALUES, Place
from netspec.document.reader import MAX_BYTES, Document, argument_source, decode, load, loads, parse_value, parse_values
from netspec.document.scalars import Scalar, parse_scalar

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_VALUES",
    "Document",
    "Place",
    "Scalar",
    "argument_source",
    "decode",
    "load",
    "loads",
    "parse_scalar",
    "parse_value",
    "parse_values",
]
