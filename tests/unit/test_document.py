"""load(): what a spec's text may be, what it may not be, and where everything was written."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from netspec.document import MAX_BYTES, MAX_DEPTH, argument_source, load, loads, parse_scalar, parse_value
from netspec.errors import Diagnostic, DocumentError, NetspecError, Span
from netspec.render import render


def refused(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(DocumentError) as caught:
        loads(text, "spec.yaml")
    render(caught.value.diagnostics)
    return caught.value.diagnostics


def at(span: Span | None) -> tuple[int, int, int, int]:
    assert span is not None
    return (span.line, span.column, span.end_line, span.end_column)


def covered(span: Span | None) -> str:
    assert span is not None and span.line == span.end_line
    return span.source.lines[span.line - 1][span.column - 1 : span.end_column - 1]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(word, None) for word in ("", "~", "null", "Null", "NULL")],
        *[(word, True) for word in ("true", "True", "TRUE")],
        *[(word, False) for word in ("false", "False", "FALSE")],
        *[(word, word) for word in ("no", "on", "yes", "off", "y", "n", "nUll", "tRUE")],
        *[
            (word, word)
            for word in ("1:30", "190:20:30.15", "2024-01-01", "1_000", "0b11", "+0x1", "-.", ".", "1e", "+")
        ],
        *[("0", 0), ("-7", -7), ("+7", 7), ("0755", 755), ("0o17", 15), ("0x1F", 31), (str(2**63 - 1), 2**63 - 1)],
        *[("1e-4", 1e-4), ("1.", 1.0), (".5", 0.5), ("-1.5E+3", -1500.0), ("5e-1", 0.5), ("6E2", 600.0)],
        *[(".inf", math.inf), ("-.INF", -math.inf), ("+.Inf", math.inf), ("inf", "inf"), ("nan", "nan")],
    ],
)
def test_plain_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    for found in (parse_scalar(text), loads(f"key: {text}").data["key"]):
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
def test_not_a_number(text: str) -> None:
    assert math.isnan(loads(f"key: {text}").data["key"])


@pytest.mark.parametrize("text", ['"1"', "'1'", "|-\n  1", ">-\n  1"])
def test_quoted_and_block_scalars_are_strings(text: str) -> None:
    assert loads(f"key: {text}").data == {"key": "1"}


def test_a_place_for_every_key_and_item() -> None:
    document = loads("# size\nunet:\n  levels: [64, {channels: 128}]   # rows\n  mid:\n\n# end\nname: x\n")
    assert document.data == {"unet": {"levels": [64, {"channels": 128}], "mid": None}, "name": "x"}
    spans = {path: (place.key and at(place.key), at(place.value)) for path, place in document.places.items()}
    assert spans == {
        (): (None, (2, 1, 7, 8)),
        ("unet",): ((2, 1, 2, 5), (3, 3, 4, 7)),
        ("unet", "levels"): ((3, 3, 3, 9), (3, 11, 3, 32)),
        ("unet", "levels", 0): (None, (3, 12, 3, 14)),
        ("unet", "levels", 1): (None, (3, 16, 3, 31)),
        ("unet", "levels", 1, "channels"): ((3, 17, 3, 25), (3, 27, 3, 30)),
        ("unet", "mid"): ((4, 3, 4, 6), (4, 7, 4, 7)),
        ("name",): ((7, 1, 7, 5), (7, 7, 7, 8)),
    }
    assert {place.origin for place in document.places.values()} == {""}


def test_columns_count_characters() -> None:
    document = loads('{"\U0001f600é":\t"模", b: 1}')
    assert at(document.places["\U0001f600é",].value) == (1, 8, 1, 11)
    assert at(document.places["b",].key) == (1, 13, 1, 14)


@pytest.mark.parametrize(("style", "end"), [("|", (3, 4)), (">-", (3, 4)), ("|+", (3, 4))])
def test_block_text_ends_with_its_last_word(style: str, end: tuple[int, int]) -> None:
    document = loads(f"key: {style}\n  a\n  b\n\n\n# comment\nother: 1\n")
    assert at(document.places["key",].value) == (1, 6, *end)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_breaks_of_every_system(newline: str) -> None:
    assert at(loads(newline.join(("a: 1", "b: 2", ""))).places["b",].value) == (2, 4, 2, 5)


def test_byte_order_mark_is_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert at(load(path).places["a",].key) == (1, 1, 1, 2)


# what each thing is refused with: text, code, what the caret covers, words of the rendered text
REFUSED = [
    ("a: 1\na: 2\n", "NS002", "a", "first given here"),
    ("x: {b: 1, 'b': 2}\n", "NS002", "'b'", "duplicate key `b`"),
    ("a: &x 1\n", "NS003", "&x", "anchor `&x`"),
    ("a: !!str &x 1\nb: *x\n", "NS003", "&x", "used here"),
    ("a: *x\n", "NS003", "*x", "alias `*x`"),
    ("a: !!int 1\n", "NS004", "!!int 1", "tag `tag:yaml.org,2002:int`"),
    ('a: !!python/object/apply:os.system ["id"]\n', "NS004", '!!python/object/apply:os.system ["id"]', "os.system"),
    ("a: !env HOME\n", "NS004", "!env HOME", "tag `!env`"),
    ("!!str a: 1\n", "NS004", "!!str a", "cannot construct"),
    ("a: !e!x 1\n", "NS004", "!e!x", "cannot construct"),
    ("%TAG ! tag:x,2000:\n---\na: 1\n", "NS004", "%TAG ! tag:x,2000:", "remove this line"),
    ("%YAML 1.1\n---\na: 1\n", "NS001", "%YAML 1.1", "YAML 1.2"),
    ("<<: {a: 1}\n", "NS005", "<<", "extends"),
    ("a: " + "[" * 65, "NS006", "[", "more than 64 levels"),
    ("1: a\n", "NS011", "1", '"1"'),
    ("true: a\n", "NS011", "true", "true or false"),
    ("~: a\n", "NS011", "~", "empty"),
    ("[a, b]: 1\n", "NS011", "[", "a list"),
    ("{a: 1}: 1\n", "NS011", "{", "a mapping"),
    ("a: 1\n---\nb: 2\n", "NS012", "---", "a second document begins here"),
    ("a: 1\n...\n%TAG ! x\n", "NS012", "%", "more than one document"),
    (f"a: {2**63}\n", "NS013", str(2**63), "64 bits"),
    ("a: 1e999\n", "NS013", "1e999", ".inf"),
    ("- a\n- b\n", "NS009", None, "a list"),
    ("just a text\n", "NS009", "just a text", "a single value"),
    ("a:\n\tb: 1\n", "NS001", "\t", "indent with spaces"),
    ("a: b\n\tc: 1\n", "NS001", "\t", "indent with spaces"),
    ("a: [1, 2\nb: 3\n", "NS001", ":", "the list opens here"),
    ("a: {b: 1\n", "NS001", "", "close the mapping"),
    ("a: 'x\n", "NS001", "", "the quote opens here"),
    ("a: b: c\n", "NS001", ":", "in quotes"),
    ("a:\n  b: 1\n c: 2\n", "NS001", "c", "same indentation"),
    ("a: @x\n", "NS001", "@", "begin with `@`"),
    ("a: `x\n", "NS001", "`", "begin with a backtick"),
    ("{a: 1}\nb: 2\n", "NS001", "b", "left over"),
    ('a: "\\q"\n', "NS001", "\\", "escape"),
    ("a: 1 \x1b[31m\n", "NS008", "\x1b", "U+001B"),
    ("a: \ufeff1\n", "NS008", "\ufeff", "U+FEFF"),
    ("a: \ud800\n", "NS008", "\ud800", "U+D800"),
]


@pytest.mark.parametrize(("text", "code", "caret", "words"), REFUSED)
def test_refused(text: str, code: str, caret: str | None, words: str) -> None:
    found = next(finding for finding in refused(text) if finding.code == code)
    if caret is not None:
        assert covered(found.span) == caret
    assert words in render([found])


@pytest.mark.parametrize(
    ("text", "message"), [("", "empty"), (" \n", "empty"), ("# a\n", "comments"), ("---\n", "comments")]
)
def test_nothing_in_the_file(text: str, message: str) -> None:
    [found] = refused(text)
    assert found.code == "NS009"
    assert message in found.message


def test_all_findings_at_once_in_file_order() -> None:
    found = refused("a: 1\na: 2\nb: {c: 1, c: 2}\n1: x\nd: !x &y 1e999\ne: *y\nf: [\n")
    assert [finding.code for finding in found] == ["NS002", "NS002", "NS011", "NS004", "NS013", "NS003", "NS001"]
    assert [finding.path for finding in found[:2]] == ["a", "b.c"]


def test_findings_are_bounded_and_it_says_so() -> None:
    found = refused("a: 1\n" * 1000)
    assert len(found) == 50
    assert "stopped" in found[-1].notes[-1]


def test_depth_is_counted_from_the_root() -> None:
    text = "a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert loads(text).data
    assert refused(text.replace("[]", "[[]]"))[0].code == "NS006"


def test_alias_bomb_is_one_finding_an_anchor() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    found = refused("\n".join(lines))
    assert [finding.code for finding in found] == ["NS003"] * 9
    assert found[0].notes == ("used 9 times",)
    assert len(found[0].labels) == 3


# files


def cannot_load(path: str | os.PathLike[str]) -> Diagnostic:
    with pytest.raises(DocumentError) as caught:
        load(path)
    [found] = caught.value.diagnostics
    assert found.span is not None and found.span.source.name == os.fspath(path)
    return found


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        ("a: 1\n".encode("utf-16"), "NS008", "this file is UTF-16; save it as UTF-8"),
        (b"\xfe\xff\0a", "NS008", "this file is UTF-16; save it as UTF-8"),
        ("a: 1\n".encode("utf-32"), "NS008", "this file is UTF-32; save it as UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0", "NS008", "this is a binary file, not text"),
        (b"a: 1\n" * (MAX_BYTES // 2), "NS007", "the file is larger than 1 MiB"),
        (b"", "NS009", "the file is empty"),
    ],
)
def test_file_contents(tmp_path: Path, data: bytes, code: str, message: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(data)
    found = cannot_load(path)
    assert (found.code, found.message) == (code, message)


def test_not_utf8_points_at_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("a: 1\nname: Jos\u00e9 x\n".encode("latin-1"))
    found = cannot_load(path)
    assert at(found.span) == (2, 10, 2, 11)
    assert found.label == "byte 0xE9 is no UTF-8"


def test_missing_file_suggests_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "sd15.yaml").write_text("a: 1")
    for name in ("sd51.yaml", "sd15", "sd15.yml"):
        assert cannot_load(tmp_path / name).help == (f"did you mean `{tmp_path / 'sd15.yaml'}`?",)
    assert "folder" in cannot_load(tmp_path / "no" / "x.yaml").help[0]


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "a pipe" in cannot_load(tmp_path / "pipe").message
    assert "a directory" in cannot_load(tmp_path).message
    assert "a device" in cannot_load("/dev/zero").message
    assert "not a file name" in cannot_load("a\0b").message
    assert cannot_load("x" * 5000).code == "NS010"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").touch(mode=0)
    assert "permission denied" in cannot_load(tmp_path / "a.yaml").message


# --set


def test_values_of_arguments_point_at_the_argument() -> None:
    source = argument_source(["unet.mid=none", "unet.levels=[64, {channels: 128}]", "name="])
    assert parse_value(source, 1, 10)[0] == "none"
    value, places = parse_value(source, 2, 13)
    assert value == [64, {"channels": 128}]
    assert {path: at(place.value) for path, place in places.items()} == {
        (): (2, 13, 2, 34),
        (0,): (2, 14, 2, 16),
        (1,): (2, 18, 2, 33),
        (1, "channels"): (2, 29, 2, 32),
    }
    assert {place.origin for place in places.values()} == {"--set"}
    value, places = parse_value(source, 3, 6)
    assert value is None
    assert at(places[()].value) == (3, 6, 3, 6)


@pytest.mark.parametrize("text", ["---", "...", "%x y", "# no", "a\nb"])
def test_odd_arguments_are_values_or_findings(text: str) -> None:
    source = argument_source([f"key={text}"])
    try:
        parse_value(source, 1, 5)
    except DocumentError as error:
        assert at(error.diagnostics[0].span)[:2] == (1, 5)


def test_findings_in_arguments() -> None:
    source = argument_source(["a=1", "b={c: 1, c: 2}"])
    with pytest.raises(DocumentError) as caught:
        parse_value(source, 2, 3)
    assert "--> --set:2:10" in render(caught.value.diagnostics)


# any text, any data


def parse_or_none(text: str) -> object:
    try:
        return parse_scalar(text)
    except NetspecError:
        return None


keys = st.text(max_size=60).filter(lambda text: isinstance(parse_or_none(text), str) and text != "<<")
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text().filter(lambda text: isinstance(parse_or_none(text), str)),
    lambda inner: st.lists(inner) | st.dictionaries(keys, inner),
    max_leaves=10,
)


@given(st.dictionaries(keys, plain))
def test_plain_data_round_trips(data: dict[str, Any]) -> None:
    document = loads(yaml.safe_dump(data))
    assert document.data == data
    assert () in document.places


YAMLISH = st.text(
    st.sampled_from(list("ab1:-?[]{},&*!|>'\"%@`#<.~ \n\t\r\\\x85\u2028é\U0001f600\x00\x1b")), max_size=80
)


@given(st.text() | YAMLISH, st.integers(1, 60))
def test_any_text_is_a_document_or_explained(text: str, width: int) -> None:
    try:
        document = loads(text)
    except NetspecError as error:
        assert error.diagnostics
        for span in [finding.span for finding in error.diagnostics]:
            assert span is not None and span.line >= 1 and span.column >= 1
        for form in ("text", "concise", "json", "github", "sarif"):
            assert render(error.diagnostics, form, width=width)
    else:
        assert type(document.data) is dict
        for place in document.places.values():
            span = place.value
            assert (span.line, span.column) <= (span.end_line, span.end_column)
            assert span.end_column <= len(document.source.lines[span.end_line - 1]) + 1


@given(st.binary() | st.binary(max_size=4).map(lambda data: b"a: " + data))
def test_any_bytes_are_a_document_or_explained(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    try:
        load(path)
    except NetspecError as error:
        assert render(error.diagnostics)


# hostile texts

HOSTILE = {
    "brackets": '"[" * MIB',
    "sequences": '"- " * (MIB // 2)',
    "flow mappings": '"{a: " * (MIB // 4)',
    "complex keys": '"? " * (MIB // 2)',
    "nested lines": '"".join(" " * i + "a:\\n" for i in range(1400))',
    "many keys": '"".join(f"k{i}: 1\\n" for i in range(85_000))',
    "many items": '"a: [" + "1," * 520_000 + "]"',
    "deep items": '"a: " + "[" * 62 + "1," * 49_000 + "]" * 62',
    "one word": '"a: " + "x" * (MIB - 4)',
    "one number": '"a: " + "1" * (MIB - 4)',
    "one decimal": '"a: " + "1" * 500_000 + "." + "1" * 500_000',
    "one key": '"? " + "k" * 1_000_000 + "\\n: 1"',
    "duplicates": '"a: 1\\n" * 200_000',
    "duplicates of a line": '"{" + "a: 1, " * 170_000 + "}"',
    "tag directives": '"".join(f"%TAG !a{i}! x\\n" for i in range(60_000)) + "---\\na: 1"',
    "late tag directives": '"a: 1\\n...\\n" + "".join(f"%TAG !a{i}! x\\n" for i in range(60_000))',
    "documents": '"---\\n" * 250_000',
    "comments": '"#\\n" * 500_000',
    "anchors": '"".join(f"a{i}: &a{i} x\\n" for i in range(60_000))',
    "aliases": '"a: [" + "*a," * 300_000 + "]"',
    "controls": '"a: " + "\\x01\\x02" * 500_000',
    "folded": '"a: >\\n" + "\\n" * 1_000_000',
    "combining": '"a: \'" + chr(0x301) * 500_000',
    "too big": '"a" * (MIB + 1)',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_texts_cost_little(text: str) -> None:
    program = f"""
        import resource, time
        resource.setrlimit(resource.RLIMIT_AS, (300 << 20, 300 << 20))
        from netspec.document import loads
        from netspec.errors import NetspecError
        from netspec.render import render
        MIB = 2**20
        text = {text}
        began = time.process_time()
        try:
            loads(text)
        except NetspecError as error:
            assert len(render(error.diagnostics)) < 30_000
        assert time.process_time() - began < 1, time.process_time() - began
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr


def test_two_thousand_lines_load_quickly() -> None:
    rows = "".join(f"    - {{channels: {i}, transformer: 1}}   # row\n" for i in range(2000))
    text = f"unet:\n  levels:\n{rows}"
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        loads(text)
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.1  # 0.035 when idle; the margin is for a busy machine
