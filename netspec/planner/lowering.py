"""lower(): Spec → Plan. Finds the image among the inputs, lets the family wire its nodes, and checks the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from netspec.builder import Builder
from netspec.embeds import Embed
from netspec.errors import Diagnostic, Label, raise_all
from netspec.plan import Plan, Value
from netspec.planner import sizes
from netspec.planner.expectations import unmet
from netspec.planner.placing import diagnose
from netspec.registry import Record, declared
from netspec.spec import Input, Spec
from netspec.tensors import TensorType


def lower(spec: Spec) -> Plan:
    """The plan of a spec.

    Raises ShapeError, UnknownName or ExpectationError with everything that is wrong, each at its place in the spec.
    """
    inputs = {name: _type(spec, name, value) for name, value in spec.inputs.items()}
    images = _images(spec, inputs)
    raise_all([*_input_problems(spec, inputs, images), *_rank_problems(spec, inputs), *_output_problems(spec)])
    (picture,) = images
    output_name, output = next(iter(spec.outputs.items()))
    channels = output.shape[1]
    assert isinstance(channels, int)  # _output_problems refuses a word
    builder = Builder(spec, inputs)
    made = spec.family.lower(builder, Value(picture, inputs[picture]), channels)
    found = [*sizes.indivisible(spec, builder.nodes), *diagnose(spec, builder.problems)]
    found += [] if found else sizes.mismatch(spec, output_name, output, made, builder.nodes)
    raise_all([*found, *_name_problems(spec, builder)])
    plan = Plan(spec, MappingProxyType(inputs), tuple(builder.nodes), MappingProxyType({output_name: made}))
    raise_all(unmet(plan))
    return plan


def _type(spec: Spec, name: str, value: Input) -> TensorType:
    batch, *rest = [spec.size(word) for word in value.shape]
    dtype = value.dtype or (spec.conditioning[name].input_dtype if name in spec.conditioning else "")
    match rest:
        case []:
            return TensorType("index", batch, dtype=dtype or "float32")
        case [width]:
            return TensorType("vector", batch, width.opt, dtype=value.dtype)
        case [count, width]:
            return TensorType("tokens", batch, width.opt, (count,), dtype=value.dtype)
        case _:
            channels, *grid = rest
            return TensorType("image", batch, channels.opt, tuple(grid), dtype=value.dtype)


def _images(spec: Spec, inputs: Mapping[str, TensorType]) -> list[str]:
    """The inputs that are images and neither conditioning nor context: one, in a spec that is right."""
    return [name for name, kind in inputs.items() if kind.layout == "image" and name not in spec.conditioning]


def _input_problems(spec: Spec, inputs: Mapping[str, TensorType], images: list[str]) -> Iterator[Diagnostic]:
    """NS204 where there is no image or more than one, and for every input that nothing uses."""
    if not images:
        yield Diagnostic(
            "NS204",
            "no input is the image",
            spec.place(("inputs",)).key,
            "one must be [batch, channels, height, width]",
            help=("add `x: [batch, 3, height, width]`",),
            path="inputs",
        )
    if len(images) > 1:
        first, second = (spec.place(("inputs", name)) for name in images[:2])
        yield Diagnostic(
            "NS204",
            f"{len(images)} inputs are images, `{spec.family.name}` takes one",
            second.key,
            "another image",
            labels=(Label(first.key or first.value, "an image"),),
            help=("join them along their channels into one input",),
            path=f"inputs.{images[1]}",
        )
    used = {*images, *spec.conditioning, *referred(spec.family)}
    for name in inputs:
        if name not in used:
            yield Diagnostic(
                "NS204",
                f"input `{name}` is not used",
                spec.place(("inputs", name)).key,
                "nothing reads it",
                help=(f"embed it (`conditioning: {{{name}: …}}`), or name it as the `context` of a transformer",),
                path=f"inputs.{name}",
            )


def _rank_problems(spec: Spec, inputs: Mapping[str, TensorType]) -> Iterator[Diagnostic]:
    """Conditioning inputs whose shape their embedding cannot take."""
    for name, rule in spec.conditioning.items():
        if len(spec.inputs[name].shape) != rule.rank:
            yield Diagnostic(
                "NS313",
                f"`{rule.name}` embeds {_wanted(rule)}, `{name}` is {spec.inputs[name]}",
                spec.place(("inputs", name)).value,
                help=(f"write `{name}: {_wanted(rule)}`",),
                path=f"inputs.{name}",
            )


def _wanted(rule: Embed) -> str:
    return "[batch]" if rule.rank == 1 else "[batch, width]"


def _output_problems(spec: Spec) -> Iterator[Diagnostic]:
    if len(spec.outputs) > 1:
        second = list(spec.outputs)[1]
        yield Diagnostic("NS314", f"`{spec.family.name}` has one output", spec.place(("outputs", second)).key)
    for name, output in spec.outputs.items():
        path = ("outputs", name) if ("outputs", name) in _places(spec) else ("output",)
        if len(output.shape) != 4:
            yield Diagnostic(
                "NS314",
                f"the output of `{spec.family.name}` is an image",
                spec.place(path).value,
                f"{len(output.shape)} sizes",
                help=("write [batch, channels, height, width]",),
            )
        elif not isinstance(output.shape[1], int):
            yield Diagnostic(
                "NS314",
                "the output's channels must be a number",
                spec.place((*path, 1)).value,
                help=("sizes that vary are batch, height and width",),
            )


def _name_problems(spec: Spec, builder: Builder) -> Iterator[Diagnostic]:
    """NS315 for inputs and outputs called like a node: one name means one thing, down to the ONNX file."""
    nodes = {node.name for node in builder.nodes}
    for key, names in (("inputs", spec.inputs), ("outputs", spec.outputs)):
        for name in names:
            if name in nodes or (key == "outputs" and name in spec.inputs):
                what = "a part of the network" if name in nodes else "an input"
                yield Diagnostic(
                    "NS315",
                    f"`{name}` is already the name of {what}",
                    spec.place((key, name)).key,
                    help=(f"call it `{name}_{key.removesuffix('s')}`",),
                    path=f"{key}.{name}",
                )


def _places(spec: Spec) -> Mapping[tuple[str | int, ...], object]:
    return spec.document.places if spec.document else {}


def referred(record: Record) -> Iterator[str]:
    """Every input that a field of the record, or of a record inside it, names."""
    for field in declared(type(record)).values():
        value = getattr(record, field.name)
        if field.param.refers == "input" and isinstance(value, str):
            yield value
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Record):
                yield from referred(inner)
