"""lower(): Spec → Plan. Finds the image among the inputs, lets the family wire its nodes, and checks the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from netspec import sizes
from netspec.builder import Builder
from netspec.embeds import Embed
from netspec.errors import Diagnostic, raise_all
from netspec.expectations import unmet
from netspec.placing import diagnose
from netspec.plan import Plan, Value
from netspec.registry import Record, declared
from netspec.spec import Input, Spec
from netspec.tensors import TensorType


def lower(spec: Spec) -> Plan:
    """The plan of a spec.

    Raises ShapeError, UnknownName or ExpectationError with everything that is wrong, each at its place in the spec.
    """
    inputs = {name: _type(spec, name, value) for name, value in spec.inputs.items()}
    picture = _image(spec, inputs)
    output_name, output = next(iter(spec.outputs.items()))
    raise_all(_output_problems(spec))
    channels = output.shape[1]
    assert isinstance(channels, int)  # _output_problems refuses a word
    builder = Builder(spec, inputs)
    made = spec.family.lower(builder, Value(picture, inputs[picture]), channels)
    found = [*sizes.indivisible(spec, builder.nodes), *diagnose(spec, builder.problems)]
    found += [] if found else sizes.mismatch(spec, output_name, output, made, builder.nodes)
    raise_all(found)
    plan = Plan(spec, MappingProxyType(inputs), tuple(builder.nodes), MappingProxyType({output_name: made}))
    raise_all(unmet(plan))
    return plan


def _type(spec: Spec, name: str, value: Input) -> TensorType:
    batch, *rest = (spec.size(word) for word in value.shape)
    dtype = value.dtype or (spec.conditioning[name].input_dtype if name in spec.conditioning else "")
    match rest:
        case []:
            return TensorType("index", batch, dtype=dtype or "float32")
        case [width]:
            return TensorType("vector", batch, width.opt, dtype=value.dtype)
        case [count, width]:
            return TensorType("tokens", batch, width.opt, (count,), dtype=value.dtype)
        case [channels, *grid]:
            return TensorType("image", batch, channels.opt, tuple(grid), dtype=value.dtype)


def _image(spec: Spec, inputs: Mapping[str, TensorType]) -> str:
    """The input that is neither conditioning nor context."""
    contexts = set(referred(spec.family))
    rest = [name for name in inputs if name not in spec.conditioning and name not in contexts]
    images = [name for name in rest if inputs[name].layout == "image"]
    found: list[Diagnostic] = []
    for name in rest:
        if name not in images or len(images) > 1:
            found.append(_unused(spec, name, images))
    if not images:
        place = spec.place(("inputs",))
        found.append(
            Diagnostic(
                "NS204",
                "no input is the image",
                place.key,
                "one must be [batch, channels, height, width]",
                help=("add `x: [batch, 3, height, width]`",),
                path="inputs",
            )
        )
    found += list(_rank_problems(spec, inputs))
    raise_all(found)
    return images[0]


def _unused(spec: Spec, name: str, images: list[str]) -> Diagnostic:
    if len(images) > 1 and name in images:
        message, help_text = f"{len(images)} inputs are images", f"`{spec.family.name}` takes one: {', '.join(images)}"
    else:
        message = f"input `{name}` is not used"
        help_text = f"embed it (`conditioning: {{{name}: …}}`), or name it as the `context` of a transformer"
    return Diagnostic("NS204", message, spec.place(("inputs", name)).key, help=(help_text,), path=f"inputs.{name}")


def _rank_problems(spec: Spec, inputs: Mapping[str, TensorType]) -> Iterator[Diagnostic]:
    """Conditioning inputs whose shape their embedding cannot take."""
    for name, rule in spec.conditioning.items():
        if len(spec.inputs[name].shape) != rule.rank:
            yield Diagnostic(
                "NS313",
                f"`{rule.name}` embeds {_wanted(rule)}, `{name}` is {inputs[name]}",
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
