"""A difference for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netspec.analysis.tables import amount
from netspec.diff import words
from netspec.diff.choices import Group
from netspec.diff.difference import Difference
from netspec.diff.stages import Figures, Stage

_HEADINGS = ("stage", "parameters", "", "GFLOPs", "", "activations", "")


def text(difference: Difference, *, nodes: bool = False, tensors: Sequence[str] = ()) -> str:
    """All that differs as lines of text, with every node where `nodes`; one line where nothing does. `tensors` are
    lines about single tensors."""
    a, b = difference.a, difference.b
    if difference.equal:
        return f"{a.label} and {b.label} are equal\n"
    parts = [[f"{a.label} -> {b.label}"], *(list(_choices(difference, name)) for name in words.HEADINGS)]
    if difference.changed:
        parts += [list(_stages(difference)), list(_nodes(difference)) if nodes else []]
    parts += [list(_end(difference)), list(tensors)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _choices(difference: Difference, name: Group) -> Iterator[str]:
    found = difference.group(name)
    if not found:
        return
    yield words.HEADINGS[name]
    width = max(len(change.where) for change in found)
    for change in found:
        place = words.moved(change)
        yield f"{words.sign(change)} {change.where:<{width}}  {words.values(change)}" + (f"  ({place})" * bool(place))
        for line in words.following(change):
            yield f"      {line}"


def _stages(difference: Difference) -> Iterator[str]:
    rows: list[tuple[Sequence[str], list[str]]] = [
        (_figures(words.renamed(stage), stage.old, stage.new), _told(stage)) for stage in difference.changed
    ]
    total = _figures("total", difference.old, difference.new)
    cells = [_HEADINGS, *(row for row, _ in rows), total]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADINGS))]
    rule = "-" * (sum(widths) + 2 * len(widths) - 2)
    yield _line(_HEADINGS, widths)
    yield rule
    for row, told in rows:
        yield _line(row, widths)
        yield from (f"    {line}" for line in told)
    yield rule
    yield _line(total, widths)
    same = len(difference.stages) - len(difference.changed)
    if same:
        yield f"{same} other {'stage is' if same == 1 else 'stages are'} as before"


def _told(stage: Stage) -> list[str]:
    return [line for line in (words.outputs(stage), *stage.words) if line]


def _figures(name: str, old: Figures, new: Figures) -> tuple[str, ...]:
    return (
        name,
        words.signed(new.params - old.params),
        words.share(old.params, new.params),
        words.signed_gflops(old, new),
        words.share(old.macs, new.macs),
        words.signed_bytes(old.written, new.written),
        words.share(old.written, new.written),
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = (
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join([first, *rest]).rstrip()


def _nodes(difference: Difference) -> Iterator[str]:
    """Every node that differs, a line each."""
    yield "nodes"
    for stage in difference.changed:
        for pair in stage.pairs:
            if pair.old is None or pair.new is None:
                component = pair.node.component
                yield f"{'+' if pair.old is None else '-'} {pair.node.name}  {component.name}"
            elif pair.changes:
                was = f" (was {pair.old.name})" if pair.old.name != pair.new.name else ""
                yield f"  {pair.node.name}{was}  {', '.join(pair.changes)}"


def _end(difference: Difference) -> Iterator[str]:
    """The totals that are no sum of stages, and what becomes of the weights."""
    old, new = difference.old, difference.new
    if difference.same_network:
        yield "The network is the same" + (" at other sizes." if old != new else ".")
    yield f"parameters   {_from_to(f'{old.params:,}', f'{new.params:,}')}"
    if old.frozen or new.frozen:
        yield f"frozen       {_from_to(f'{old.frozen:,}', f'{new.frozen:,}')}"
    yield f"GFLOPs       {_from_to(f'{old.gflops:,.2f}', f'{new.gflops:,.2f}')}"
    before, after = (amount(peak) for peak in difference.peaks)
    yield f"alive        {_from_to(before, after)}  activations in float32 between nodes, at once"
    title, lines = words.weights(difference)
    yield f"weights      {title}"
    width = max((len(left) for left, _ in lines), default=0)
    for left, right in lines:
        yield f"             {left:<{width}}  {right}"


def _from_to(old: str, new: str) -> str:
    return old if old == new else f"{old} -> {new}"
