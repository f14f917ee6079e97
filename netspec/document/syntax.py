"""Text that is not YAML: the parser's complaint in the user's words, and the checks that come before the parser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from netspec.errors import Diagnostic, Label, Source, Span

_WORD = re.compile(r"[\w.+-]+")
_LONGEST_TAG = 200
_QUOTE = 'put the text in quotes: "…"'


@dataclass(frozen=True, slots=True)
class _Complaint:
    """How one complaint of libyaml or PyYAML is said to the user."""

    phrase: str  # regular expression that finds it; both parsers word most complaints alike
    message: str
    label: str
    help: tuple[str, ...] = ()
    opened: str = ""  # the words beside the place where the broken construct began
    code: str = "NS001"


# The first phrase that matches wins.
_COMPLAINTS = (
    _Complaint(
        "mapping values are not allowed",
        "a `:` stands where no key can be",
        "not expected here",
        (
            "if the colon belongs to a text, put the text in quotes",
            "if this is a key, give it the indentation of its neighbours and end the line above with `:` or a value",
        ),
    ),
    _Complaint(
        r"expected ',' or '\]'",
        "a list is not closed",
        "expected `,` or `]` before this",
        ("close the list with `]`",),
        "the list opens here",
    ),
    _Complaint(
        r"expected ',' or '}'",
        "a mapping is not closed",
        "expected `,` or `}` before this",
        ("close the mapping with `}`",),
        "the mapping opens here",
    ),
    _Complaint(
        "unexpected end of stream|unexpected document",
        "a quote is not closed",
        "the text ends here",
        ("close the quote",),
        "the quote opens here",
    ),
    _Complaint(
        "expected key|expected <block end>|expected '-' indicator|while parsing a block mapping",
        "this line does not fit the lines above it",
        "not expected here",
        (
            "give every key of one mapping, and every `-` of one list, the same indentation",
            "a text with quotes inside it is quoted as a whole",
        ),
    ),
    _Complaint(
        "cannot start any token",
        "no value can begin with {here}",
        "a reserved character",
        (_QUOTE,),
    ),
    _Complaint("sequence entries are not allowed", "a `-` stands where no list can be", "not expected here",
               ("begin the list on a line of its own, or write [a, b]", _QUOTE)),
    _Complaint("mapping keys are not allowed", "a `?` stands where no key can be", "not expected here", (_QUOTE,)),
    _Complaint("expected (the )?node content", "a value is missing", "expected a value before this",
               ("write the value, or take the surplus comma or bracket away",)),
    _Complaint("expected alphabetic or numeric", "`&` and `*` cannot begin a text", "a reserved character", (_QUOTE,)),
    _Complaint("unknown escape|hexdecimal|hexadecimal|character escape code", "not an escape that YAML knows",
               "in a text in double quotes", ("write the backslash twice, or use single quotes",)),
    _Complaint("comment or line break|chomping or indentation", "`|` and `>` begin a text on the next line",
               "not expected here", ("begin the text on the next line, indented", _QUOTE)),
    _Complaint("expected ':'", "a key has no `:`", "expected `:` before this",
               ("write `key: value`",), "the key begins here"),
    _Complaint("document start", "the document ends before this", "left over",
               ("write one mapping, every top-level key at the first column",)),
    _Complaint("undefined tag handle|scanning a tag|parsing a tag", "a tag is not allowed",
               "a spec is data, it cannot construct objects", ("remove the word that begins with `!`", _QUOTE),
               code="NS004"),
)  # fmt: skip
_UNKNOWN = _Complaint("", "not YAML", "")
_TAB = _Complaint("", "a tab is used for indentation", "a tab", ("indent with spaces",))

# What YAML calls printable; a byte order mark is only welcome at the beginning, where it is taken off.
_UNPRINTABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_CONTROLS_SHOWN = 10


def translate(error: yaml.YAMLError, source: Source, text: str) -> Diagnostic:
    """What PyYAML says of `text`, as a diagnostic with the place, what it belongs to, and what to do."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return Diagnostic("NS001", f"not YAML: {error}", span_at(source, text, 0))
    began = error.context_mark.index if error.context_mark else None
    return complain(source, text, f"{error.context or ''}: {error.problem or ''}", error.problem_mark.index, began)


def complain(source: Source, text: str, said: str, index: int, began: int | None = None) -> Diagnostic:
    """The diagnostic for a parser's words `said` at `index`, about a construct that `began` earlier."""
    complaint = next((known for known in _COMPLAINTS if re.search(known.phrase, said)), _UNKNOWN)
    span = span_at(source, text, index)
    if "\t" in _indentation(text, index):
        complaint, span = _TAB, span_at(source, text, text.rindex("\t", 0, index + 1), 1)
    elif complaint.code == "NS004" and began is not None:
        span = span_at(source, text, began, len(text[began : began + _LONGEST_TAG].split(maxsplit=1)[0]))
    labels: tuple[Label, ...] = ()
    if complaint.opened and began is not None and began != index:
        labels = (Label(span_at(source, text, began, 1), complaint.opened),)
    here = text[index : index + 1]
    message = complaint.message.replace("{here}", "a backtick" if here == "`" else f"`{here}`")
    label = complaint.label or said.strip(": ")
    return Diagnostic(complaint.code, message, span, label, labels=labels, help=complaint.help)


def unprintable(source: Source, text: str) -> Iterator[Diagnostic]:
    """One finding for each different control character in `text`, at its first place."""
    seen: dict[str, tuple[int, int]] = {}
    for match in _UNPRINTABLE.finditer(text):
        first, count = seen.get(match[0], (match.start(), 0))
        seen[match[0]] = (first, count + 1)
    for character, (first, count) in list(seen.items())[:_CONTROLS_SHOWN]:
        yield Diagnostic(
            "NS008",
            f"control character U+{ord(character):04X}",
            span_at(source, text, first, 1),
            "not allowed in a text file",
            notes=(f"{count:,} of them in this file",) if count > 1 else (),
            help=('remove it; in a text in double quotes it can be written as an escape, such as "\\x1b"',),
        )


def directives(source: Source, text: str) -> Iterator[Diagnostic]:
    """The first `%` line before the document that is not `%YAML 1.2`.

    Comes before the parser because libyaml compares every %TAG with all others: 80,000 of them take it seven seconds.
    """
    start = versions = 0
    for line in text.splitlines(keepends=True):
        words = line.split()
        if words and not words[0].startswith(("%", "#")):
            return
        if line.startswith("%"):
            versions += 1
            if words[:2] != ["%YAML", "1.2"] or versions > 1:
                yield Diagnostic(
                    "NS004" if words[0] == "%TAG" else "NS001",
                    f"directive `{words[0][:40]}` is not allowed",
                    span_at(source, text, start, len(line.rstrip())),
                    "a spec is plain YAML 1.2",
                    help=("remove this line",),
                )
                return
        start += len(line)


def leftover(text: str, start: int) -> int | None:
    """The index of the first line at or after `start` that holds more than blanks, a comment or `...`."""
    for line in text[start:].splitlines(keepends=True):
        words = line.split(maxsplit=1)
        if words and not words[0].startswith("#") and words[0] != "...":
            return start + len(line) - len(line.lstrip())
        start += len(line)
    return None


def span_at(source: Source, text: str, start: int, length: int | None = None) -> Span:
    """The span of `length` characters (or of the word) at `start`, inside one line and never past the text's end."""
    end_of_text = len(text.rstrip())
    if start >= end_of_text:
        start, length = end_of_text, 0
    before = (text[:start] + "x").splitlines()
    line, column = len(before), len(before[-1])
    if length is None:
        word = _WORD.match(text, start)
        length = len(word[0]) if word else 1
    return Span(source, line, column, line, column + length)


def _indentation(text: str, index: int) -> str:
    """The blanks that the line of `index` begins with, as far as one character past `index`."""
    begin = max(text.rfind(end, 0, index) for end in "\n\r") + 1
    line = text[begin : index + 1]
    return line[: len(line) - len(line.lstrip())]
