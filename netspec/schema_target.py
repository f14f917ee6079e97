"""A target of a spec as a schema: exporter, precision, sizes, outputs, rewrites."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

Node: TypeAlias = dict[str, Any]

PRECISIONS: Final = {
    "fp32": "float32 everywhere",
    "fp16": "float16, and float32 where a part's role asks for it",
    "bf16": "bfloat16, and float32 where a part's role asks for it",
    "fp8": "products in 8-bit floats, calibrated",
    "int8": "products in 8-bit whole numbers, calibrated",
    "int4": "weights of products in 4 bits",
}
MOST_NAMES: Final = 64  # in one mapping; no published network comes near, and a hostile file is refused cheaply
# What a range must hold; in a file that extends another it may be a part of one.
WHOLE_RANGE: Final[Node] = {"allOf": [{"if": {"type": "object"}, "then": {"required": ["min", "opt", "max"]}}]}


def target() -> Node:
    """One deployment."""
    dims: Node = {
        "type": "object",
        "default": {},
        "description": "sizes of this target, where they differ from the spec's",
        "additionalProperties": {"$ref": "#/$defs/range", **WHOLE_RANGE, "description": "its range"},
        "examples": [{"batch": 1, "height": 64}],
    }
    outputs: Node = {
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "minItems": 1,
        "maxItems": MOST_NAMES,
        "x-default": "all",
        "description": "the outputs that this target has; what they do not need is left out of its graph",
        "examples": [["decoded"]],
    }
    transforms: Node = {
        "type": "array",
        "maxItems": MOST_NAMES,
        "default": [],
        "description": "rewrites of the network for this target, by name or as {name: options}",
        "items": {
            "type": ["string", "object"],
            "minLength": 1,
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": {"type": "object", "description": "its options"},
        },
        "examples": [["linear_as_conv", {"chunked_attention": {"queries": 512}}]],
    }
    return {
        "type": "object",
        "description": "one deployment; the exporter may know further keys",
        "properties": {
            "exporter": {
                "type": "string",
                "minLength": 1,
                "description": "who writes the graph",
                "x-expected": "the name of an exporter",
                "examples": ["onnx"],
            },
            "precision": _precision(),
            "dims": dims,
            "outputs": outputs,
            "transforms": transforms,
        },
        "required": ["exporter"],
    }


def _precision() -> Node:
    """One precision for all, or a default and patterns of paths for others."""
    name: Node = {"type": "string", "enum": list(PRECISIONS), "enumDescriptions": list(PRECISIONS.values())}
    patterns: Node = {
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "minItems": 1,
        "maxItems": MOST_NAMES,
        "x-default": "decided by role",
        "description": "parts in this precision: dotted paths as `netspec show --nodes` has them, or shell patterns",
        "examples": [["head", "*.norm*"]],
    }
    default = {**name, "default": "fp32", "description": "of all other parts, by their roles", "examples": ["fp16"]}
    several: Node = {
        "properties": {"default": default, **dict.fromkeys(PRECISIONS, patterns)},
        "additionalProperties": False,
    }
    return {
        "type": ["string", "object"],
        "x-expected": "a precision, or {default: …, fp32: [parts]}",
        "default": "fp32",
        "description": "of weights and activations, by the role of each part",
        "allOf": [{"if": {"type": "string"}, "then": name}, {"if": {"type": "object"}, "then": several}],
        "examples": ["fp16", {"default": "fp16", "fp32": ["embed_t", "*.norm*", "head"]}],
    }
