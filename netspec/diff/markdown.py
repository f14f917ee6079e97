"""A difference for a pull request: compact tables, what is long folded away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netspec.analysis.tables import amount
from netspec.diff import words
from netspec.diff.choices import Change, Group
from netspec.diff.difference import Difference
from netspec.diff.stages import Figures, Stage

_ESCAPED = str.maketrans({"|": "\\|", "<": "&lt;", ">": "&gt;", "\n": " ", "`": "'"})
_IN_CODE = str.maketrans({"|": "\\|", "\n": " ", "`": "'"})


def markdown(difference: Difference, *, nodes: bool = False, tensors: Sequence[str] = ()) -> str:
    """All that differs as GitHub's Markdown; `tensors` are lines about single tensors."""
    a, b = difference.a, difference.b
    if difference.equal:
        return f"{_code(a.label)} and {_code(b.label)} are equal.\n"
    blocks = [f"**{_code(a.label)} → {_code(b.label)}**", _headline(difference)]
    rows = [_choice(change, name) for name in words.HEADINGS for change in difference.group(name)]
    blocks.append(_table(("", "choice", "A", "B"), "llll", rows))
    if difference.changed:
        blocks.append(_folded(_summary(difference), _stages(difference)))
    if nodes:
        lines = list(_nodes(difference))
        blocks.append(_folded(f"{len(lines)} nodes", "\n".join(lines)))
    title, fates = words.weights(difference)
    blocks.append(title + "." + "".join(f"\n- {left} {right}" for left, right in fates))
    if tensors:
        blocks.append(_folded(f"{len(tensors)} tensors", "```\n" + "\n".join(tensors) + "\n```"))
    return "\n\n".join(block for block in blocks if block) + "\n"


def _headline(difference: Difference) -> str:
    """The totals in a line: `859,520,964 → 865,910,724 parameters (+0.7 %)`."""
    old, new = difference.old, difference.new
    before, after = difference.peaks
    parts = [
        (f"{old.params:,}", f"{new.params:,}", "parameters", words.share(old.params, new.params)),
        (f"{old.gflops:,.2f}", f"{new.gflops:,.2f}", "GFLOPs", words.share(old.macs, new.macs)),
        (amount(before), amount(after), "activations", words.share(before, after)),
    ]
    return " · ".join(
        f"{first} → {second} {unit}" + (f" ({change})" if change else "") if first != second else f"{first} {unit}"
        for first, second, unit, change in parts
    )


def _choice(change: Change, group: Group) -> tuple[str, str, str, str]:
    old, new = (_code(text) if text else "" for text in (words.short(change.old_text), words.short(change.new_text)))
    rest = [*filter(None, [words.moved(change)]), *words.following(change)]
    return ("" if group == "choices" else words.HEADINGS[group], _code(change.where) + _small(rest), old, new)


def _small(lines: Sequence[str]) -> str:
    return "".join(f"<br><sub>{_plain(line)}</sub>" for line in lines)


def _summary(difference: Difference) -> str:
    """`9 stages: most in up 2, +417,070,080 parameters`."""
    count = len(difference.changed)
    most = max(difference.changed, key=lambda stage: abs(stage.new.params - stage.old.params))
    change = most.new.params - most.old.params
    stages = f"{count} stage{'s' if count > 1 else ''}"
    return f"{stages}, most in {most.name}: {change:+,} parameters" if change else stages


def _stages(difference: Difference) -> str:
    rows = [(*_figures(words.renamed(stage), stage.old, stage.new), _told(stage)) for stage in difference.changed]
    rows.append((*_figures("**total**", difference.old, difference.new), ""))
    return _table(("stage", "parameters", "GFLOPs", "activations", "nodes"), "lrrrl", rows)


def _told(stage: Stage) -> str:
    return "<br>".join(_plain(line) for line in (words.outputs(stage), *stage.words) if line)


def _figures(name: str, old: Figures, new: Figures) -> tuple[str, str, str, str]:
    return (
        name,
        _both(words.signed(new.params - old.params), words.share(old.params, new.params)),
        _both(words.signed_gflops(old, new), words.share(old.macs, new.macs)),
        _both(words.signed_bytes(old.written, new.written), words.share(old.written, new.written)),
    )


def _both(value: str, part: str) -> str:
    return f"{value} ({part})" if value and part else value


def _nodes(difference: Difference) -> Iterator[str]:
    for stage in difference.changed:
        for pair in stage.pairs:
            if pair.differs:
                sign = "added" if pair.old is None else "removed" if pair.new is None else ", ".join(pair.changes)
                yield f"- {_code(pair.node.name)}: {_plain(sign)}"


def _table(headings: Sequence[str], sides: str, rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    rule = "|".join({"l": "---", "r": "---:"}[side] for side in sides)
    lines = [f"|{'|'.join(headings)}|", f"|{rule}|", *(f"|{'|'.join(row)}|" for row in rows)]
    return "\n".join(lines)


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def _code(text: str) -> str:
    """As code, whatever is in it: names come from strangers' files."""
    return f"`{text.translate(_IN_CODE)}`"


def _plain(text: str) -> str:
    return text.replace(" -> ", " → ").translate(_ESCAPED)
