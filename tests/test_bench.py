"""`netspec bench`: fair turns, honest figures, time told by nodes, its words and pictures. No test asserts a time."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest
from typer.testing import CliRunner

from exporters.onnx.engine import OrtEngine
from netspec import api, compiler, parity, proof
from netspec.bench import figures, nodes, plot, race, sizes
from netspec.bench.backends import Absent, backends
from netspec.bench.engine import Kernel, Profile
from netspec.bench.measure import Options, measure
from netspec.bench.process import WorkerError
from netspec.bench.report import Report
from netspec.cli import app
from netspec.errors import UsageError, WeightsError
from netspec.planner.points import pinned
from netspec.report import measured

ROOT = Path(__file__).parent.parent
TINY = ROOT / "specs" / "tiny"


@pytest.fixture(scope="module")
def report(bundles: dict[str, Path]) -> Report:
    """A DiT in two sizes, the larger one named first."""
    options = Options(("onnx", "torch"), ("opt", "batch=1,height=8,width=8"), rounds=3, threads=1, per_node=True)
    return measure(bundles["dit"], options)


@pytest.fixture(scope="module")
def plan() -> api.Plan:
    """The DiT's, as written."""
    return api.lower(api.load(TINY / "dit.yaml"))


def test_every_backend_is_timed_at_every_size(report: Report) -> None:
    found = [(timing.backend, dict(timing.sizes)) for timing in report.timings]
    small, large = {"batch": 1, "height": 8, "width": 8}, {"batch": 2, "height": 16, "width": 12}
    assert found == [(name, size) for size in (small, large) for name in ("torch", "onnx")]
    assert report.absent == ()
    for timing in report.timings:
        assert (timing.base, timing.rounds, timing.precision) == ("torch", 3, "fp32")
        assert 0 < timing.median <= timing.p90
        assert timing.throughput == timing.sizes["batch"] / timing.median
        assert timing.runs >= 3 and timing.load > 0 and timing.first > 0
        assert timing.ratio.low <= timing.ratio.high
        assert timing.peak_bytes > 10e6, "less than Python itself takes"
        if timing.backend == "torch":
            assert timing.ratio == figures.Ratio(1, 1, 1)
    assert "process" in report.memory_by


def test_a_report_reads_what_was_measured(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(report.data()))
    read = measured.read(path, report.name)
    assert [each.median for each in read.timings] == [1e3 * timing.median for timing in report.timings]
    assert [[row.share for row in each.rows] for each in read.tables] == [
        [row.share for row in each.rows] for each in report.tables
    ]


NUMBER, NAMES = {"type": "number"}, {"type": "array", "items": {"type": "string"}}
COUNT, WORD = {"type": "integer", "minimum": 1}, {"type": "string", "minLength": 1}
SIZES = {"type": "object", "additionalProperties": COUNT}


def whole(**properties: object) -> dict[str, object]:
    """An object with exactly these."""
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def rows(**properties: object) -> dict[str, object]:
    return {"type": "array", "items": whole(**properties)}


SCHEMA = whole(
    name=WORD,
    environment=whole(
        cpu=WORD, features=NAMES, processors=COUNT, threads=COUNT, load={"type": ["number", "null"]}, system=WORD,
        versions={"type": "object", "additionalProperties": WORD},
    ),
    memory_by=WORD,
    timings=rows(
        backend=WORD, precision=WORD, outputs=NAMES, sizes=SIZES, median_ms=NUMBER, p90_ms=NUMBER,
        samples_per_second=NUMBER, ratio=whole(to=WORD, value=NUMBER, low=NUMBER, high=NUMBER), peak_bytes=COUNT,
        load_s=NUMBER, first_s=NUMBER, rounds=COUNT, runs=COUNT,
    ),
    not_run=rows(backend=WORD, outputs=NAMES, sizes=SIZES, reason=WORD),
    nodes=rows(
        backend=WORD, outputs=NAMES, sizes=SIZES, runs=COUNT, total_ms=NUMBER,
        rows=rows(
            node=WORD, place={"type": "string"}, ms=NUMBER, share=NUMBER,
            gflops_per_second={"type": ["number", "null"]}, operations={"type": "integer"},
        ),
    ),
)  # fmt: skip


def test_json_is_as_documented(report: Report) -> None:
    absent = Absent("edge", "it takes height 32, not 64", (), {"height": 64})
    data = json.loads(json.dumps(replace(report, absent=(absent,)).data(), allow_nan=False))
    jsonschema.validate(data, SCHEMA)
    assert data["timings"][0]["median_ms"] == 1e3 * report.timings[0].median
    assert data["nodes"] and data["environment"]["threads"] == 1
    assert "torch" in data["environment"]["versions"]


# Time by nodes of the plan


def test_rows_add_up_to_the_run(report: Report, bundles: dict[str, Path]) -> None:
    plan = api.lower(compiler.read_spec(bundles["dit"]))
    assert [table.backend for table in report.tables] == ["onnx", "onnx"], "PyTorch has no profile"
    for table in report.tables:
        assert sum(row.seconds for row in table.rows) == pytest.approx(table.seconds)
        assert sum(row.share for row in table.rows) == pytest.approx(1)
        spent = [row.seconds for row in table.rows]
        assert spent == sorted(spent, reverse=True)
        known = {row.node: row for row in table.rows if row.node != nodes.BETWEEN}
        assert set(known) <= set(plan.by_name), "what ONNX Runtime fused belongs to a node as well"
        assert {node.name for node in plan if node.cost.macs} <= set(known)
        assert all(row.seconds > 0 and row.kernels > 0 for row in known.values())


def test_a_row_names_the_line_of_the_users_spec(report: Report, plan: api.Plan) -> None:
    places = {row.node: row.place for row in report.tables[0].rows if row.node != nodes.BETWEEN}
    assert places == {name: plan.by_name[name].origin.source for name in places}
    assert places["block_0"].startswith("dit.yaml:")


def test_speed_is_of_the_sizes_that_ran(report: Report, bundles: dict[str, Path]) -> None:
    spec = compiler.read_spec(bundles["dit"])
    for table in report.tables:
        plan = api.lower(pinned(spec, table.sizes))
        (row,) = (row for row in table.rows if row.node == "block_1")
        assert row.speed == pytest.approx(2 * plan.by_name["block_1"].cost.macs / row.seconds)


def test_reordered_memory_belongs_to_the_node_that_needs_it(bundles: dict[str, Path]) -> None:
    plan = api.lower(compiler.read_spec(bundles["unet"]))
    env = {name: dim.min for name, dim in plan.spec.dims.items()}
    profile = OrtEngine(bundles["unet"] / "model.onnx", 1).profile(parity.inputs_at(plan, env), runs=2)
    owners = {node.name: node.name for node in plan} | {name: value.node for name, value in plan.outputs.items()}
    lost = [kernel for kernel in profile.kernels if nodes.owner(kernel, owners) not in plan.by_name]
    assert lost == []
    assert any(nodes.owner(kernel, owners) == "head" for kernel in profile.kernels if kernel.op == "Conv")
    assert 0 < sum(kernel.seconds for kernel in profile.kernels) <= profile.seconds
    assert list(bundles["unet"].glob("onnxruntime*")) == []


def test_what_belongs_to_no_node_keeps_its_own_row(plan: api.Plan) -> None:
    kernels = [
        Kernel("Conv", 0.5, ("stray_0", "block_0/conv")),
        Kernel("Reorder", 0.2, ("Reorder_7", "t")),
        Kernel("Reorder", 0.1, ("Reorder_8",)),
        Kernel("Gemm", 0.1, ("block_0.linear",)),
    ]
    found = nodes.attributed(Profile(kernels, 1.0, {"block_0": "net.yaml:7"}), plan)
    told = [(row.node, row.place, round(row.seconds, 9), row.kernels) for row in found]
    assert told == [("block_0", "net.yaml:7", 0.6, 2), ("(Reorder)", "", 0.3, 2), (nodes.BETWEEN, "", 0.1, 0)]


# Figures


def test_a_ratio_is_of_medians_drawn_by_rounds() -> None:
    noise = np.random.default_rng(1).uniform(1, 3, 40)  # the machine's, met by both
    slow, fast = [[2 * x, 2 * x] for x in noise], [[x] for x in noise]
    found = figures.ratio(slow, fast)
    assert (found.value, found.low, found.high) == pytest.approx((2, 2, 2))
    other = figures.ratio([[x] for x in np.roll(noise, 7)], fast)
    assert other.low < 1 < other.high, "noise that they did not share makes it uncertain"
    assert figures.quantile([[1, 2], [3, 4, 5]], 0.5) == 3


class Scripted:
    """A worker whose runs take what it is told, and which fails at some run."""

    def __init__(self, name: str, log: list[str], fails: int = -1) -> None:
        self.name, self.log, self.left = name, log, fails

    def run(self, calls: int, warm: int = 0) -> list[float]:
        self.left -= 1
        if self.left == 0:
            raise WorkerError("out of memory")
        self.log.append(self.name)
        return [1.0] * calls


def test_turns_are_in_random_order_and_who_fails_drops_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "SETTLE", 0)
    log: list[str] = []
    runners = {
        name: race.Runner(Scripted(name, log, fails), 0, typical=1)  # type: ignore[arg-type]
        for name, fails in (("a", -1), ("b", -1), ("c", 3))
    }
    turns, failed = race.race(runners, rounds=20)
    assert failed == {"c": "out of memory"}
    assert {name: len(own) for name, own in turns.items()} == {"a": 20, "b": 20}
    rounds = [tuple(log[:3]), tuple(log[3:6]), *zip(log[6::2], log[7::2], strict=True)]
    assert all(sorted(order) in (["a", "b", "c"], ["a", "b"]) for order in rounds)
    assert {("a", "b"), ("b", "a")} <= set(rounds)


def test_a_race_without_time_still_has_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "SETTLE", 0)
    turns, _ = race.race({"a": race.Runner(Scripted("a", []), 0, typical=0.05)}, seconds=0)  # type: ignore[arg-type]
    assert turns == {"a": [[1.0, 1.0]] * race.FEWEST}, "a quick network runs several times in a turn"


# Who takes part


def test_a_broken_target_is_named_and_the_rest_is_timed(bundles: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundles["dit"], tmp_path / "bundle"))
    (folder / "model.onnx").write_bytes(b"no graph")
    found = measure(folder, Options(("torch", "onnx"), ("min",), rounds=1, threads=1))
    assert [timing.backend for timing in found.timings] == ["torch"]
    (absent,) = found.absent
    assert absent.name == "onnx" and "model.onnx" in absent.reason and "\n" not in absent.reason


TARGETS = """
targets:
  whole: {exporter: onnx}
  edge: {exporter: onnx, dims: {batch: 1, height: 8, width: {min: 8, opt: 8, max: 16}}}
"""


def test_a_target_of_its_own_sizes_takes_no_others(tmp_path: Path) -> None:
    text = (TINY / "dit.yaml").read_text(encoding="utf-8") + TARGETS
    spec = api.loads(text, name="net.yaml")
    made = compiler.compile(spec, tmp_path / "out", compiler.Options(parity=False))
    found, absent = backends(made.folder, made.manifest, made.plan, ())
    assert [each.name for each in found] == ["torch", "torch.compile", "whole", "edge"] and absent == []
    edge = found[-1]
    assert edge.refuses({"batch": 1, "height": 8, "width": 16}) == ""
    assert edge.refuses({"batch": 1, "height": 16, "width": 8}) == "it takes height 8, not height 16"
    assert edge.refuses({"batch": 1, "height": 8, "width": 24}) == "it takes width 8 to 16, not width 24"
    assert edge.weights < 2 * found[0].weights


def test_outputs_are_compared_with_the_same_part_of_pytorch(tmp_path: Path) -> None:
    options = compiler.Options(parity=False, targets=("encoder", "decoder"))
    made = compiler.compile(api.load(TINY / "autoencoder.yaml"), tmp_path / "out", options)
    found = measure(made.folder, Options(("torch", "encoder", "decoder"), ("min",), rounds=1, threads=1))
    assert found.absent == ()
    timed = [(timing.outputs, timing.backend) for timing in found.timings]
    assert timed == [
        (("moments",), "torch"), (("moments",), "encoder"), (("decoded",), "torch"), (("decoded",), "decoder"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (Options(("onx",)), "NS720", "did you mean `onnx`?"),
        (Options(sizes=("opd",)), "NS721", "did you mean `opt`?"),
        (Options(sizes=("heigth=8",)), "NS721", "did you mean `height`?"),
        (Options(sizes=("height=many",)), "NS721", "write `height=16`"),
        (Options(sizes=("height=64",)), "NS721", "`height` is 8 to 32"),
        (Options(sizes=("height=9",)), "NS721", "`height` has to be a multiple of 2"),
    ],
)
def test_what_a_bundle_has_not_is_refused(bundles: dict[str, Path], options: Options, code: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        measure(bundles["dit"], options)
    (found,) = caught.value.diagnostics
    assert found.code == code and told in found.help


def test_a_bundle_without_weights_or_memory_is_refused(
    bundles: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler.compile(api.load(TINY / "dit.yaml"), tmp_path / "out", compiler.Options(weights="none"))
    with pytest.raises(UsageError) as caught:
        measure(tmp_path / "out", Options())
    assert caught.value.diagnostics[0].code == "NS722"
    with pytest.raises(WeightsError, match="NS614"):
        measure(tmp_path, Options())
    monkeypatch.setattr(proof, "available", lambda: 500_000)
    with pytest.raises(UsageError) as caught:
        measure(bundles["dit"], Options(("torch", "onnx")))
    assert caught.value.diagnostics[0].code == "NS723"


def test_sizes_are_by_name_or_by_word(plan: api.Plan) -> None:
    assert sizes.parse(plan, "max") == {"batch": 4, "height": 32, "width": 24}
    assert sizes.parse(plan, "width=8,batch=1") == {"batch": 1, "height": 16, "width": 8}


# Text and picture


def test_the_command_prints_everything(
    report: Report, bundles: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = Absent("edge", "it takes height 32, not height 64", ("decoded",), {"height": 64})
    monkeypatch.setattr("netspec.bench.measure.measure", lambda *given: replace(report, absent=(absent,)))
    picture = tmp_path / "out.svg"
    command = ["bench", str(bundles["dit"]), "--plot", str(picture)]
    printed = CliRunner().invoke(app, command).output
    assert "edge decoded at height 64: not run: it takes height 32, not height 64" in printed
    assert "tiny-dit at batch 2, height 16, width 12" in printed
    assert "dit.yaml:" in printed and "block_1" in printed and "whole run" in printed
    assert "…" not in printed, "a column was cut"
    ElementTree.fromstring(picture.read_text(encoding="utf-8"))
    again = CliRunner().invoke(app, command)
    assert isinstance(again.exception, UsageError) and again.exception.diagnostics[0].code == "NS924"
    data = json.loads(CliRunner().invoke(app, [*command[:2], "--format", "json"]).stdout)
    jsonschema.validate(data, SCHEMA)
    monkeypatch.setattr("netspec.bench.measure.measure", lambda *given: replace(report, timings=(), tables=()))
    assert CliRunner().invoke(app, command[:2]).exit_code == 1, "nothing could run"


def test_the_picture_says_what_the_table_says(report: Report) -> None:
    odd = replace(report, timings=(*report.timings[:1], replace(report.timings[1], backend="a<b>&c")))
    root = ElementTree.fromstring(plot.svg(odd))
    space = "{http://www.w3.org/2000/svg}"
    texts = [text.text for text in root.iter(f"{space}text")]
    assert "torch, fp32" in texts and "a<b>&c, fp32" in texts
    assert "tiny-dit at batch 1, height 8, width 8" in texts
    assert any(text.endswith(f"{report.timings[1].ratio.value:.2f}x") for text in texts if text)
    bars = [float(bar.attrib["width"]) for bar in root.iter(f"{space}rect")]
    first, second = (timing.median for timing in odd.timings)
    assert bars[0] / bars[1] == pytest.approx(first / second, rel=0.1)  # drawn to a tenth of a point
    assert len(list(root.iter(f"{space}path"))) == 2, "a whisker each"
    (style,) = root.iter(f"{space}style")
    assert style.text is not None and "prefers-color-scheme: dark" in style.text
    right = float(root.attrib["width"])
    assert all(float(text.attrib["x"]) < right for text in root.iter(f"{space}text"))
