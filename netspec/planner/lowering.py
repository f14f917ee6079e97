"""lower(): Spec → Plan. Finds the image among the inputs, lets the family wire its nodes, and checks the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from netspec.builder import Builder
from netspec.embeds import Embed
from netspec.errors import Diagnostic, Label, SpecPath, path_text, raise_all
from netspec.plan import Node, Plan, Value
from netspec.planner import shapes, sizes
from netspec.planner.expectations import unmet
from netspec.planner.placing import diagnose
from netspec.registry import Record, declared
from netspec.spec import Input, Spec
from netspec.tensors import TensorType

MOST_NUMBERS = 2**58  # parameters and fixed numbers: an exabyte in float32


def lower(spec: Spec) -> Plan:
    """The plan of a spec.

    Raises ShapeError, UnknownName or ExpectationError with everything that is wrong, each at its place in the spec.
    """
    inputs = {name: _type(spec, name, value) for name, value in spec.inputs.items()}
    images = _images(spec, inputs)
    raise_all([*shapes.problems(spec), *_input_problems(spec, inputs, images), *_rank_problems(spec)])
    (picture,) = images
    output_name, output = next(iter(spec.outputs.items()))
    channels = output.shape[1]
    assert isinstance(channels, int)  # shapes.problems refuses a word
    builder = Builder(spec, inputs)
    made = spec.family.lower(builder, Value(picture, inputs[picture]), channels)
    found = [*sizes.indivisible(spec, builder.nodes), *diagnose(spec, builder.problems)]
    found += [] if found else sizes.mismatch(spec, output_name, output, made, builder.nodes)
    found += [] if found else _lost_inputs(spec, made, builder.nodes)
    raise_all([*found, *_name_problems(spec, builder)])
    plan = Plan(spec, MappingProxyType(inputs), tuple(builder.nodes), MappingProxyType({output_name: made}))
    raise_all([*_unaddressable(plan), *unmet(plan)])
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


def _rank_problems(spec: Spec) -> Iterator[Diagnostic]:
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


def _lost_inputs(spec: Spec, made: Value, nodes: Sequence[Node]) -> Iterator[Diagnostic]:
    """NS204 for every input that the output does not depend on, though the spec gives it a use."""
    reached = {made.name}
    for node in reversed(nodes):
        if node.name in reached:
            reached.update(value.name for value in node.inputs)
    for name in spec.inputs:
        if name not in reached:
            embedded = name in spec.conditioning
            at: SpecPath = ("conditioning", name) if embedded else ("inputs", name)
            help = "choose a `modulation`, or make `context` of the conditioning, so that some block reads the vector"
            if not embedded:
                help = f"give some level a `transformer` that has `{name}` as its context"
            yield Diagnostic(
                "NS204",
                f"the output does not depend on `{name}`",
                spec.place(at).key,
                "no block reads it",
                help=(f"{help}; or take it out",),
                path=path_text(at),
            )


def _unaddressable(plan: Plan) -> Iterator[Diagnostic]:
    """NS316 for numbers that no file could hold: torch counts bytes in 64 bits."""
    numbers, (family, spec) = plan.cost.params + plan.cost.frozen, (plan.spec.family.name, plan.spec)
    if numbers > MOST_NUMBERS:
        yield Diagnostic(
            "NS316",
            f"the network has {float(numbers):.3g} parameters",
            spec.place((family,)).key,
            f"beyond {float(MOST_NUMBERS):.3g}",
            help=("the largest published networks have 1e10 to 1e12: are the widths as meant?",),
            path=family,
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


def referred(record: Record) -> Iterator[str]:
    """Every input that a field of the record, or of a record inside it, names."""
    for field in declared(type(record)).values():
        value = getattr(record, field.name)
        if field.param.refers == "input" and isinstance(value, str):
            yield value
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Record):
                yield from referred(inner)
