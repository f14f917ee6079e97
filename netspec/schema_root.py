"""The top level of a spec as a schema: inputs, outputs, sizes, targets. The families' keys are the registry's."""

from __future__ import annotations

import keyword
from typing import Final

from netspec.schema_target import MOST_NAMES, WHOLE_RANGE, Node, target
from netspec.tensors import EXPRESSION

ID: Final = "urn:netspec:schema:1"
DTYPES: Final = {
    "float32": "32 bits, for anything",
    "float16": "16 bits: 11 of precision, up to 65,504",
    "bfloat16": "16 bits: 8 of precision, the range of float32",
    "float64": "64 bits, for references",
    "int64": "whole numbers: labels and indices",
    "int32": "whole numbers in half the space",
    "bool": "true or false",
}
# No published network comes near these; they keep the refusal of a hostile file cheap.
LONGEST_LIST: Final = 64
_MOST_SIZES = 8

REQUIRED: Final = ("netspec", "name", "inputs")

# `$` alone also matches before a last line break in Python; the look-ahead makes it the end everywhere.
_END = "$(?!\\n)"
_FILE_NAME = f"^[A-Za-z0-9][A-Za-z0-9._-]*{_END}"
_IDENTIFIER = f"^[A-Za-z_][A-Za-z0-9_]*{_END}"
# The generated forward() has the inputs as arguments; `none` switches off whatever could name an input.
RESERVED: Final = (*keyword.kwlist, "self", "none")


def _bound(what: str) -> Node:
    """One end of a range, or its middle; `WHOLE_RANGE` says where it is needed."""
    needed = "must be given, but in a file that extends another"
    return {"type": "integer", "minimum": 1, "description": what, "x-default": needed}


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
                        "min": {**_bound("smallest size"), "examples": [1]},
                        "opt": {**_bound("size to optimise and measure for"), "examples": [2]},
                        "max": {**_bound("largest size"), "examples": [8]},
                    },
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
                "then": {
                    "required": list(REQUIRED),
                    "properties": {**family_needs, "dims": {"additionalProperties": WHOLE_RANGE}},
                },
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
                            "enumDescriptions": list(DTYPES.values()),
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
            **_named_file("a variant", "changes under a name: `--variant small` makes NAME-small", variant),
            "default": {},
            "examples": [{"small": {"dit.depth": 12, "dit.hidden_size": 384}}],
        },
        "targets": {
            **_named_file("a target", "deployments by name", target()),
            "default": {"onnx": {"exporter": "onnx"}},
            "examples": [{"edge": {"exporter": "onnx", "precision": "fp16", "dims": {"batch": 1}}}],
        },
        "lints": {
            "type": "object",
            "description": "warnings that are meant so",
            "properties": {"allow": _allow()},
            "additionalProperties": False,
            "default": {},
            "examples": [{"allow": {"NS807": "as many heads as the published network"}}],
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


def _allow() -> Node:
    """Lints by code, each with a reason. A code that does not exist is a warning of its own, not an error."""
    return {
        "type": "object",
        "maxProperties": MOST_NAMES,
        "default": {},
        "description": "lints that are not told, by code, each with the reason why; `# netspec: allow NS807: reason` "
        "beside a line is about that line alone",
        "additionalProperties": {"type": "string", "description": "why it does not matter here"},
        "examples": [{"NS807": "as many heads as the published network"}],
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
