"""render(): the exact text of every listing in the language's description, and the formats for machines."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netspec.errors import Diagnostic, Label, Source, Span
from netspec.render import render

MARK = re.compile(r"⟦(.*?)⟧")


def spec(name: str, **lines: str) -> tuple[Source, list[Span]]:
    """A source from its numbered lines (`l12="…"`), and the spans of what stands in ⟦ ⟧, in file order."""
    numbered = {int(number[1:]): line for number, line in lines.items()}
    texts = [numbered.get(number, "") for number in range(1, max(numbered) + 1)]
    source = Source(name, "\n".join(text.replace("⟦", "").replace("⟧", "") for text in texts))
    spans = []
    for number, text in enumerate(texts, 1):
        for index, match in enumerate(MARK.finditer(text)):
            column = match.start() - 2 * index + 1
            spans.append(Span(source, number, column, number, column + len(match[1])))
    return source, spans


def lines(text: str) -> list[str]:
    return text.strip("\n").split("\n")


def typo() -> list[Diagnostic]:
    _, [key, heads] = spec(
        "01_typo.yaml", l25="  ⟦block_per_level⟧: 2", l26="  transformer: {⟦num_head⟧: 8, context: text}"
    )
    return [
        Diagnostic("NS101", "unknown key `block_per_level`", key, "did you mean `blocks_per_level`?"),
        Diagnostic("NS101", "unknown key `num_head`", heads, "did you mean `num_heads`?"),
    ]


TYPO = """
error[NS101]: unknown key `block_per_level`
  --> 01_typo.yaml:25:3
   |
25 |   block_per_level: 2
   |   ^^^^^^^^^^^^^^^ did you mean `blocks_per_level`?

error[NS101]: unknown key `num_head`
  --> 01_typo.yaml:26:17
   |
26 |   transformer: {num_head: 8, context: text}
   |                 ^^^^^^^^ did you mean `num_heads`?

01_typo.yaml: 2 errors
"""


def synonym() -> list[Diagnostic]:
    _, [layers, heads, context] = spec(
        "02_synonym.yaml",
        l25="  ⟦layers_per_block⟧: 2",
        l26="  transformer: {⟦attention_head_dim⟧: 8, context: text, ⟦cross_attention_dim⟧: 768}",
    )
    writes = "netspec writes this as "
    inner = "not a key of `unet.transformer`"
    return [
        Diagnostic(
            "NS101",
            "unknown key `layers_per_block`",
            layers,
            "not a key of `unet`",
            help=(writes + "blocks_per_level",),
        ),
        Diagnostic(
            "NS101",
            "unknown key `attention_head_dim`",
            heads,
            inner,
            help=(writes + "num_heads or head_dim (in diffusers' SD 1.x config this number is the head COUNT)",),
        ),
        Diagnostic(
            "NS101",
            "unknown key `cross_attention_dim`",
            context,
            inner,
            help=(writes + "the last size of the context input (inputs.<name>)",),
        ),
    ]


SYNONYM = """
error[NS101]: unknown key `layers_per_block`
  --> 02_synonym.yaml:25:3
   |
25 |   layers_per_block: 2
   |   ^^^^^^^^^^^^^^^^ not a key of `unet`
   = help: netspec writes this as blocks_per_level

error[NS101]: unknown key `attention_head_dim`
  --> 02_synonym.yaml:26:17
   |
26 |   transformer: {attention_head_dim: 8, context: text, cross_attention_dim: 768}
   |                 ^^^^^^^^^^^^^^^^^^ not a key of `unet.transformer`
   = help: netspec writes this as num_heads or head_dim (in diffusers' SD 1.x config this number is the head COUNT)

error[NS101]: unknown key `cross_attention_dim`
  --> 02_synonym.yaml:26:55
   |
26 |   transformer: {attention_head_dim: 8, context: text, cross_attention_dim: 768}
   |                                                       ^^^^^^^^^^^^^^^^^^^ not a key of `unet.transformer`
   = help: netspec writes this as the last size of the context input (inputs.<name>)

02_synonym.yaml: 3 errors
"""


def heads() -> Diagnostic:
    _, [level, number] = spec(
        "03_heads.yaml",
        l20="    - {channels: ⟦320⟧,  transformer: 1}",
        l26="  transformer: {num_heads: ⟦12⟧, context: text}",
    )
    return Diagnostic(
        "NS302",
        "320 channels do not split into 12 heads",
        number,
        "320 / 12 = 26.6667",
        labels=(Label(level, "this level"),),
        notes=("same for 640, 1280",),
        help=("values that fit every level: 4, 5, 8, 10, 16, 20, 32, 40, 64, 80",),
        path="unet.transformer.num_heads",
    )


HEADS = """
error[NS302]: 320 channels do not split into 12 heads
  --> 03_heads.yaml:26:28
   |
20 |     - {channels: 320,  transformer: 1}
   |                  --- this level
  ...
26 |   transformer: {num_heads: 12, context: text}
   |                            ^^ 320 / 12 = 26.6667
   = note: same for 640, 1280
   = help: values that fit every level: 4, 5, 8, 10, 16, 20, 32, 40, 64, 80

03_heads.yaml: 1 error
"""


def size() -> Diagnostic:
    _, [opt] = spec("04_size.yaml", l12="  height: {min: 32, opt: ⟦60⟧, max: 128}")
    return Diagnostic(
        "NS301",
        "height = 60 cannot be halved 3 times",
        opt,
        "must be a multiple of 8 (2^3: 4 levels)",
        help=("nearest valid: 56 or 64",),
    )


SIZE = """
error[NS301]: height = 60 cannot be halved 3 times
  --> 04_size.yaml:12:26
   |
12 |   height: {min: 32, opt: 60, max: 128}
   |                          ^^ must be a multiple of 8 (2^3: 4 levels)
   = help: nearest valid: 56 or 64

04_size.yaml: 1 error
"""


def duplicate() -> Diagnostic:
    _, [first, second] = spec("06_dup.yaml", l24="  ⟦mid⟧: {transformer: 1}", l26="  ⟦mid⟧: {transformer: 2}")
    return Diagnostic(
        "NS002",
        "duplicate key `mid`",
        second,
        "given a second time here",
        labels=(Label(first, "first given here"),),
    )


DUPLICATE = """
error[NS002]: duplicate key `mid`
  --> 06_dup.yaml:26:3
   |
24 |   mid: {transformer: 1}
   |   --- first given here
  ...
26 |   mid: {transformer: 2}
   |   ^^^ given a second time here

06_dup.yaml: 1 error
"""


def unet_out() -> Diagnostic:
    _, [last] = spec("08_unet_out.yaml", l6="output:  [batch, 2, ⟦572⟧, 572]")
    return Diagnostic(
        "NS304",
        "output is 388x388, the spec says 572x572",
        last,
        "valid convolutions give 388",
        notes=("572 -> 568 -> 284 -> 280 -> 140 -> 136 -> 68 -> 64 -> 32 -> 28 -> 52 -> 100 -> 196 -> 388",),
    )


UNET_OUT = """
error[NS304]: output is 388x388, the spec says 572x572
 --> 08_unet_out.yaml:6:21
  |
6 | output:  [batch, 2, 572, 572]
  |                     ^^^ valid convolutions give 388
  = note: 572 -> 568 -> 284 -> 280 -> 140 -> 136 -> 68 -> 64 -> 32 -> 28 -> 52 -> 100 -> 196 -> 388

08_unet_out.yaml: 1 error
"""


def grid() -> Diagnostic:
    _, [width, positions] = spec(
        "10_grid.yaml",
        l14="  width:  {min: 64, opt: 128, max: ⟦512⟧}",
        l29="  pos_embed: {type: sincos, grid: ⟦192⟧, crop: center}",
    )
    return Diagnostic(
        "NS305",
        "width up to 512 needs 256 positions",
        width,
        "position grid is 192",
        labels=(Label(positions, "grid"),),
    )


GRID = """
error[NS305]: width up to 512 needs 256 positions
  --> 10_grid.yaml:14:36
   |
14 |   width:  {min: 64, opt: 128, max: 512}
   |                                    ^^^ position grid is 192
  ...
29 |   pos_embed: {type: sincos, grid: 192, crop: center}
   |                                   --- grid

10_grid.yaml: 1 error
"""


def expect() -> Diagnostic:
    _, [params] = spec("11_expect.yaml", l28="expect: {params: ⟦859520964⟧}")
    return Diagnostic(
        "NS401",
        "the network has 1,033,325,764 parameters, the spec expects 859,520,964",
        params,
        "off by +173,804,800",
        help=("run `netspec diff --against-git HEAD` to see what changed, or update the number",),
    )


EXPECT = """
error[NS401]: the network has 1,033,325,764 parameters, the spec expects 859,520,964
  --> 11_expect.yaml:28:18
   |
28 | expect: {params: 859520964}
   |                  ^^^^^^^^^ off by +173,804,800
   = help: run `netspec diff --against-git HEAD` to see what changed, or update the number

11_expect.yaml: 1 error
"""


def tag() -> Diagnostic:
    _, [value] = spec("14_tag.yaml", l2='name: ⟦!!python/object/apply:os.system ["id"]⟧')
    return Diagnostic(
        "NS004",
        "tag `tag:yaml.org,2002:python/object/apply:os.system` is not allowed",
        value,
        "a spec is data, it cannot construct objects",
    )


TAG = """
error[NS004]: tag `tag:yaml.org,2002:python/object/apply:os.system` is not allowed
 --> 14_tag.yaml:2:7
  |
2 | name: !!python/object/apply:os.system ["id"]
  |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ a spec is data, it cannot construct objects

14_tag.yaml: 1 error
"""

LISTINGS = {
    "typo": (typo(), TYPO),
    "synonym": (synonym(), SYNONYM),
    "heads": ([heads()], HEADS),
    "size": ([size()], SIZE),
    "duplicate": ([duplicate()], DUPLICATE),
    "unet_out": ([unet_out()], UNET_OUT),
    "grid": ([grid()], GRID),
    "expect": ([expect()], EXPECT),
    "tag": ([tag()], TAG),
}


@pytest.mark.parametrize(("found", "text"), LISTINGS.values(), ids=LISTINGS.keys())
def test_listings(found: list[Diagnostic], text: str) -> None:
    assert render(found) == text.removeprefix("\n")


@pytest.mark.parametrize(("found", "text"), LISTINGS.values(), ids=LISTINGS.keys())
def test_color_adds_nothing_but_color(found: list[Diagnostic], text: str) -> None:
    colored = render(found, color=True)
    assert "\x1b[" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == text.removeprefix("\n")


def one(line: str, start: int, end: int, **more: object) -> Diagnostic:
    """A finding in the one line of a source, from column `start` to `end`."""
    return Diagnostic("NS101", "wrong", Span(Source("a.yaml", line), 1, start, 1, end), **more)  # type: ignore[arg-type]


def body(diagnostic: Diagnostic, width: int | None = None) -> list[str]:
    """What stands between the header and the sum."""
    return lines(render([diagnostic], width=width))[3:-2]


def test_nothing_to_say() -> None:
    assert render([]) == ""
    assert json.loads(render([], "json")) == {"diagnostics": []}
    assert json.loads(render([], "sarif"))["runs"][0]["results"] == []


def test_two_labels_on_one_line_stand_one_below_the_other() -> None:
    _, [heads_span, width] = spec("a.yaml", l1="{num_heads: ⟦12⟧, head_dim: ⟦64⟧}")
    found = Diagnostic("NS302", "wrong", width, "this", labels=(Label(heads_span, "and this"),))
    assert body(found) == [
        "1 | {num_heads: 12, head_dim: 64}",
        "  |             -- and this",
        "  |                           ^^ this",
    ]


def test_a_place_in_another_file() -> None:
    _, [key] = spec("child.yaml", l3="⟦depth⟧: 5")
    _, [base] = spec("base.yaml", l120="  ⟦num_heads⟧: 7")
    found = Diagnostic("NS302", "wrong", key, "here", labels=(Label(base, "comes from here"),))
    assert lines(render([found])) == [
        "error[NS302]: wrong",
        "   --> child.yaml:3:1",
        "    |",
        "  3 | depth: 5",
        "    | ^^^^^ here",
        "    |",
        "   ::: base.yaml:120:3",
        "    |",
        "120 |   num_heads: 7",
        "    |   --------- comes from here",
        "",
        "child.yaml: 1 error",
    ]


def test_neighbouring_lines_have_no_dots() -> None:
    _, [first, second] = spec("a.yaml", l1="⟦a⟧: 1", l2="⟦a⟧: 2")
    assert " ..." not in body(Diagnostic("NS002", "wrong", second, labels=(Label(first, "x"),)))


def test_without_a_place_and_for_a_whole_file() -> None:
    whole = Source("gone.yaml", "")
    found = [
        Diagnostic("NS010", "no such file", Span(whole, 1, 1, 1, 1), help=("did you mean `x.yaml`?",)),
        Diagnostic("NS501", "cannot export", notes=("one", "two")),
    ]
    assert lines(render(found)) == [
        "error[NS010]: no such file",
        " --> gone.yaml",
        "  = help: did you mean `x.yaml`?",
        "",
        "error[NS501]: cannot export",
        "  = note: one",
        "  = note: two",
        "",
        "gone.yaml: 1 error",
        "1 error",
    ]
    assert lines(render(found, "concise")) == [
        "gone.yaml: error[NS010]: no such file (did you mean `x.yaml`?)",
        "error[NS501]: cannot export",
    ]


def test_warnings_are_counted_apart() -> None:
    warning = one("a: 1", 1, 2, level="warning")
    text = render([warning, heads(), warning, replace(heads(), level="warning")])
    assert text.startswith("warning[NS101]: wrong\n")
    assert text.endswith("\n\na.yaml: 2 warnings\n03_heads.yaml: 1 error, 1 warning\n")


@pytest.mark.parametrize(
    ("line", "start", "end", "shown", "carets"),
    [
        ("\tkey: 1", 2, 5, "    key: 1", "    ^^^"),
        ("ab\tkey: 1", 4, 7, "ab  key: 1", "    ^^^"),
        ("\tkey", 1, 2, "    key", "^^^^"),
        ("模型: 值", 5, 6, "模型: 值", "      ^^"),
        ("e\u0301: \U0001f600 x", 7, 8, "e\u0301: \U0001f600 x", "      ^"),
        ("a\x1b[31mb: 1", 7, 8, "a␛[31mb: 1", "      ^"),
        ("a\x7f\x9b\u202eb", 5, 6, "a␡\ufffd\ufffdb", "    ^"),
        ("key:", 5, 5, "key:", "    ^"),
        ("key: 1   ", 9, 20, "key: 1", "        ^"),
    ],
)
def test_carets_are_aligned_and_lines_harmless(line: str, start: int, end: int, shown: str, carets: str) -> None:
    assert body(one(line, start, end)) == [f"1 | {shown}", f"  | {carets}"]


def test_messages_are_harmless() -> None:
    found = replace(one("a: 1", 1, 2, label="\x1b[2J", help=("\x07",)), message="key `\x1b]0;x\x07`\n\u202e")
    text = render([found]) + render([found], "concise") + render([found], "sarif") + render([found], "github")
    assert not set(text) & set("\x1b\x07\u202e")
    assert "key `␛]0;x␇`" in text


def test_a_span_of_several_lines_is_underlined_on_its_first() -> None:
    source = Source("a.yaml", "x:\n  levels:   \n    - 1\n")
    assert body(Diagnostic("NS101", "wrong", Span(source, 2, 3, 3, 8), "here")) == [
        "2 |   levels:",
        "  |   ^^^^^^^ here",
    ]


def test_a_long_line_is_cut_around_each_place() -> None:
    line = f"{'a' * 100}KEY{'b' * 200}OTHER{'c' * 100}"
    source = Source("a.yaml", line)
    found = Diagnostic(
        "NS101", "wrong", Span(source, 1, 101, 1, 104), "one", labels=(Label(Span(source, 1, 304, 1, 309), "two"),)
    )
    assert body(found, 40) == [
        f"1 | …{'a' * 12}KEY{'b' * 19}…",
        "  |              ^^^ one",
        f"1 | …{'b' * 12}OTHER{'c' * 17}…",
        "  |              ----- two",
    ]


def test_notes_and_help_wrap_only_to_a_given_width() -> None:
    found = one("a: 1", 1, 2, help=("values that fit every level: 4, 5, 8, 10, 16, 20",))
    assert body(found)[-1] == "  = help: values that fit every level: 4, 5, 8, 10, 16, 20"
    assert body(found, 40)[-2:] == ["  = help: values that fit every level:", "          4, 5, 8, 10, 16, 20"]


def test_a_line_of_a_million_characters() -> None:
    began = time.perf_counter()
    for character in ("x", "\u0301", "模", "\t"):
        source = Source("a.yaml", character * 1_000_000)
        text = render([Diagnostic("NS101", "wrong", Span(source, 1, i, 1, i + 5)) for i in (1, 500_000, 1_000_000)])
        assert len(text) < 5000
    assert time.perf_counter() - began < 1


@given(st.text(), st.integers(1, 40), st.integers(0, 40), st.integers(1, 3), st.integers(1, 50), st.booleans())
def test_any_line_and_any_span(text: str, column: int, length: int, line: int, width: int, color: bool) -> None:
    span = Span(Source("a.yaml", text), line, column, line, column + length)
    assert render(
        [Diagnostic("NS101", text, span, text, (Label(span, text),), (text,), (text,))], color=color, width=width
    )


# for machines


def test_concise() -> None:
    assert lines(render([*typo()[:1], heads()], "concise")) == [
        "01_typo.yaml:25:3: error[NS101]: unknown key `block_per_level` (did you mean `blocks_per_level`?)",
        "03_heads.yaml:26:28: error[NS302]: 320 channels do not split into 12 heads (320 / 12 = 26.6667; "
        "values that fit every level: 4, 5, 8, 10, 16, 20, 32, 40, 64, 80)",
    ]


def test_json() -> None:
    [found] = json.loads(render([heads()], "json"))["diagnostics"]
    place = {"file": "03_heads.yaml", "line": 26, "column": 28, "end_line": 26, "end_column": 30}
    second = {"file": "03_heads.yaml", "line": 20, "column": 18, "end_line": 20, "end_column": 21}
    assert found == {
        "code": "NS302",
        "level": "error",
        "message": "320 channels do not split into 12 heads",
        "path": "unet.transformer.num_heads",
        **place,
        "label": "320 / 12 = 26.6667",
        "labels": [{**second, "text": "this level"}],
        "notes": ["same for 640, 1280"],
        "help": ["values that fit every level: 4, 5, 8, 10, 16, 20, 32, 40, 64, 80"],
    }
    [nowhere] = json.loads(render([Diagnostic("NS501", "wrong")], "json"))["diagnostics"]
    assert nowhere["file"] is None and nowhere["line"] is None


def test_github_escapes() -> None:
    source = Source("a,b:c.yaml", "x: 100%")
    found = Diagnostic("NS101", "100%\nwrong", Span(source, 1, 4, 1, 8), "here", help=("a: b, c",), level="warning")
    assert render([found], "github") == (
        "::warning file=a%2Cb%3Ac.yaml,line=1,col=4,endLine=1,endColumn=8,title=NS101::"
        "100%25%0Awrong%0Ahere%0Ahelp: a: b, c\n"
    )
    several = replace(found, span=Span(source, 1, 4, 2, 1))
    assert "line=1,endLine=2,title" in render([several], "github")
    argument = replace(found, span=Span(Source("--set", "a=1"), 1, 1, 1, 2))
    assert render([argument], "github").startswith("::warning title=NS101::")


def test_sarif() -> None:
    log = json.loads(render([heads(), *typo(), Diagnostic("NS501", "wrong", level="warning")], "sarif"))
    assert log["version"] == "2.1.0"
    assert "sarif-2.1.0" in log["$schema"]
    [run] = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["NS101", "NS302", "NS501"]
    assert all(rule["help"]["text"] and rule["shortDescription"]["text"] for rule in rules)
    assert run["columnKind"] == "unicodeCodePoints"
    assert [rules[result["ruleIndex"]]["id"] for result in run["results"]] == [r["ruleId"] for r in run["results"]]
    assert [result["level"] for result in run["results"]] == ["error", "error", "error", "warning"]
    first = run["results"][0]
    [place] = first["locations"]
    assert place["physicalLocation"] == {
        "artifactLocation": {"uri": "03_heads.yaml"},
        "region": {"startLine": 26, "startColumn": 28, "endLine": 26, "endColumn": 30},
    }
    assert place["logicalLocations"] == [{"fullyQualifiedName": "unet.transformer.num_heads"}]
    [related] = first["relatedLocations"]
    assert related["message"] == {"text": "this level"}
    assert related["physicalLocation"]["region"]["startLine"] == 20
    assert "help: values that fit every level" in first["message"]["text"]
    assert "locations" not in run["results"][-1]


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("specs/a b.yaml", "specs/a%20b.yaml"),
        ("<string>", "%3Cstring%3E"),
        ("/x/a.yaml", "file:///x/a.yaml"),
        ("specs\\a.yaml", "specs/a.yaml"),
    ],
)
def test_sarif_names_are_uris(name: str, uri: str) -> None:
    found = Diagnostic("NS101", "wrong", Span(Source(name, "a"), 1, 1, 1, 2))
    [result] = json.loads(render([found], "sarif"))["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri
