"""differences(): where two specs describe different networks, by paths of the first.

What makes no difference to a trained network does not count: names, ranges of sizes, ways to write widths and heads,
initialisation, dropout.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from netspec.attention import Heads
from netspec.embeds import Embed
from netspec.embeds.label import Label
from netspec.embeds.mlp import Mlp
from netspec.errors import SpecPath
from netspec.families import Denoiser, Family
from netspec.families.dit import DiT
from netspec.families.levels import Level, LevelDecoder, Levelled, Mid
from netspec.importers.common import level_blocks, level_widths
from netspec.plan import Plan
from netspec.positions import Table
from netspec.positions.sincos import SinCos
from netspec.registry import Record, declared, parse

R = TypeVar("R", bound=Record)
TRAINING = ("dropout", "init_std", "zero_init")  # fields that say how a network is trained


@dataclass(frozen=True)
class Difference:
    """Two values that should be equal; `theirs` is that of the second spec."""

    path: SpecPath
    ours: Any
    theirs: Any


def differences(one: Plan, other: Plan) -> Iterator[Difference]:
    """Every choice of the first network that the second one does not share."""
    mine, its = one.spec.family, other.spec.family
    yield from _compared(_canonical(mine, one), _canonical(its, other), (mine.name,))
    entries = [[*_entries(plan)] for plan in (one, other)]
    for (name, rule, vector), (_, theirs, another) in zip(*entries, strict=False):
        yield from _compared(rule, theirs, ("conditioning", name))
        yield from _compared(vector, another, ("conditioning", name))
    for name, rule, _ in entries[0][len(entries[1]) :]:
        yield Difference(("conditioning", name), rule, None)
    for _, rule, _ in entries[1][len(entries[0]) :]:
        yield Difference(("conditioning",), None, rule)
    yield from _compared(_image(one), _image(other), ("inputs", *mine.mains(one.spec, one.inputs)[:1]))
    yield from _compared(_made(one), _made(other), ("outputs" if len(one.outputs) > 1 else "output",))


def _compared(mine: Any, its: Any, path: SpecPath) -> Iterator[Difference]:
    """Every field in which two values differ, as deep as they are of one kind."""
    if isinstance(mine, tuple) and isinstance(its, tuple) and len(mine) == len(its):
        for index, (a, b) in enumerate(zip(mine, its, strict=True)):
            yield from _compared(a, b, (*path, index))
    elif isinstance(mine, Record) and type(mine) is type(its):
        for name in declared(type(mine)):
            if name not in TRAINING:
                yield from _compared(getattr(mine, name), getattr(its, name), (*path, name))
    elif mine != its:
        yield Difference(path, mine, its)


def _image(plan: Plan) -> str:
    """What goes in, by its channels."""
    family = plan.spec.family
    channels = [plan.inputs[name].channels for name in family.mains(plan.spec, plan.inputs)]
    if isinstance(family, Denoiser):
        channels = [sum(channels)]  # one image; `image` says what it is made of
    return " and ".join(f"{count} channels" for count in channels)


def _made(plan: Plan) -> str:
    return ", ".join(f"{value.type.channels} channels" for value in plan.outputs.values())


def _entries(plan: Plan) -> Iterator[tuple[str, Embed, str]]:
    """The embeddings and the vectors that they read, in an order that their names do not decide: a sum has none."""
    for name, rule in sorted(plan.spec.conditioning.items(), key=lambda item: item[1].name):
        widths = [plan.inputs[each].channels for each in rule.sources(name)] if max(rule.ranks) > 1 else []
        yield name, _plain(rule, plan), f"{sum(widths)} numbers"


def _plain(rule: Embed, plan: Plan) -> Embed:
    """An embedding with labels by the rows of their table, and without a list of inputs that are one vector anyway."""
    match rule:
        case Label():
            return replace(rule, classes=rule.rows, dropout=0.0)
        case Mlp(of=parts) if not any(part.sinusoids for part in parts):
            return replace(rule, of=())
        case _:
            return _nameless(rule, plan)


def _canonical(family: Family, plan: Plan) -> Family:
    """The family with everything that can be written in two ways written in one."""
    if isinstance(family, Denoiser) and all(part.resize == "none" for part in family.image):
        family = replace(family, image=())  # joined here or before, it is one image of so many channels
    if isinstance(family, Levelled):
        family = _levelled(family)
    if isinstance(family, DiT):
        family = _transformer(family, plan)
    return _nameless(family, plan)


def _levelled(family: Any) -> Any:
    """Rows by their channels, blocks and heads; what they start from says nothing more."""
    widths, blocks = level_widths(family), level_blocks(family)
    rows = tuple(
        replace(_row(level, width), channels=width, multiplier=None, blocks=count)
        for level, width, count in zip(family.levels, widths, blocks, strict=True)
    )
    mid = family.mid and _row(family.mid, widths[-1])
    shared = {name: _default(type(family), name) for name in ("attention", "transformer", "blocks_per_level")}
    return replace(family, levels=rows, mid=mid, base_channels=None, **shared)


def _transformer(family: DiT, plan: Plan) -> Any:
    """Heads by number, blocks with a second attention by their numbers, positions by their places."""
    counted, dual, places = _counted(family, family.hidden_size), family.dual_attention, family.pos_embed
    if isinstance(places, Table) and family.patch_size:
        places = _placed(places, plan)
    return replace(counted, dual_attention=tuple(range(dual)) if isinstance(dual, int) else dual, pos_embed=places)


def _nameless(record: R, plan: Plan) -> R:
    """A record that names inputs and outputs by what they are, not by what they are called."""
    changed: dict[str, Any] = {}
    for field in declared(type(record)).values():
        value = getattr(record, field.name)
        if isinstance(value, Record):
            changed[field.name] = _nameless(value, plan)
        elif isinstance(value, tuple) and value and isinstance(value[0], Record):
            changed[field.name] = tuple(_nameless(item, plan) for item in value)
        elif field.param.refers and isinstance(value, str):
            changed[field.name] = _told(value, plan)
        elif field.param.refers and isinstance(value, tuple):
            changed[field.name] = tuple(_told(item, plan) for item in value)
    return replace(record, **changed) if changed else record  # type: ignore[type-var]  # records are dataclasses


def _row(row: Any, width: int) -> Any:
    """A row of levels, or the middle, with heads by number, what attention reads, and one depth where all are equal.

    Without depth it has no transformer; a way up that is like the way down is not said.
    """
    assert isinstance(row, Level | LevelDecoder | Mid)
    transformer = row.transformer if row.transformer and any(row.transformer.stacks(1)) else None
    if transformer is not None:
        attends = transformer.attends or (("self", "context") if transformer.context else ("self",))
        depths = transformer.stacks(1)
        depth = depths[0] if len(set(depths)) == 1 else depths
        transformer = replace(_counted(transformer, width), attends=attends, depth=depth)
    found: Any = replace(row, attention=row.attention and _counted(row.attention, width), transformer=transformer)
    if isinstance(row, Level) and row.decoder is not None:
        up = _row(row.decoder, width)
        same = (up.attention, up.transformer) == (found.attention, found.transformer)
        found = replace(found, decoder=None if same else up)
    return found


def _counted(rule: Any, width: int) -> Any:
    """Heads by their number, and by their width only where that is not what the number gives."""
    number, inner = Heads.count(rule, width), Heads.width(rule, width)
    return replace(rule, num_heads=number, head_dim=None if inner == width else inner // number)


def _placed(positions: Table, plan: Plan) -> Table:
    """A table by its places. Where every image covers just the whole of it, what counts is how far its sides span."""
    image = plan.by_name["pos_embed"].types[0]
    if isinstance(positions, SinCos) and positions.span and not positions.grid:
        return positions  # of every image, or of the only size: it makes no difference
    rows, columns = positions.places(image)
    whole = all(size.fixed for size in image.sizes) and [size.opt for size in image.sizes] == [rows, columns]
    if whole and rows == columns and isinstance(positions, SinCos):
        return replace(positions, grid=None, crop="corner", scale=1.0, span=rows / positions.scale)
    return replace(positions, grid=rows if rows == columns else None)


def _told(name: str, plan: Plan) -> str:
    """An input or output by what it is."""
    found = plan.inputs.get(name) or (plan.outputs[name].type if name in plan.outputs else None)
    return f"{found.layout} of {found.channels}" if found else name


def _default(record: type[Record], name: str) -> Any:
    field = declared(record)[name]
    return parse(field.type, None, {}, field.default)
