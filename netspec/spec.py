"""resolve(): a validated document → Spec, every choice typed and filled in, every value still knowing its place."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import yaml

from netspec import conventions
from netspec.document import Document, Place, comments
from netspec.embeds import Embed
from netspec.errors import Diagnostic, InvariantError, SpecPath
from netspec.families import Family
from netspec.fields import Slot
from netspec.inherit import spread
from netspec.registry import dump, named, parse, parse_record
from netspec.tensors import Size, factored, fixed, symbolic

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Dim:
    """A symbolic size and its range."""

    min: int
    opt: int
    max: int


@dataclass(frozen=True, slots=True)
class Input:
    """One input or output: sizes as numbers or words of `dims`, an output's also as `8*rows` or `height/8`, and a dtype
    ("" for the build's precision)."""

    shape: tuple[int | str, ...]
    dtype: str = ""

    def __str__(self) -> str:
        return f"[{', '.join(str(size) for size in self.shape)}]"


@dataclass(frozen=True, slots=True)
class Expect:
    """What a spec asserts about itself; None where it says nothing."""

    params: int | None = None
    frozen: int | None = None
    gflops: float | None = None
    output: tuple[int, ...] | Mapping[str, tuple[int, ...]] | None = None  # of the only output, or by name


@dataclass(frozen=True, slots=True)
class Precision:
    """What a target computes in: a default, and for other precisions the parts that have them, by patterns of their
    dotted paths. Later entries win."""

    default: str = "fp32"
    overrides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """One deployment: the exporter, the precision, narrower dims, the outputs that it has, all where none is named,
    rewrites of the network by name with their options, and settings that the exporter itself reads."""

    exporter: str
    precision: Precision = field(default_factory=Precision)
    dims: Mapping[str, Dim] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    transforms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Spec:
    """A network as its author chose it. Equal by content, hashable, immutable."""

    name: str
    description: str
    convention: str
    inputs: Mapping[str, Input]
    outputs: Mapping[str, Input]
    dims: Mapping[str, Dim]
    conditioning: Mapping[str, Embed]
    family: Family
    targets: Mapping[str, Target]
    expect: Expect
    allow: Mapping[str, str] = field(default_factory=dict)  # code of a lint → why it does not matter here
    variants: tuple[str, ...] = field(default=(), compare=False)
    document: Document | None = field(default=None, compare=False, repr=False)

    def __hash__(self) -> int:
        return hash(self.sha256)

    @cached_property
    def sha256(self) -> str:
        """Identity of the choices: that of the resolved spec as canonical JSON."""
        return hashlib.sha256(json.dumps(data(self), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @cached_property
    def embedded(self) -> Mapping[str, str]:
        """Input → the entry of `conditioning` that embeds it."""
        return {source: name for name, rule in self.conditioning.items() for source in rule.sources(name)}

    def size(self, word: int | str) -> Size:
        """One entry of a shape as a size with its range."""
        if isinstance(word, int):
            return fixed(word)
        found = factored(word)
        assert found is not None  # the schema's pattern
        name, factor = found
        dim = self.dims[name]
        return symbolic(name, dim.min, dim.opt, dim.max) * factor

    def place(self, path: SpecPath) -> Place:
        """Where a value was written: its own place, else that of the nearest value around it."""
        if self.document is None:
            raise InvariantError(Diagnostic("NS991", "a spec without a document has no places"))
        while path not in self.document.places:
            path = path[:-1]
        return self.document.places[path]


def resolve(document: Document) -> Spec:
    """The typed spec of a composed and validated document."""
    content = document.data
    key = next(name for name in named("family") if name in content)
    family = named("family")[key]
    convention = content.get("convention", getattr(family, "convention", ""))
    lineage = conventions.settings(convention)
    settings, places = spread(family, content[key], (key,), document.places)
    allowed = {each.code: each for each in comments.live(document) if each.code}
    beside: dict[SpecPath, Place] = {
        ("lints", "allow", code): Place(each.span, each.span) for code, each in allowed.items()
    }
    outputs = content.get("outputs") or {"output": content["output"]}
    return Spec(
        name=content["name"],
        description=content.get("description", ""),
        convention=convention,
        inputs=_frozen({name: _input(value) for name, value in content["inputs"].items()}),
        outputs=_frozen({name: _input(value) for name, value in outputs.items()}),
        dims=_frozen(_dims(content.get("dims", {}))),
        conditioning=_frozen(
            {name: parse(Slot(Embed), value, lineage) for name, value in content.get("conditioning", {}).items()}
        ),
        family=parse_record(family, settings, lineage),
        targets=_frozen({name: _target(value) for name, value in content.get("targets", _DEFAULT_TARGETS).items()}),
        expect=_expect(content.get("expect", {})),
        allow=_frozen({code: each.reason for code, each in allowed.items()} | _allow(content)),
        variants=tuple(content.get("variants", {})),
        document=Document(document.source, content, {**beside, **places} if beside else places),
    )


def _allow(content: Mapping[str, Any]) -> dict[str, str]:
    """What the spec allows as a whole."""
    return dict(content.get("lints", {}).get("allow", {}))


_DEFAULT_TARGETS = {"onnx": {"exporter": "onnx"}}


def _frozen(values: dict[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(values)


def _input(value: Any) -> Input:
    if isinstance(value, dict):
        return Input(tuple(value["shape"]), value.get("dtype", ""))
    return Input(tuple(value))


def _dims(values: Mapping[str, Any]) -> dict[str, Dim]:
    return {name: Dim(size, size, size) if isinstance(size, int) else Dim(**size) for name, size in values.items()}


def _target(value: Mapping[str, Any]) -> Target:
    known = {"exporter", "precision", "dims", "outputs", "transforms"}
    options = {key: item for key, item in value.items() if key not in known}
    dims, outputs = _dims(value.get("dims", {})), tuple(value.get("outputs", ()))
    precision = _precision(value.get("precision", "fp32"))
    return Target(value["exporter"], precision, dims, outputs, _transforms(value.get("transforms", [])), options)


def _precision(value: str | Mapping[str, Any]) -> Precision:
    if isinstance(value, str):
        return Precision(value)
    overrides = {name: tuple(patterns) for name, patterns in value.items() if name != "default"}
    return Precision(value.get("default", "fp32"), overrides)


def _transforms(values: list[str | Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """`[static_norm, {chunked_attention: {queries: 512}}]`: names, or one name with its options."""
    found: dict[str, Mapping[str, Any]] = {}
    for value in values:
        found |= {value: {}} if isinstance(value, str) else {name: options or {} for name, options in value.items()}
    return found


def _expect(value: Mapping[str, Any]) -> Expect:
    output = value.get("output")
    if isinstance(output, Mapping):
        output = _frozen({name: tuple(sizes) for name, sizes in output.items()})
    elif output is not None:
        output = tuple(output)
    return Expect(value.get("params"), value.get("frozen"), value.get("gflops"), output)


def data(spec: Spec) -> dict[str, Any]:
    """The spec as plain data with every choice written out; `resolve` turns it back into an equal spec."""
    content: dict[str, Any] = {"netspec": FORMAT, "name": spec.name}
    if spec.description:
        content["description"] = spec.description
    content["convention"] = spec.convention
    content["inputs"] = {name: _plain_input(value) for name, value in spec.inputs.items()}
    content["outputs"] = {name: _plain_input(value) for name, value in spec.outputs.items()}
    if spec.dims:
        content["dims"] = {name: _plain_dim(dim) for name, dim in spec.dims.items()}
    if spec.conditioning:
        content["conditioning"] = {name: dump(rule) for name, rule in spec.conditioning.items()}
    content[spec.family.name] = dump(spec.family)
    content["targets"] = {
        name: {"exporter": target.exporter, "precision": _plain_precision(target.precision)}
        | ({"dims": {word: _plain_dim(dim) for word, dim in target.dims.items()}} if target.dims else {})
        | ({"outputs": list(target.outputs)} if target.outputs else {})
        | (
            {"transforms": [{name: dict(given)} if given else name for name, given in target.transforms.items()]}
            if target.transforms
            else {}
        )
        | dict(target.options)
        for name, target in spec.targets.items()
    }
    if spec.allow:
        content["lints"] = {"allow": dict(spec.allow)}
    expected = {key: getattr(spec.expect, key) for key in ("params", "frozen", "gflops", "output")}
    stated = {key: _plain(value) for key, value in expected.items() if value is not None}
    return content | ({"expect": stated} if stated else {})


def _plain(value: Any) -> Any:
    """Tuples as lists, also inside a mapping."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _plain_precision(value: Precision) -> Any:
    return {"default": value.default} | _plain(value.overrides) if value.overrides else value.default


def _plain_input(value: Input) -> Any:
    return {"shape": list(value.shape), "dtype": value.dtype} if value.dtype else list(value.shape)


def _plain_dim(dim: Dim) -> dict[str, int]:
    return {"min": dim.min, "opt": dim.opt, "max": dim.max}


def text(spec: Spec) -> str:
    """The resolved spec as YAML: self-contained, every default written out, loads to an equal spec."""
    return yaml.dump(data(spec), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Block style for the outline, flow style for leaves, and numbers that YAML 1.2 reads back as written."""

    def represent_float(self, value: float) -> yaml.ScalarNode:
        digits = repr(value)
        if "e" in digits and "." not in digits:  # YAML 1.1 readers want a point before the exponent
            digits = digits.replace("e", ".0e")
        return self.represent_scalar("tag:yaml.org,2002:float", digits)

    def represent_str(self, value: str) -> yaml.ScalarNode:
        number = re.match(r"[-+]?\.?[0-9]", value)  # a word that YAML 1.2 may take for a number: `0E0`, `0o7`
        return self.represent_scalar("tag:yaml.org,2002:str", value, style="'" if number else None)

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        leaf = not any(isinstance(value, dict | list) for value in mapping.values())
        return super().represent_mapping(tag, mapping, flow_style=leaf and "netspec" not in mapping)

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        leaf = not any(isinstance(value, dict | list) for value in sequence)
        return super().represent_sequence(tag, sequence, flow_style=leaf)

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(float, _Dumper.represent_float)
_Dumper.add_representer(str, _Dumper.represent_str)
