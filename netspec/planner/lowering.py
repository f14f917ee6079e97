"""lower(): Spec → Plan. Lets the family wire its nodes, and checks the result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from netspec import tensors
from netspec.builder import Builder
from netspec.embeds import Embed
from netspec.errors import Diagnostic, Label, Span, SpecPath, path_text, raise_all
from netspec.families import Denoiser
from netspec.fields import Param
from netspec.plan import Node, Plan, Value, needed
from netspec.planner import shapes, sizes
from netspec.planner.expectations import unmet
from netspec.planner.placing import diagnose
from netspec.registry import declared, references, referred
from netspec.spec import Input, Spec
from netspec.tensors import TensorType

MOST_NUMBERS = 2**58  # parameters and fixed numbers: an exabyte in float32


def lower(spec: Spec) -> Plan:
    """The plan of a spec.

    Raises ShapeError, UnknownName or ExpectationError with everything that is wrong, each at its place in the spec.
    """
    params = dict(references(spec.family))
    inputs = {name: _type(spec, name, value, params.get(name, Param(""))) for name, value in spec.inputs.items()}
    raise_all([*shapes.problems(spec), *_input_problems(spec, inputs), *_output_problems(spec), *_rank_problems(spec)])
    builder = Builder(spec, inputs)
    lowered = spec.family.lower(builder)
    made = {name: lowered[name] for name in spec.outputs}  # in the spec's order
    found = [*sizes.indivisible(spec, builder.nodes), *diagnose(spec, builder.problems)]
    if not found:
        for name, output in spec.outputs.items():
            found += sizes.mismatch(spec, name, output, made[name], needed(builder.nodes, [made[name]]))
    found += [] if found else _lost_inputs(spec, made.values(), builder.nodes)
    raise_all([*found, *_name_problems(spec, builder)])
    plan = Plan(spec, MappingProxyType(inputs), tuple(builder.nodes), MappingProxyType(made))
    raise_all([*_unaddressable(plan), *unmet(plan)])
    return plan


def _type(spec: Spec, name: str, value: Input, param: Param) -> TensorType:
    batch, *rest = [spec.size(word) for word in value.shape]
    embedded = spec.embedded.get(name)
    dtype = value.dtype or (spec.conditioning[embedded].dtype(name) if embedded else "")
    match rest:
        case []:
            return TensorType("index", batch, dtype=dtype or "float32")
        case [count] if param.layout == "mask":
            return tensors.mask(batch, count, value.dtype or "int64")
        case [width]:
            return TensorType("vector", batch, width.opt, dtype=dtype)
        case [count, width]:
            return TensorType("tokens", batch, width.opt, (count,), dtype=value.dtype or param.dtype)
        case _:
            channels, *grid = rest
            return TensorType("image", batch, channels.opt, tuple(grid), dtype=value.dtype)


def _input_problems(spec: Spec, inputs: Mapping[str, TensorType]) -> Iterator[Diagnostic]:
    """NS204 where there is no image or more than one, and for every input that nothing uses; NS203 for one that the
    family takes by a name that the spec does not have, NS314 for one that is no image."""
    mains = spec.family.mains(spec, inputs)
    if isinstance(spec.family, Denoiser):
        yield from _image_problems(spec, spec.family, mains)
    used = {*mains, *spec.embedded, *referred(spec.family)}
    absent = [name for name in mains if name not in inputs]
    unused = [name for name in inputs if name not in used]
    if len(absent) == len(unused) == 1:
        yield _misnamed(spec, "input", absent[0], unused[0], spec.place(("inputs", unused[0])).key)
    else:
        yield from (_absent(spec, "input", name) for name in absent)
        yield from (_unused(spec, name) for name in unused)
    for name in mains:
        if name in inputs and inputs[name].layout != shapes.takes(spec):
            yield shapes.no_image(spec, name)


def _unused(spec: Spec, name: str) -> Diagnostic:
    help = f"embed it (`conditioning: {{{name}: …}}`), or name it as the `context` of a transformer"
    if not isinstance(spec.family, Denoiser):
        help = f"take it out, or let a part of `{spec.family.name}` read it"
    path = ("inputs", name)
    return Diagnostic(
        "NS204",
        f"input `{name}` is not used",
        spec.place(path).key,
        "nothing reads it",
        help=(help,),
        path=path_text(path),
    )


def _output_problems(spec: Spec) -> Iterator[Diagnostic]:
    """NS216 for every output that the family makes and the spec lacks, NS314 for every one that nothing makes."""
    made = spec.family.makes(spec)
    absent = [name for name in made if name not in spec.outputs]
    unmade = [name for name in spec.outputs if name not in made]
    if len(absent) == len(unmade) == 1:
        yield _misnamed(spec, "output", absent[0], unmade[0], shapes.written(spec, unmade[0]))
        return
    yield from (_absent(spec, "output", name) for name in absent)
    for name in unmade:
        makes = " and ".join(f"`{each}`" for each in made) or "nothing"
        yield Diagnostic(
            "NS314",
            f"`{spec.family.name}` does not make the output `{name}`",
            shapes.written(spec, name),
            f"it makes {makes}",
            help=(f"take it out, or give it the name of what `{spec.family.name}` makes",),
            path=f"outputs.{name}",
        )


_UNKNOWN = {"input": "NS203", "output": "NS216"}


def _misnamed(spec: Spec, what: str, wanted: str, given: str, span: Span | None) -> Diagnostic:
    """For the one name that the family's own default gives, and the one that the spec has instead."""
    family = spec.family
    verb = "reads" if what == "input" else "makes"
    parts = [
        f"or write `{field}: {{{what}: {given}}}` in `{family.name}`"
        for field in declared(type(family))
        if getattr(getattr(family, field), what, None) == wanted
    ]
    return Diagnostic(
        _UNKNOWN[what],
        f"unknown {what} `{wanted}`",
        span,
        f"`{family.name}` {verb} `{wanted}`",
        help=(", ".join([f"call it `{wanted}`", *parts]),),
        path=f"{what}s.{given}",
    )


def _absent(spec: Spec, what: str, name: str) -> Diagnostic:
    """For a name that the family's own default gives, where the spec's names differ."""
    family = spec.family.name
    return Diagnostic(
        _UNKNOWN[what],
        f"unknown {what} `{name}`",
        spec.place((family,)).key,
        f"`{family}` needs it",
        help=(
            f"{what}s of this spec: {', '.join(f'`{each}`' for each in getattr(spec, f'{what}s'))}; "
            f"call one so, or tell `{family}` its name",
        ),
        path=family,
    )


def _image_problems(spec: Spec, family: Denoiser, mains: Sequence[str]) -> Iterator[Diagnostic]:
    form = shapes.FORMS[family.takes]
    if not mains:
        yield Diagnostic(
            "NS204",
            f"no input is the {form.noun}",
            spec.place(("inputs",)).key,
            f"one must be {form}",
            help=(f"add `x: {form.example}`",),
            path="inputs",
        )
    if len(mains) > 1 and not family.image:
        first, second = (spec.place(("inputs", name)) for name in mains[:2])
        yield Diagnostic(
            "NS204",
            f"{len(mains)} inputs are {form.noun}s, `{family.name}` takes one",
            second.key,
            f"another {form.noun}",
            labels=(Label(first.key or first.value, form.one),),
            help=(
                *form.help,
                f"join them along their {form.joined}: `{family.name}: {{image: [{', '.join(mains)}]}}`",
            ),
            path=f"inputs.{mains[1]}",
        )


def _rank_problems(spec: Spec) -> Iterator[Diagnostic]:
    """Conditioning inputs whose shape their embedding cannot take."""
    for name, entry in spec.embedded.items():
        rule = spec.conditioning[entry]
        if len(spec.inputs[name].shape) not in rule.ranks:
            yield Diagnostic(
                "NS313",
                f"`{rule.name}` embeds {_wanted(rule)}, `{name}` is {spec.inputs[name]}",
                spec.place(("inputs", name)).value,
                help=(f"write `{name}: {_wanted(rule)}`",),
                path=f"inputs.{name}",
            )


def _wanted(rule: Embed) -> str:
    return " or ".join({1: "[batch]", 2: "[batch, width]"}[rank] for rank in rule.ranks)


def _lost_inputs(spec: Spec, made: Iterable[Value], nodes: Sequence[Node]) -> Iterator[Diagnostic]:
    """NS204 for every input that the output does not depend on, though the spec gives it a use."""
    wanted = tuple(made)
    reached = {value.name for value in (*wanted, *(value for node in needed(nodes, wanted) for value in node.inputs))}
    for name in spec.inputs:
        if name not in reached:
            embedded = name in spec.embedded
            at: SpecPath = ("conditioning", spec.embedded[name]) if embedded else ("inputs", name)
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
