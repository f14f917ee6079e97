"""report.html: true to the manifest and the summary, well formed, safe to open, and quiet in a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from netspec import api, report
from netspec.analysis import summarise
from netspec.bundle import Manifest
from netspec.bundle.manifest import ParityRow
from netspec.compiler import Options, compile
from netspec.report import bundle as reports
from netspec.report.choices import choices
from netspec.report.help import Help
from netspec.report.notes import Finding, Notes
from netspec.report.page import Axis
from tests import browser
from tests.reports import HOSTILE, Parsed, hostile_page, page_of, parsed

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SPECS = Path(__file__).parent.parent / "specs"
TINY = SPECS / "tiny" / "mmdit.yaml"


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network for ONNX in three precisions and for TensorRT."""
    targets = {
        "onnx": {"exporter": "onnx"},
        "few": {"exporter": "onnx", "precision": "int8"},
        "gpu": {"exporter": "tensorrt", "precision": "bf16"},
    }
    out = tmp_path_factory.mktemp("several") / "out"
    return compile(api.load(TINY, set={"targets": targets}), out, Options()).folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.started() as started:
        yield started


# --- what it says ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["unet", "dit"])
def test_numbers_are_those_of_the_summary_and_the_manifest(bundles: dict[str, Path], name: str) -> None:
    folder = bundles[name]
    page, manifest = parsed(folder), Manifest.read(folder)
    plan = api.lower(api.load(folder / "spec.yaml"))
    head = page.words("")
    assert head.startswith(f"{plan.spec.name} ·")
    assert f"{manifest.params:,}" in head
    assert manifest.spec_sha256[:12] in head and plan.sha256[:12] in head
    assert f"proof {len(manifest.parity)} of {len(manifest.parity)} comparisons with PyTorch hold" in head
    for tool in ("netspec", "torch", "onnx"):
        assert f"{tool} {manifest.tools[tool]}" in head
    stages = page.words("stages")
    for row in summarise(plan).rows:
        assert f"{row.stage} {row.blocks}" in stages
        assert f"{row.cost.params:,}" in stages
    assert f"total {plan.cost.params:,}" in stages
    targets = page.words("targets")
    for path in ("model.onnx", "model.safetensors"):
        entry = manifest.files[path]
        assert f"{path} {entry.bytes:,} {entry.sha256[:12]}" in targets
    proof = page.words("parity")
    for each in manifest.parity:
        step = f"{each.timestep:g}"
        assert f"{step} {each.max_abs:.1e} {each.max_rel:.1e} {each.tolerance:.0e} ok" in proof
    for port in manifest.inputs:
        sizes = ", ".join(map(str, port.shape))
        assert f"{port.name} input" in page.words("contract") and f"[{sizes}]" in page.words("contract")


def test_every_target_has_its_own_proof(several: Path) -> None:
    page, manifest = parsed(several), Manifest.read(several)
    gates = json.loads((several / "gpu" / "gate.json").read_text())["gates"]
    assert len(gates) == 2
    for gate in gates:
        assert f"{gate['target']} takes this graph" in page.words("targets")
    few = json.loads((several / "few" / "quantization.json").read_text())
    kept = sum(bool(layer["why"]) for layer in few["layers"].values())
    assert f"{len(few['layers']) - kept} layers in few bits, {kept} kept in float" in page.words("quantisation")
    silent = max(few["outputs"].values()) >= 200  # the last layer starts at zero
    assert ("∞ is an output without noise" in page.words("quantisation")) == silent
    proof = page.words("parity")
    assert "gpu bf16 7 of 7" in proof and "gpu fp32 twin 7 of 7" in proof and "few int8 7 of 7" in proof
    assert f"proof {len(manifest.parity)} of {len(manifest.parity)}" in page.words("")
    assert (several / "gpu" / "precision.txt").read_text().split()[0] in page.words("targets")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (Options(weights="none"), "No weights were bound, so nothing was run."),
        (Options(parity=False), "Parity was switched off for this build."),
    ],
)
def test_what_was_not_done_is_a_sentence(tmp_path: Path, options: Options, told: str) -> None:
    folder = compile(api.load(SPECS / "tiny" / "unet.yaml"), tmp_path / "out", options).folder
    page = parsed(folder)
    assert page.words("parity") == f"Parity {told}"
    assert f"proof not run {told}" in page.words("")
    assert "quantisation" not in page.texts and "latency" not in page.texts
    assert ("--weights none" in page.words("repeat")) == (options.weights == "none")
    assert "hashes and structure again" in page.words("repeat")


def test_a_failed_comparison_is_no_proof(bundles: dict[str, Path]) -> None:
    folder = bundles["dit"]
    manifest = Manifest.read(folder)
    wrong = replace(manifest.parity[0], max_rel=float("inf"), passed=False)
    built = report.Built(replace(manifest, parity=(wrong, *manifest.parity[1:])), folder)
    plan, notes = reports.source(folder, manifest)
    page = Parsed(report.html(plan, notes, built))
    total = len(manifest.parity)
    assert f"proof {total - 1} of {total} comparisons" in page.words("")
    assert "inf 1e-04 failed" in page.words("parity")
    assert "value good" not in report.html(plan, notes, built)


def test_choices_are_all_there_with_their_origins_and_help() -> None:
    spec = api.load(SPECS / "tiny" / "unet.yaml")
    lines = {line.path: line for line in choices(spec, Notes.of(api.lower(spec)).origins)}
    norm = lines["unet.block.norm"]
    assert (norm.key, norm.value, norm.written) == ("norm", "group", True)
    assert "group: Mean and variance over each group of channels" in norm.help
    groups = lines["unet.block.norm.groups"]
    assert (groups.value, groups.source, groups.depth) == ("8", "unet.yaml:30", 3)
    eps = lines["unet.block.norm.eps"]
    assert (eps.source, eps.written) == ("default", False) and eps.help
    assert lines["dims.height"].value == "min 8 · opt 16 · max 40"
    assert lines["unet.levels[1]"].written and not lines["unet.levels[0].attention"].written
    without = {path for path, line in lines.items() if not line.help}
    assert without <= {path for path in lines if path.startswith("targets.")}, without


def test_help_follows_conditions() -> None:
    schema = {
        "properties": {"a": {"$ref": "#/$defs/a", "description": "the key"}},
        "$defs": {
            "a": {
                "allOf": [
                    {"if": {"type": "string"}, "then": {"enum": ["x"], "enumDescriptions": ["an x"]}},
                    {"if": {"type": "object"}, "then": {"properties": {"b": {"description": "inside"}}}},
                ]
            }
        },
    }
    reader = Help(schema)
    inside = reader.child(reader.top({"a": {"b": 1}}), "a", {"b": 1})
    assert [form.get("description") for form in reader.child(inside, "b", 1)] == ["inside"]
    assert not reader.child(reader.child(reader.top({"a": "x"}), "a", "x"), "b", 1)


def test_comments_beside_inputs_are_their_meaning() -> None:
    notes = Notes.of(api.lower(api.load(SPECS / "tiny" / "unet.yaml")))
    assert notes.meanings["x"] == "noisy latent"
    assert notes.meanings["output"] == "predicted noise"
    flow = (SPECS / "tiny" / "unet.yaml").read_text().replace("# noisy latent", "# netspec: allow NS801: no meaning")
    assert "x" not in Notes.of(api.lower(api.loads(flow))).meanings


def test_findings_are_shown_as_in_a_terminal() -> None:
    text = "\x1b[1;33mwarning[NS801]\x1b[0m\x1b[1m: a <b>\x1b[0m\n \x1b[1;34m-->\x1b[0m net.yaml:3:1"
    finding = Finding("NS801", "warning", text)
    page = page_of((SPECS / "tiny" / "unet.yaml").read_text(), lambda notes: replace(notes, findings=(finding,)))
    assert '<span class="warning">warning[NS801]</span><b>: a &lt;b&gt;</b>\n <span class="gutter">' in page
    assert "netspec explain NS801" in Parsed(page).words("findings")
    assert '<a href="#findings">Findings (1)</a>' in page


def test_a_lint_has_its_caret_and_no_folder() -> None:
    spec = (SPECS / "tiny" / "unet.yaml").read_text().replace("norm: {groups: 8}", "norm: batch", 1)
    notes = Notes.of(api.lower(api.loads(spec, name="somewhere/net.yaml")))
    assert notes.findings, "batch norm in a denoiser is told"
    assert all("net.yaml:" in each.text and "somewhere" not in each.text for each in notes.findings)
    assert any("^" in each.text for each in notes.findings)


def test_the_scale_holds_whatever_is_measured() -> None:
    row = ParityRow({}, None, "fp32", 0.0, 0.0, 1e-4, True)
    for rows in ([], [row], [replace(row, max_rel=float("inf"))], [replace(row, max_rel=3e-9, tolerance=0.5)]):
        axis = Axis.of(rows)
        assert axis.low < axis.high
        places = [axis.at(value) for value in (0.0, 1e-30, 1e-5, 1.0, 1e9, float("inf"))]
        assert places == sorted(places) and places[0] >= 4 and places[-1] == 172


# --- the file --------------------------------------------------------------------------------------------------------


def test_a_page_with_every_section_is_written_again(several: Path) -> None:
    assert reports.page(several) == (several / reports.FILE).read_text(encoding="utf-8")


@pytest.mark.parametrize("spec", ["tiny/unet", "tiny/mmdit", "tiny/autoencoder", "tiny/tied_unet", "unet/unet_2015"])
def test_pages_are_sound_html_and_ask_for_nothing(spec: str) -> None:
    plan = api.lower(api.load(spec))
    page = report.html(plan, Notes.of(plan))
    made = Parsed(page)
    assert len(made.ids) == len(set(made.ids)), "an id twice"
    assert {link for link in made.links if link.startswith("#")} == set(made.links), "a link that leaves the page"
    assert {link.removeprefix("#") for link in made.links} <= set(made.ids), "a link to nothing"
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org/)", page)
    assert all(f'id="node-{node.name}"' in page for node in plan)


def test_hostile_names_are_only_text() -> None:
    page = hostile_page()
    assert HOSTILE not in page
    made = Parsed(page)
    assert len(made.scripts) == 3, "two of data and our own"
    assert HOSTILE in made.words("") and HOSTILE in made.words("findings") and HOSTILE in made.words("latency")
    assert Notes.read(page).meanings["y"] == "</script><!--"


# --- in a browser ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_a_page_is_quiet_and_fits(chromium: Browser, several: Path, width: int, scheme: Any) -> None:
    with browser.opened(chromium, several / reports.FILE, width=width, scheme=scheme) as visit:
        assert (visit.complaints, visit.requests) == ([], [])
        visit.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        visit.page.check("#all")
        assert visit.overflow == 0
        assert visit.page.locator("section").count() == len(visit.page.locator("nav a").all()) == 9
        shown = visit.page.locator("svg:visible").first.bounding_box()
        assert shown is not None and shown["width"] > 300
        assert (visit.complaints, visit.requests) == ([], [])


def test_stages_open_and_sort(chromium: Browser, bundles: dict[str, Path]) -> None:
    with browser.opened(chromium, bundles["unet"] / reports.FILE) as visit:
        page = visit.page
        node = page.locator("#node-down_0_block_0")
        assert not node.is_visible()
        page.click(".stage:has(#node-down_0_block_0) summary")
        assert node.is_visible()
        page.click("th[data-by=numbers] button")
        numbers = page.locator(".stage tr:first-child td:nth-child(3)")
        counts = [int(each.replace(",", "")) for each in numbers.all_inner_texts()]
        assert counts == sorted(counts, reverse=True) and len(counts) > 5
        assert node.is_visible(), "nodes move with their stage"
        page.click("th[data-by=numbers] button")
        assert page.locator("th[aria-sort=ascending]").count() == 1
        assert numbers.all_inner_texts() == [f"{count:,}" for count in reversed(counts)]
        assert page.locator("table.stages > tfoot").count() == 1
        assert (visit.complaints, visit.requests) == ([], [])


def test_keys_explain_themselves_by_keyboard(chromium: Browser, bundles: dict[str, Path]) -> None:
    with browser.opened(chromium, bundles["unet"] / reports.FILE, width=400) as visit:
        silent = visit.page.locator(".choices .silent").first
        assert not silent.is_visible()
        visit.page.focus("#all")
        visit.page.keyboard.press("Space")
        assert silent.is_visible()
        visit.page.focus(".choices summary >> nth=5")
        visit.page.keyboard.press("Enter")
        assert visit.page.locator(".choices details[open] p").is_visible()


def test_a_box_of_the_picture_leads_to_its_nodes(chromium: Browser, bundles: dict[str, Path]) -> None:
    with browser.opened(chromium, bundles["unet"] / reports.FILE) as visit:
        names = json.loads(visit.page.locator("#boxes").text_content() or "")
        box, node = next(iter(names.items()))
        visit.page.locator(f".wide [data-box='{box}']").first.click()
        assert visit.page.locator(f"#node-{node}").is_visible()
        assert visit.complaints == []


def test_it_reads_without_scripts_and_in_print(chromium: Browser, bundles: dict[str, Path]) -> None:
    path = bundles["unet"] / reports.FILE
    with browser.opened(chromium, path, scripts=False) as visit:
        visit.page.click(".stage:has(#node-down_0_block_0) summary")
        assert visit.page.locator("#node-down_0_block_0").is_visible()
    with browser.opened(chromium, path, scheme="dark", media="print") as visit:
        assert not visit.page.locator("nav").is_visible()
        ground = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == "rgb(255, 255, 255)", "paper is white"


def test_hostile_names_stay_names_in_a_browser(chromium: Browser, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(hostile_page(), encoding="utf-8")
    with browser.opened(chromium, tmp_path / "page.html", width=400) as visit:
        said: list[str] = []
        visit.page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        visit.page.reload()
        assert visit.page.locator("h1").inner_text() == HOSTILE
        assert (said, visit.complaints, visit.requests) == ([], [], [])
        assert visit.overflow == 0
