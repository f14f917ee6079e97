"""Pictures as files: SVG, HTML, mermaid and PNG, what a browser makes of them, and `netspec plot`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from netspec import drawing
from netspec.drawing import ink, metrics, pixels, scene, style
from netspec.drawing.geometry import NARROW, WIDE, Rect
from netspec.errors import UsageError
from netspec.plan import Plan
from tests import browser
from tests.pictured import MEASURES, NAMED, faults, plan

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def sd15() -> Plan:
    return plan("unet/sd15")


# SVG


def test_svg_is_text_that_others_can_read(sd15: Plan) -> None:
    root = ElementTree.fromstring(drawing.svg(sd15))
    assert (root.get("role"), root.get("viewBox")) == ("img", f"0 0 960 {root.get('height')}")
    words = {element.text for element in root.iter(f"{SVG}text")}
    assert {"sd15-unet", "down 0", "320 × 64 × 64", "2 skips"} <= words
    titles = [element.text or "" for element in root.iter(f"{SVG}title")]
    assert titles[0] == "sd15-unet" and any("sd15.yaml:" in title and "GFLOPs" in title for title in titles)
    desc = root.find(f"{SVG}desc")
    assert desc is not None and "859,520,964 parameters" in (desc.text or "")
    assert not [element for element in root.iter() if element.tag in (f"{SVG}image", f"{SVG}use", f"{SVG}script")]


def test_two_sizes_are_enough_for_every_reader() -> None:
    assert NARROW.width == 400 and min(NARROW.small, NARROW.text, NARROW.title) >= 9


def test_a_hostile_name_is_only_text(sd15: Plan) -> None:
    name = '</title><script>alert(1)</script> & "Größe" 漢字 🎉 \u202e' + "long " * 60
    net = replace(sd15, spec=replace(sd15.spec, name=name))
    for text in (drawing.svg(net), drawing.svg(net, measure=NARROW)):
        assert "<script" not in text
        ElementTree.fromstring(text)
    assert faults(ink.picture(net, "kind", NARROW)) == []
    assert drawing.html(net).count("<script") == 1
    assert "<script" not in drawing.mermaid(net)


def test_pictures_are_equal_whoever_draws_them() -> None:
    script = (
        "import sys; from netspec import api, drawing; net = api.lower(api.load('unet/sdxl'));"
        "print(drawing.svg(net), drawing.html(net), drawing.mermaid(net));"
        "assert not {'torch', 'numpy', 'onnx'} & sys.modules.keys(), 'a picture is drawn without them'"
    )
    command = [sys.executable, "-c", script]
    made = {
        subprocess.run(command, env={"PYTHONHASHSEED": seed}, cwd=ROOT, capture_output=True, check=True).stdout
        for seed in ("1", "2")
    }
    assert len(made) == 1 and len(made.pop()) > 10_000


DRAWN = {
    "sd15": ("unet/sd15", (), WIDE), "sd15-narrow": ("unet/sd15", (), NARROW), "sdxl": ("unet/sdxl", (), WIDE),
    "unet-2015": ("unet/unet_2015", (), WIDE), "dit": ("dit/dit_xl_2", (), WIDE),
    "mm-dit": ("dit/sd3_medium", (), WIDE),
    "two-and-one-stream": ("dit/flux_dev", (), WIDE), "autoencoder": ("autoencoder/kl_f8", (), WIDE),
    "decoder": ("autoencoder/kl_f8", ("decoded",), WIDE),
}  # fmt: skip


@pytest.mark.parametrize("file", DRAWN)
def test_pictures_of_the_docs_are_fresh(file: str, request: pytest.FixtureRequest) -> None:
    name, outputs, measure = DRAWN[file]
    net = plan(name)
    text = drawing.svg(net.only(outputs) if outputs else net, measure=measure)
    path = PICTURES / f"{file}.svg"
    if request.config.getoption("--regen"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "run `make regen`"


# HTML, mermaid, PNG


class Page(HTMLParser):
    """What a page holds: ids, and attributes that name something elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name in ("src", "href", "srcset", "xlink:href"):
                self.links.append(value or "")


def test_a_page_needs_nothing_else(sd15: Plan) -> None:
    text = drawing.html(sd15)
    page = Page(text)
    assert page.links == [] and "@import" not in text and "url(" not in text
    assert all(text.count(f"<tr><td>{node.name}</td>") == 1 for node in sd15)


def test_two_pictures_can_stand_in_one_page(sd15: Plan) -> None:
    page = Page(drawing.fragment(sd15, prefix="a-") + drawing.fragment(plan("dit/dit_xl_2"), prefix="b-"))
    assert len(page.ids) == len(set(page.ids)) and all(id.startswith(("a-", "b-")) for id in page.ids)
    unframed = drawing.svg(sd15, standalone=False)
    assert "<style" not in unframed and not re.search("#[0-9a-f]{6}", unframed), "the page has the colours"


def test_mermaid_has_a_node_for_each_box_and_no_words_of_its_own(sd15: Plan) -> None:
    lines = drawing.mermaid(sd15).splitlines()
    assert lines[0] == "flowchart TD"
    assert sum("[" in line for line in lines) == len(scene.scene(sd15).boxes)
    assert '  b2["down 0<br>2 × (ResNet + Transformer ×1) ↓\u00a0conv<br>320 × 64 × 64<br>reads embed, text"]' in lines
    assert "  b2 ==> b3" in lines and "  b2 -.-> b10" in lines
    net = replace(sd15, nodes=tuple(replace(node, stage='a"]; click b0 `x` #' + node.stage) for node in sd15.nodes))
    for line in drawing.mermaid(net).splitlines()[1:]:
        assert re.fullmatch(
            r'  b\d+(\(\["[^"\[\]`;]*(#\d+;[^"\[\]`;]*)*"\]\)|\["[^"\[\]`]*"\]| (==>|-->|-\.->) b\d+)', line
        ), line


def test_png_has_text_in_it(sd15: Plan) -> None:
    pytest.importorskip("resvg_py")
    try:
        small, large = (drawing.png(sd15, scale=scale) for scale in (0.5, 1.0))
    except UsageError as error:
        if error.diagnostics[0].code == "NS948":
            pytest.skip("there is no font here to draw text with")
        raise
    assert large[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(large[16:20], "big") == 960 == 2 * int.from_bytes(small[16:20], "big")
    bare = re.sub(r"<text.*?</text>", "", drawing.svg(sd15))
    import resvg_py

    assert len(large) > 1.2 * len(bytes(resvg_py.svg_to_bytes(svg_string=bare, background="#ffffff")))


def test_png_says_what_is_missing(sd15: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("resvg_py")
    monkeypatch.setattr(pixels, "_drawn", lambda text: b"")
    with pytest.raises(UsageError, match="NS948"):
        drawing.png(sd15)
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(UsageError, match="NS947") as caught:
        drawing.png(sd15)
    assert caught.value.diagnostics[0].help == ("pip install 'netspec[png]'",)


# In a browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.started() as running:
        yield running


def test_letters_are_as_wide_as_the_table_says(chromium: Any, tmp_path: Path) -> None:
    every = "".join(map(chr, range(32, 127))) + "×·…–↓↑"
    file = tmp_path / "letters.html"
    file.write_text(f"<meta charset=utf-8><style>body {{ font-family: {style.FONT} }}</style>")
    measure = """([text, bold]) => { const pen = document.createElement("canvas").getContext("2d");
        pen.font = `${bold ? 700 : 400} 100px "Liberation Sans"`; return pen.measureText(text).width }"""
    told = """() => ["", "'Liberation Sans', "].map((font) => { const pen = document.createElement("canvas")
        .getContext("2d"); pen.font = `99px ${font}monospace`; return pen.measureText("iiWW").width })"""
    with browser.opened(chromium, file) as visit:
        if len(set(visit.page.evaluate(told))) == 1:
            pytest.skip("there is no Liberation Sans here to measure")
        for bold in (False, True):
            for letter in every:
                seen = visit.page.evaluate(measure, [letter, bold])
                assert 0 <= metrics.width(letter, 100, bold=bold) - seen + 0.1 < 6, (letter, bold)


BOXES = """() => [...document.querySelectorAll(".box")].flatMap((box) => {
  const outer = box.querySelector("rect.card, rect.pill").getBBox();
  return [...box.querySelectorAll("text")].map((text) => [text.textContent, text.getBBox(), outer]
    .map((b) => b.width === undefined ? b : [b.x, b.y, b.width, b.height]));
})"""


@pytest.mark.parametrize("name", NAMED)
def test_chromium_sees_every_text_inside_its_box(name: str, chromium: Any, tmp_path: Path) -> None:
    """In the font that the picture asks for, and where there are only wider ones."""
    for measure, font in product(MEASURES, (style.FONT, "monospace")):
        file = tmp_path / "net.svg"
        file.write_text(drawing.svg(plan(name), measure=measure).replace(style.FONT, font), encoding="utf-8")
        with browser.opened(chromium, file, width=int(measure.width)) as visit:
            found = visit.page.evaluate(BOXES)
            assert visit.complaints == [] and visit.requests == [] and len(found) > 10
        for text, inner, outer in found:
            assert Rect(*outer).holds(Rect(*inner), slack=0.5), text


def test_a_click_opens_the_stage(sd15: Plan, chromium: Any, tmp_path: Path) -> None:
    file = tmp_path / "net.html"
    file.write_text(drawing.html(sd15), encoding="utf-8")
    for width, shown, hidden in ((1280, "wide", "narrow"), (400, "narrow", "wide")):
        with browser.opened(chromium, file, width=width) as visit:
            page = visit.page
            assert page.is_visible(f".ns-{shown}") and not page.is_visible(f".ns-{hidden}")
            assert not page.is_visible("text=down_1_block_0")
            page.click(f".ns-{shown} [data-box=s3]")
            assert page.is_visible("td:text-is('down_1_block_0')")
            assert visit.overflow == 0 and visit.complaints == [] and visit.requests == []
            least = page.evaluate(
                """(shown) => Math.min(...[...document.querySelectorAll(`.ns-${shown} text`)].map(
                (text) => parseFloat(text.getAttribute("font-size")) * text.getScreenCTM().a))""",
                shown,
            )
            assert least >= 9


# The command


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    script = "from netspec.cli import main; main()"
    env = {"PYTHONPATH": str(ROOT), "PATH": ""}
    return subprocess.run([sys.executable, "-c", script, "plot", *arguments], cwd=cwd, capture_output=True, env=env)


def test_the_command_writes_what_the_name_says(tmp_path: Path) -> None:
    assert run("tiny/unet", "-o", "net.svg", "--narrow", cwd=tmp_path).returncode == 0
    assert (tmp_path / "net.svg").read_text(encoding="utf-8") == drawing.svg(plan("tiny/unet"), measure=NARROW)
    again = run("tiny/unet", "-o", "net.svg", cwd=tmp_path)
    assert again.returncode != 0 and b"NS924" in again.stderr
    done = run("tiny/autoencoder", "--only", "decoded", "--format", "mmd", cwd=tmp_path)
    net = plan("tiny/autoencoder").only(["decoded"])
    assert done.stdout.decode() == drawing.mermaid(net)
    assert b"ends in none of" in run("tiny/unet", "-o", "net.gif", cwd=tmp_path).stderr


@pytest.mark.parametrize(("option", "color"), [("--device", "time"), ("--bench", "time"), ("--target", "precision")])
def test_the_command_refuses_what_its_colour_does_not_read(option: str, color: str, tmp_path: Path) -> None:
    done = run("tiny/unet", option, "cpu", "--color", "params", cwd=tmp_path)
    assert done.returncode == 2 and f"only `--color {color}` reads it".encode() in done.stderr


@pytest.mark.parametrize(
    ("format", "option"), [("html", ("--narrow",)), ("svg", ("--scale", "3")), ("mmd", ("--color", "cost"))]
)
def test_the_command_refuses_what_its_format_does_not_read(
    format: str, option: tuple[str, ...], tmp_path: Path
) -> None:
    done = run("tiny/unet", "--format", format, *option, cwd=tmp_path)
    assert done.returncode == 2 and f"{option[0]}: {format} does not read it".encode() in done.stderr


def test_the_command_paints_times(tmp_path: Path) -> None:
    rows = [{"node": "head", "ms": 1}]
    report = {"timings": [], "nodes": [{"backend": "onnx", "rows": rows}]}
    (tmp_path / "times.json").write_text(json.dumps(report))
    done = run("tiny/unet", "--color", "time", "--bench", "times.json", cwd=tmp_path)
    assert b"share of all time measured with onnx" in done.stdout
    (tmp_path / "times.json").write_text("[]")
    done = run("tiny/unet", "--color", "time", "--bench", "times.json", cwd=tmp_path)
    assert done.returncode != 0 and b"error[NS946]" in done.stderr
