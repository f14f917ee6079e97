"""The top level of a spec as a schema: inputs, outputs, sizes, targets. The families' keys are the registry's."""

from __future__ import annotations

import keyword
from typing import Any, Final, TypeAlias

from netspec.tensors import EXPRESSION

Node: TypeAlias = dict[str, Any]

ID: Final = "urn:netspec:schema:1"
DTYPES: Final = ("float32", "float16", "bfloat16", "float64", "int64", "int32", "bool")
PRECISIONS: Final = ("fp32", "fp16", "bf16", "fp8", "int8", "int4")
# No published network comes near these; they keep the refusal of a hostile file cheap.
LONGEST_LIST: Final = 64
MOST_NAMES: Final = 64
_MOST_SIZES = 8

REQUIRED: Final = ("netspec", "name", "inputs")

# `$` alone also matches before a last line break in Python; the look-ahead makes it the end everywhere.
_END = "$(?!\\n)"
_FILE_NAME = f"^[A-Za-z0-9][A-Za-z0-9._-]*{_END}"
_IDENTIFIER = f"^[A-Za-z_][A-Za-z0-9_]*{_END}"
# The generated forward() has the inputs as arguments; `none` switches off whatever could name an input.
RESERVED: Final = (*keyword.kwlist, "self", "none")

_DEFS: Final[dict[str, Node]] = {
    "size": {
        "title": "size",
        "description": "a number, or a word that `dims` gives a range",
        "type": ["integer", "string"],
        "minimum": 1,
        "pattern": _IDENTIFIER,
        "x-expected": "a whole number or a word of `dims`",
    },
    "shape": {
        "title": "shape",
        "description": "sizes of a tensor, batch first: [batch, channels, height, width]",
        "type": "array",
        "items": {"$ref": "#/$defs/size"},
        "minItems": 1,
        "maxItems": _MOST_SIZES,
        "examples": [["batch", 4, "height", "width"]],
    },
    "result": {
        "title": "result",
        "description": "a number, a word of `dims`, or a multiple or fraction of one, such as `8*rows` or `height/8`",
        "type": ["integer", "string"],
        "minimum": 1,
        "pattern": f"^{EXPRESSION}{_END}",
        "x-expected": "a whole number, a word of `dims`, or one such as `8*rows` or `height/8`",
    },
    "results": {
        "title": "results",
        "description": "sizes of an output, batch first: [batch, channels, height, width]",
        "type": "array",
        "items": {"$ref": "#/$defs/result"},
        "minItems": 1,
        "maxItems": _MOST_SIZES,
        "examples": [["batch", 8, "height/8", "width/8"]],
    },
    "range": {
        "title": "range",
        "description": "the sizes that a word stands for; a number alone is all three",
        "type": ["integer", "object"],
        "minimum": 1,
        "x-expected": "a number or {min, opt, max}",
        "allOf": [
            {
                "if": {"type": "object"},
                "then": {
                    "properties": {
                        "min": {"type": "integer", "minimum": 1, "description": "smallest size", "examples": [1]},
                        "opt": {
                            "type": "integer",
                            "minimum": 1,
                            "description": "size to optimise and measure for",
                            "examples": [2],
                        },
                        "max": {"type": "integer", "minimum": 1, "description": "largest size", "examples": [8]},
                    },
                    "required": ["min", "opt", "max"],
                    "additionalProperties": False,
                },
            }
        ],
        "examples": [{"min": 1, "opt": 2, "max": 8}],
    },
}


def document(
    families: dict[str, Node], family_needs: dict[str, Node], embed: str, definitions: dict[str, Node]
) -> Node:
    """The whole schema. `families` are the family keys; `family_needs` what each must hold in a file that extends
    no other; `embed` is the reference of an embedding's slot."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "netspec",
        "description": "A diffusion denoiser, as netspec 1 describes it",
        "type": "object",
        "properties": {**_about(), **_tensors(embed), **families, **_uses()},
        "additionalProperties": False,
        "allOf": [
            {
                "if": {"not": {"required": ["extends"]}},
                "then": {"required": list(REQUIRED), "properties": family_needs},
            }
        ],
        "$defs": {**_DEFS, **definitions},
    }


def _about() -> dict[str, Node]:
    return {
        "netspec": {"type": "integer", "const": 1, "description": "version of the language", "examples": [1]},
        "name": {
            "type": "string",
            "pattern": _FILE_NAME,
            "description": "name of the network; becomes a file name",
            "x-expected": "letters, digits, `.`, `_` and `-`, beginning with a letter or digit",
            "examples": ["tiny-unet"],
        },
        "description": {
            "type": "string",
            "default": "",
            "description": "what the network is and where it was published",
            "examples": ["a U-Net for faces of 64x64 pixels"],
        },
        "extends": {
            "type": "string",
            "x-default": "nothing",
            "description": "path of a spec that this one starts from, relative to this file",
            "examples": ["base.yaml"],
        },
        "convention": {
            "type": "string",
            "x-default": "the family's own",
            "description": "lineage whose silent numerics hold: eps, sin/cos order, packing, initialisation",
            "x-expected": "the name of a convention",
            "examples": ["ddpm", "adm", "ldm", "dit", "kl"],
        },
    }


def _tensors(embed: str) -> dict[str, Node]:
    made = {"$ref": "#/$defs/results"}
    return {
        "inputs": {
            **_named("an input", "what the network takes: the image or latent, and side information", _tensor(), 1),
            "examples": [{"x": ["batch", 4, "height", "width"], "t": ["batch"]}],
        },
        "output": {
            **made,
            "x-default": "needed, or `outputs`",
            "description": "sizes of what the network returns; a multiple or a fraction of a word is `height/8`",
            "examples": [["batch", 4, "height", "width"]],
        },
        "outputs": {
            **_named(
                "an output",
                "sizes of several results, by name, such as `8*rows` or `height/8`",
                {**made, "description": "its sizes"},
                1,
            ),
            "x-default": "needed, or `output`",
            "examples": [
                {"moments": ["batch", 8, "height/8", "width/8"], "decoded": ["batch", 3, "8*rows", "8*columns"]}
            ],
        },
        "dims": {
            **_named(
                "a size",
                "ranges of the words that stand for sizes",
                {"$ref": "#/$defs/range", "description": "its range"},
            ),
            "default": {},
            "examples": [{"batch": {"min": 1, "opt": 2, "max": 8}, "height": 64}],
        },
        "conditioning": {
            "type": "object",
            "maxProperties": MOST_NAMES,
            "default": {},
            "description": "inputs that become one global vector: each is embedded, all are summed",
            "additionalProperties": {"$ref": embed, "description": "the embedding of this input"},
            "examples": [{"t": {"embed": "sinusoidal", "dim": 320}}],
        },
    }


def _tensor() -> Node:
    """What an input is: sizes, or sizes and a dtype."""
    shape = {"$ref": "#/$defs/shape"}
    return {
        "type": ["array", "object"],
        "x-expected": "a list of sizes or {shape, dtype}",
        "description": "sizes of this input, or {shape: […], dtype: …}",
        "allOf": [
            {"if": {"type": "array"}, "then": shape},
            {
                "if": {"type": "object"},
                "then": {
                    "properties": {
                        "shape": {
                            **shape,
                            "description": "sizes of the tensor",
                            "examples": [["batch", "classes"]],
                        },
                        "dtype": {
                            "type": "string",
                            "enum": list(DTYPES),
                            "x-default": "int64 for labels, float32 for timesteps, the build's precision for the rest",
                            "description": "type of one number",
                            "examples": ["int64"],
                        },
                    },
                    "required": ["shape"],
                    "additionalProperties": False,
                },
            },
        ],
    }


def _uses() -> dict[str, Node]:
    variant = {
        "type": "object",
        "description": "values by path (`dit.depth: 12`) or as nested mappings; "
        "`none` takes an input, an embedding or a target out",
    }
    return {
        "variants": {
            **_named_file("a variant", "changes of this spec under a name: `--variant small`", variant),
            "default": {},
            "examples": [{"small": {"dit.depth": 12, "dit.hidden_size": 384}}],
        },
        "targets": {
            **_named_file("a target", "deployments by name", _target()),
            "default": {"onnx": {"exporter": "onnx"}},
            "examples": [{"edge": {"exporter": "onnx", "precision": "fp16", "dims": {"batch": 1}}}],
        },
        "expect": {
            "type": "object",
            "description": "assertions about the network; `netspec check` fails where one does not hold",
            "properties": _assertions(),
            "additionalProperties": False,
            "default": {},
            "examples": [{"params": 859520964}],
        },
    }


def _target() -> Node:
    """One deployment."""
    dims: Node = {
        "type": "object",
        "default": {},
        "description": "sizes of this target, where they differ from the spec's",
        "additionalProperties": {"$ref": "#/$defs/range", "description": "its range"},
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
    name: Node = {"type": "string", "enum": list(PRECISIONS)}
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


def _assertions() -> dict[str, Node]:
    """What a spec can expect of itself."""
    count: Node = {"type": "integer", "minimum": 0, "x-default": "not asserted"}
    sizes: Node = {
        "type": "array",
        "items": {"type": "integer", "minimum": 1},
        "minItems": 1,
        "maxItems": _MOST_SIZES,
        "description": "its sizes",
    }
    return {
        "params": {**count, "description": "trained parameters", "examples": [368212]},
        "frozen": {**count, "description": "fixed numbers: tables and frequencies", "examples": [8192]},
        "gflops": {
            "type": "number",
            "minimum": 0,
            "x-default": "not asserted",
            "description": "billions of operations at the `opt` sizes",
            "examples": [12.7],
        },
        "output": {
            "type": ["array", "object"],
            "x-expected": "a list of sizes or {name: sizes}",
            "x-default": "not asserted",
            "description": "sizes of the output at the `opt` sizes; of several outputs by name",
            "allOf": [
                {"if": {"type": "array"}, "then": sizes},
                {"if": {"type": "object"}, "then": {"additionalProperties": sizes, "maxProperties": MOST_NAMES}},
            ],
            "examples": [[2, 4, 64, 64], {"decoded": [2, 3, 512, 512]}],
        },
    }


def _named(what: str, description: str, each: Node, at_least: int = 0) -> Node:
    names = {
        "pattern": _IDENTIFIER,
        "not": {"enum": list(RESERVED)},
        "x-name": what,
        "x-expected": "letters, digits and `_`, beginning with a letter",
    }
    node: Node = {
        "type": "object",
        "description": description,
        "propertyNames": names,
        "additionalProperties": each,
        "maxProperties": MOST_NAMES,
    }
    return {**node, "minProperties": at_least} if at_least else node


def _named_file(what: str, description: str, each: Node) -> Node:
    names = {
        "pattern": _FILE_NAME,
        "x-name": what,
        "x-expected": "letters, digits, `.`, `_` and `-`, beginning with a letter or digit",
    }
    return {
        "type": "object",
        "description": description,
        "propertyNames": names,
        "additionalProperties": each,
        "maxProperties": MOST_NAMES,  # each is checked like a spec of its own
    }
