"""Lints: every rule fires on one file and not on its neighbour, shipped specs are clean, and allows allow.

`lints/NS801/fires.yaml` has its output in `fires.txt`. After a change of words: `pytest --regen tests/test_lints.py`,
and read the diff as a user would.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from netspec import api, cli, document, explanations, graph, lints
from netspec import spec as specs
from netspec.attention import Heads
from netspec.document import comments
from netspec.errors import RegistrationError
from netspec.fields import Param
from netspec.lints.facts import attending, scores
from netspec.lints.large_attention import LargeAttention
from netspec.lints.rule import HEADINGS
from netspec.lints.small_groups import SmallGroups
from netspec.origins import origins
from netspec.registry import declared

ROOT = Path(__file__).parent.parent
FOLDER = Path(__file__).parent / "lints"
OF_ALLOWS = {"NS890", "NS891", "NS892"}
CODES = sorted({*lints.rules(), *OF_ALLOWS})
SHIPPED = sorted([*(ROOT / "specs").rglob("*.yaml"), ROOT / "examples" / "quickstart.yaml"])

each = pytest.mark.parametrize("code", CODES)
Run = Callable[..., tuple[str, str, int]]

NET = """netspec: 1
name: net
inputs: {x: [batch, 3, 64, 64], t: [batch]}
output: [batch, 3, 64, 64]
dims: {batch: {min: 1, opt: 2, max: 8}}
conditioning: {t: {embed: sinusoidal, dim: 128}}
unet:
  levels: [128, 256, {channels: 256, attention: full}, 256]
  attention: {head_dim: 64}
  narrow: upsample
"""
ADDED = "  skip: {per: level, merge: add}\n"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("check", "a.yaml")`: what the command prints on both streams, and its exit code."""

    def call(*arguments: str) -> tuple[str, str, int]:
        monkeypatch.setattr(sys, "argv", ["netspec", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return printed.out, printed.err, int(stopped.value.code or 0)

    return call


def told(text: str, tmp_path: Path) -> list[str]:
    """The codes of a spec's findings."""
    path = tmp_path / "net.yaml"
    path.write_text(text, encoding="utf-8")
    return [found.code for found in api.check(path)]


def test_every_rule_has_its_files() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == CODES
    for code in CODES:
        assert sorted(path.name for path in (FOLDER / code).iterdir()) == ["fires.txt", "fires.yaml", "quiet.yaml"]


@each
def test_fires(code: str, run: Run, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.chdir(FOLDER / code)
    text, _, status = run("check", "fires.yaml")
    golden = Path("fires.txt")
    if request.config.getoption("--regen"):
        golden.write_text(text, encoding="utf-8")
    assert golden.read_text(encoding="utf-8") == text
    assert status == 0
    assert set(re.findall(r"^warning\[(NS\d{3})\]", text, re.MULTILINE)) == {code}
    assert "error[" not in text


@each
def test_is_quiet(code: str) -> None:
    assert api.check(FOLDER / code / "quiet.yaml") == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_specs_have_no_findings(path: Path) -> None:
    """Nor an allow that is without a reason or without need: those are findings, too."""
    assert api.check(path) == []


def test_groups_that_are_advised_fit() -> None:
    """Of 66 channels 16 groups would have four each, and are no network."""
    text = NET.replace("[128, 256, {channels: 256, attention: full}, 256]", "[66, 132]")
    text += "  mid: none\n  block: {norm: {groups: 22}}\n  head: {norm: {groups: 11}}\n"
    (found,) = lints.weigh(api.lower(api.loads(text)), [SmallGroups()]).warnings
    assert found.help[0].startswith("set `unet.block.norm.groups` to 11")


@pytest.mark.parametrize(
    ("precision", "count"),
    [
        ("{default: fp16, fp16: ['*']}", 1),
        ("{default: fp16, fp16: ['*'], fp32: [embed_t, head]}", 0),
        ("{default: fp16, fp32: [embed_t, head], fp16: ['*']}", 1),  # later entries win
        ("{default: fp16, int8: [embed_t]}", 0),  # no layer that 8 bits could have
        ("{default: fp16, int8: [head]}", 1),
    ],
)
def test_what_is_half_in_the_end(precision: str, count: int) -> None:
    text = f"{NET}targets: {{gpu: {{exporter: onnx, precision: {precision}}}}}\n"
    assert [each.code for each in lints.check(api.lower(api.loads(text)))] == ["NS819"] * count


def test_a_side_without_a_word_is_a_side() -> None:
    text = NET.replace("[batch, 3, 64, 64]", "[batch, 3, 64, 60]").replace("full}, 256]", "full}]")
    (found,) = [each for each in lints.check(api.lower(api.loads(text))) if each.code == "NS820"]
    assert found.message == "a side of `x` is 60 at `opt`, which no network is trained at"
    assert found.path == "inputs.x"


def test_reasons_survive_resolution() -> None:
    spec = api.load("unet/sd15")
    assert spec.allow == {"NS807": "eight heads at every width, as published"}
    again = api.loads(specs.text(spec))
    assert again == spec
    assert api.warnings(again) == []
    assert "NS807" in [found.code for found, _ in lints.weigh(api.lower(again)).allowed]


@pytest.mark.parametrize("rule", lints.rules().values(), ids=lambda rule: rule.code)
def test_a_rule_explains_itself(rule: type[lints.Lint]) -> None:
    page = explanations.page(rule.code.lower())
    assert page.startswith(f"# {rule.code}: {rule.title()}\n\n## What it does\n\n")
    assert tuple(re.findall(r"^## (.*)$", page, re.MULTILINE)) == HEADINGS
    sections = re.split(r"^## .*$", page, flags=re.MULTILINE)[1:]
    assert all(section.strip() for section in sections)
    assert re.search(r"arXiv:\d{4}\.\d{5}|doi:|NVIDIA", sections[1]), "no source"
    assert re.findall(r"^```(\w*)$", sections[2], re.MULTILINE) == ["yaml", ""]
    assert len(page.splitlines()[0]) < 80
    assert max(map(len, page.splitlines())) <= 120
    assert f"{rule.code}: {rule.title()}\n" in explanations.index()


def test_thresholds_name_their_source() -> None:
    fields = [field for rule in lints.rules().values() for field in declared(rule).values()]
    assert len(fields) > 20
    assert all(isinstance(field.param, Param) and field.default is not None for field in fields)


def test_a_rule_is_one_file_called_after_what_it_finds() -> None:
    homes = [rule.__module__ for rule in lints.rules().values()]
    assert len(set(homes)) == len(homes)
    assert list(lints.rules()) == sorted(lints.rules())


def test_a_code_belongs_to_one_rule() -> None:
    with pytest.raises(RegistrationError, match="two rules have the code NS801"):
        type("Another", (lints.Lint,), {"__doc__": "Another."}, code="NS801")


def test_thresholds_can_be_others() -> None:
    plan = api.lower(api.loads(NET))
    assert lints.check(plan) == []
    (found,) = lints.weigh(plan, [LargeAttention(positions=255)]).warnings
    assert found.code == "NS804"
    assert "256 positions" in found.message


def test_the_cost_of_attention_is_that_of_the_plan() -> None:
    """The message's GFLOPs and bytes, by hand: two products of 256 x 256 x 256 for each of two images."""
    (found,) = lints.weigh(api.lower(api.loads(NET)), [LargeAttention(positions=255)]).warnings
    stored, work = found.notes
    flops = 2 * (2 * 256 * 256 * 256) * 2
    assert stored.startswith(f"4 x 256 x 256 scores: {4 * 256 * 256 * 2 / 1000:.3g} KB a sample")
    assert work.startswith(f"each such attention is {flops / 1e9:.1f} of the network's ")


@pytest.mark.parametrize("name", ["unet", "dit", "cross_dit", "mmdit", "parallel_dit", "sizes_unet", "autoencoder"])
def test_scores_are_those_that_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads, queries and keys of every attention, as torch sees them; on `meta`, which computes shapes alone."""
    ran: list[tuple[int, int, int, int]] = []

    def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
        ran.append((heads, q.shape[2] // heads, q.shape[1], k.shape[1]))
        return v[:, :1].expand(-1, q.shape[1], -1)

    plan = api.lower(api.load(f"tiny/{name}"))
    model = graph.build(plan, device="meta").eval()
    for node in plan:
        if isinstance(node.component, Heads):
            module = model.get_submodule(node.name)
            shapes = [[size.opt for size in type_.shape] for type_ in node.types]
            monkeypatch.setattr("netspec.ops.attention", attend)
            node.component.forward(module, *(torch.empty(shape, device="meta") for shape in shapes))
    told = [(each.heads, each.head_dim, each.queries, each.keys) for _, each in scores(plan)]
    assert sorted(told) == sorted(ran)
    assert told


class TestAllows:
    """What a comment allows, and where it stands."""

    def test_nothing(self, tmp_path: Path) -> None:
        assert told(NET, tmp_path) == []
        assert told(NET + ADDED, tmp_path) == ["NS817"]

    @pytest.mark.parametrize(
        "lines",
        [
            "  skip: {per: level, merge: add}   # netspec: allow NS817: half the memory\n",
            "  skip: {per: level, merge: add} #netspec:allow NS817: a colon: and a # belong to the reason\n",
            "  skip: {per: level, merge: add}   # a sum  # netspec: allow NS817: half the memory\n",
            "  # netspec: allow NS817: half the memory\n  skip: {per: level, merge: add}\n",
            "  # netspec: allow NS817: half the memory\n  # more words\n\n  skip: {per: level, merge: add}\n",
            "  skip: {per: level,\n    merge: add   # netspec: allow NS817: half the memory\n  }\n",
            "  skip: {per: level,\n    # netspec: allow NS817: half the memory\n    merge: add}\n",
            "  skip:\n    per: level\n    merge: add   # netspec: allow NS817: half the memory\n",
            "lints: {allow: {NS817: half the memory}}\n" + ADDED,
        ],
    )
    def test_what_is_said_so(self, lines: str, tmp_path: Path) -> None:
        head, rest = ("", lines) if lines.startswith(" ") else (lines.partition("\n")[0] + "\n", ADDED)
        assert told(head + NET + rest, tmp_path) == []

    def test_several_codes(self, tmp_path: Path) -> None:
        wide = NET.replace("[128, 256, {channels: 256, attention: full}, 256]", "[128, 1536]")
        assert sorted(told(wide, tmp_path)) == ["NS806", "NS810", "NS812"]
        line = "  # netspec: allow NS806, NS810,NS812: all on one line\n  levels:"
        assert told(wide.replace("  levels:", line), tmp_path) == []

    @pytest.mark.parametrize(
        ("comment", "code"),
        [
            ("# netspec: allow NS817", "NS890"),
            ("# netspec: allow NS817:", "NS890"),
            ("# netspec: allow ns817: lower case", "NS891"),
            ("# netspec: allow: nothing", "NS891"),
            ("# netspec: allow NS302: an error", "NS891"),
        ],
    )
    def test_what_is_wrong_with_it(self, comment: str, code: str, tmp_path: Path) -> None:
        assert code in told(f"{NET}  skip: {{per: level, merge: add}}   {comment}\n", tmp_path)

    def test_an_error_is_not_taken_for_a_lint_of_a_similar_code(self) -> None:
        (found,) = lints.check(api.lower(api.loads(f"{NET}  # netspec: allow NS302: an error\n")))
        assert found.label == "an error cannot be allowed"

    def test_only_its_own_line(self, tmp_path: Path) -> None:
        other = NET.replace("  narrow: upsample\n", "  narrow: upsample   # netspec: allow NS817: on another line\n")
        assert sorted(told(other + ADDED, tmp_path)) == ["NS817", "NS892"]

    @pytest.mark.parametrize(
        "text",
        [
            'description: "a text # netspec: allow NS817: no comment"\n',
            "description: 'a text # netspec: allow NS817: no comment'\n",
            'description: "two lines\n  # netspec: allow NS817: no comment"\n',
            "description: |\n  # netspec: allow NS817: no comment\n",
            "description: a#netspec:allow NS817\n",
        ],
    )
    def test_not_inside_a_text(self, text: str) -> None:
        assert list(comments.allows(document.loads(NET + text))) == []

    def test_through_extends_and_variants(self, tmp_path: Path) -> None:
        base = f"{NET}  skip: {{per: level, merge: add}}   # netspec: allow NS817: half the memory\n"
        (tmp_path / "base.yaml").write_text(base)
        assert told("extends: base.yaml\nname: other\nunet: {blocks_per_level: 1}\n", tmp_path) == []
        undone = "extends: base.yaml\nname: other\nunet: {skip: concat}\n"
        assert told(undone, tmp_path) == []  # what a base allows without need is the base's business
        variants = "variants:\n  thin: {unet.skip: {per: level, merge: add}}\n"
        assert told(undone + variants, tmp_path) == ["NS817"]
        allowing = (
            "variants:\n  thin: {unet.skip: {per: level, merge: add}}   # netspec: allow NS817: half the memory\n"
        )
        assert told(undone + allowing, tmp_path) == []
        inherited = undone + variants + "lints: {allow: {NS817: in the variant}}\n"
        assert told(inherited, tmp_path) == []
        told(undone + allowing, tmp_path)
        assert api.load(tmp_path / "net.yaml").allow == {}
        assert api.load(tmp_path / "net.yaml", variant="thin").allow == {"NS817": "half the memory"}

    def test_a_variant_alone_cannot_tell_what_is_needed(self, tmp_path: Path) -> None:
        path = tmp_path / "net.yaml"
        path.write_text(f"{NET}lints: {{allow: {{NS817: for the other}}}}\nvariants:\n  v: {{name: v}}\n")
        assert [found.code for found in api.check(path)] == ["NS892"]
        assert api.check(path, variant="v") == []
        assert api.check(path, set={"name": "w"}) == []


def test_warnings_wait_for_errors(tmp_path: Path) -> None:
    assert told(NET + ADDED + "expect: {params: 1}\n", tmp_path) == ["NS401"]


def test_what_variants_share_is_told_once(tmp_path: Path) -> None:
    assert told(NET + ADDED + "variants: {a: {name: a}, b: {name: b}}\n", tmp_path) == ["NS817"]


def test_levels_in_every_form(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(NET + ADDED)
    for strict, level, status in (((), "warning", 0), (("--strict",), "error", 1)):
        call = ("check", "net.yaml", *strict)
        text, _, code = run(*call)
        assert text.startswith(f"{level}[NS817]") and text.endswith(f"net.yaml: 1 {level}\n")
        assert code == status
        assert f": {level}[NS817]: " in run(*call, "--format", "concise")[0]
        (found,) = json.loads(run(*call, "--format", "json")[0])["diagnostics"]
        assert (found["code"], found["level"], found["path"]) == ("NS817", level, "unet.skip.merge")
        assert run(*call, "--format", "github")[0].startswith(f"::{level} file=net.yaml")
        log = json.loads(run(*call, "--format", "sarif")[0])
        assert log["runs"][0]["results"][0]["level"] == level


def test_other_commands_say_how_many(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(NET + ADDED + "variants: {v: {name: v}}\n")
    out, err, _ = run("show", "net.yaml", "--variant", "v")
    assert err == "1 warning: `netspec check net.yaml --variant v`\n"
    assert "warning" not in out
    assert run("show", str(FOLDER / "NS801" / "quiet.yaml"))[1] == ""


def test_a_context_as_long_as_the_image_is_no_attention_to_itself() -> None:
    text = NET.replace("t: [batch]}", "t: [batch], text: [batch, 256, 64]}").replace(
        "attention: full}", "transformer: {attends: [context], context: text, head_dim: 64}}"
    )
    plan = api.lower(api.loads(text))
    assert {(each.queries, each.keys) for _, each in scores(plan)} == {(256, 256)}
    assert attending(plan) == []
    assert [found.code for found in lints.check(plan)] == ["NS806"]


def test_origins_name_the_comment() -> None:
    found = {path: source for path, _, source in origins(api.load("unet/sd15"))}
    assert found["lints.allow.NS807"].endswith("sd15.yaml:27")


def test_a_file_that_allows_everything_costs_little() -> None:
    many = "# netspec: allow " + "NS801 " * 1000 + ": much\n"
    found = list(comments.allows(document.loads(NET + many * 100)))
    assert len(found) == comments.MOST_ALLOWS
