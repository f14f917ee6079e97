"""netspec sweep: every point has the figures that `netspec show` gives it, and the front is the front."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import browser
import pytest

from netspec import api, cli
from netspec.analysis import roofline
from netspec.errors import DocumentError, UsageError
from netspec.sweep import Outcome, grid, outcome, plot, run, table
from netspec.sweep import front as fronts
from netspec.sweep.costing import Point

ROOT = Path(__file__).parent.parent
QUICK = str(ROOT / "examples" / "quickstart.yaml")
AXES = ["unet.base_channels=32,64,96", "unet.blocks_per_level=1,2", "unet.attention.head_dim=32,64,96"]
Run = Callable[..., tuple[str, str, int]]


@pytest.fixture(scope="module")
def swept() -> Outcome:
    made, roof = grid(QUICK, AXES), roofline.roof("l4")
    return outcome(made, roof, run(made, roof))


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def called(*arguments: str) -> tuple[str, str, int]:
        monkeypatch.setattr(sys, "argv", ["netspec", "sweep", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return printed.out, printed.err, int(stopped.value.code or 0)

    return called


def test_every_point_is_what_show_says(swept: Outcome) -> None:
    assert len(swept.grid) == 18
    assert len(swept.points) + swept.refused == 18
    paths = [axis.path for axis in swept.grid.axes]
    for point in swept.points:
        chosen = [f"{path}={word}" for path, word in zip(paths, swept.grid.words(point.index), strict=True)]
        summary = api.summary(api.load(QUICK, set=chosen))
        assert (point.params, point.macs) == (summary.plan.cost.params, summary.plan.cost.macs)
        assert point.alive == summary.activation_bytes()
        assert point.gflops == summary.gflops
        assert point.seconds == roofline.roof("l4").seconds(summary.plan)


def test_points_that_are_no_network_are_told_once_for_each_cause(swept: Outcome) -> None:
    (cause,) = swept.causes
    assert (cause.code, cause.count) == ("NS302", swept.refused)
    head = [words[2] for words in map(swept.grid.words, range(18))]
    assert swept.refused == sum(
        int(swept.grid.words(index)[0]) * 2 % int(head[index]) != 0 for index in range(18)
    )  # attention stands at twice the base width
    assert f"{cause.count} refused: NS302" in table.text(swept)


def test_variants_are_an_axis() -> None:
    made, roof = grid("dit/dit_xl_2", ["dit.depth=2,3"], ["b-2,s-2"]), roofline.roof("cpu")
    assert [made.words(index) for index in range(len(made))] == [
        ("b-2", "2"), ("b-2", "3"), ("s-2", "2"), ("s-2", "3"),
    ]  # fmt: skip
    points = run(made, roof)
    spec = api.load("dit/dit_xl_2", variant="s-2", set={"dit.depth": 3})
    assert isinstance(points[3], Point)
    assert points[3].params == api.lower(spec).cost.params


@pytest.mark.parametrize(("text", "values"), [
    ("unet.base_channels=64,96,128", ["64", "96", "128"]),
    ("unet.base_channels=64", ["64"]),
    ("unet.base_channels= 64 , 96 ", ["64", "96"]),
    ("unet.base_channels=64,64", ["64"]),
    ("unet.levels=[64, 128],[32, 64, 128]", ["[64, 128]", "[32, 64, 128]"]),
    ("unet.levels=[64, 128]", ["[64, 128]"]),
    ("unet.block={type: conv, act: relu},resnet", ["{type: conv, act: relu}", "resnet"]),
    ("description='a, b',c", ["'a, b'", "c"]),
    ("unet.levels=[[64], [128]]", ["[[64], [128]]"]),
    ("a.b=層,é", ["層", "é"]),
])  # fmt: skip
def test_values_are_a_list_without_brackets(text: str, values: list[str]) -> None:
    (axis,) = grid(QUICK, [text]).axes
    assert list(axis.values) == values


@pytest.mark.parametrize(("text", "words"), [
    ("unet.base_channels", "has no `=`"),
    ("unet.base_channels=", "has no value"),
    ("unet.base_channels= ", "has no value"),
])  # fmt: skip
def test_axes_without_values(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        grid(QUICK, [text])


def test_a_path_is_one_axis() -> None:
    with pytest.raises(UsageError, match=r"two axes are called `unet\.base_channels`"):
        grid(QUICK, ["unet.base_channels=64,96", "unet.base_channels=128"])


@pytest.mark.parametrize("text", ["a=[1,2", "a=1],[2", "a={b: 1", "a='x", "a=!!python/name:os.system", "a=&x 1,*x"])
def test_values_that_are_no_list(text: str) -> None:
    with pytest.raises(DocumentError):
        grid(QUICK, [text])


def test_a_grid_beyond_reason() -> None:
    numbers = ",".join(map(str, range(1, 102)))
    with pytest.raises(UsageError, match="1,030,301 points"):
        grid(QUICK, [f"unet.{key}={numbers}" for key in ("base_channels", "blocks_per_level", "mid.blocks")])


def test_the_front_is_that_of_brute_force() -> None:
    random = Random(0)
    for count in (0, 1, 2, 40, 200):
        small = [
            Point(i, random.randint(1, 12), random.randint(1, 12), random.randint(1, 12), random.randint(1, 12))
            for i in range(count)
        ]
        for less, more in ((["ms"], ["params"]), (["ms", "activations"], ["params"]), (["params", "gflops"], []),
                           (["gflops"], ["params", "activations"])):  # fmt: skip
            assert fronts.front(small, less, more) == {
                p.index for p in small if not any(_beats(q, p, less, more) for q in small)
            }


def _beats(q: Point, p: Point, less: list[str], more: list[str]) -> bool:
    down = [(fronts.FIGURES[name](q), fronts.FIGURES[name](p)) for name in less]
    up = [(fronts.FIGURES[name](p), fronts.FIGURES[name](q)) for name in more]
    pairs = down + up
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def test_order_and_budgets(swept: Outcome) -> None:
    times = [point.seconds for point in swept.points]
    assert times == sorted(times)
    everything = run(swept.grid, swept.roof)
    bound = fronts.budget("params<=3M")
    small = outcome(swept.grid, swept.roof, everything, budgets=[bound], sort="-params")
    sizes = [point.params for point in small.points]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes and max(sizes) <= 3_000_000
    assert len(sizes) + small.outside == len(swept.points)
    assert small.best <= {point.index for point in small.points}


@pytest.mark.parametrize(("text", "bound"), [
    ("params<=100M", ("params", "<=", 1e8)), ("params<1.5B", ("params", "<", 1.5e9)), ("ms <= 20", ("ms", "<=", 20)),
    ("activations<=500MB", ("activations", "<=", 5e8)), ("gflops>=1e2", ("gflops", ">=", 100)),
    ("params<=100k", ("params", "<=", 1e5)),
])  # fmt: skip
def test_budgets(text: str, bound: tuple[str, str, float]) -> None:
    found = fronts.budget(text)
    assert (found.figure, found.sign, found.bound) == bound


def test_several_budgets_in_one_text() -> None:
    found = fronts.budgets("params <= 100M gflops<=5,ms < 20")
    assert [(each.figure, each.bound) for each in found] == [("params", 1e8), ("gflops", 5), ("ms", 20)]


@pytest.mark.parametrize(
    "text", ["", "params", "params=3", "params<=", "parms<=3", "params<=1.2.3", "<=3", "params<=x"]
)
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(UsageError):
        fronts.budget(text)


def test_forms_agree(swept: Outcome) -> None:
    data = table.data(swept)
    rows = list(csv.DictReader(io.StringIO(table.comma_separated(swept))))
    assert [int(row["params"]) for row in rows] == [entry["params"] for entry in data["points"]]
    assert [row["front"] == "1" for row in rows] == [entry["front"] for entry in data["points"]]
    assert rows[0]["unet.base_channels"] == data["points"][0]["settings"]["unet.base_channels"]
    lines = table.text(swept).splitlines()
    assert sum(line.startswith("*  ") for line in lines) == len(swept.best)
    assert sum(line.startswith("|**") for line in table.markdown(swept).splitlines()) == len(swept.best)
    assert len(table.data(swept.front_only())["points"]) == len(swept.best)


def test_the_picture(swept: Outcome) -> None:
    text = plot.svg(swept)
    assert text == plot.svg(swept)
    root = ElementTree.fromstring(text)
    circles = [each for each in root.iter() if each.tag.endswith("circle")]
    assert len(circles) == len(swept.points)
    best = [each for each in circles if each.get("class") == "best"]
    assert len(best) == len(swept.best)
    for each in circles:
        assert 0 < float(each.get("cx", "0")) < plot.WIDTH and 0 < float(each.get("cy", "0")) < plot.HEIGHT
    by_time = sorted(swept.points, key=lambda point: point.seconds)
    places = sorted(float(each.get("cx", "0")) for each in circles)
    x = plot._axis(swept.points, "ms", 74, 736)
    assert places == pytest.approx([x.at(1e3 * point.seconds) for point in by_time], abs=0.06)


@pytest.mark.parametrize("count", [0, 1])
def test_pictures_of_next_to_nothing(count: int, swept: Outcome) -> None:
    few = outcome(swept.grid, swept.roof, [Point(0, 1000, 1000, 4000, 1e-3)][:count])
    assert "<svg" in plot.svg(few) and "<svg" in plot.html(few) and table.text(few)


@pytest.mark.parametrize("value", [1.0, 1.15, 2.2, 3.4, 9.9, 10.0])
def test_an_axis_of_one_value_has_ticks(value: float, swept: Outcome) -> None:
    axis = plot._axis([Point(0, 1000, 1000, 4000, value / 1000)], "ms", 74, 736)
    assert 1 <= len(axis.ticks()) <= 8


def test_the_page_in_a_browser(swept: Outcome, tmp_path: Path) -> None:
    file = tmp_path / "sweep.html"
    file.write_text(plot.html(swept))
    with browser.started() as chromium:
        for width in (1280, 400):
            with browser.opened(chromium, file, width=width) as visit:
                assert visit.complaints == [] and visit.requests == [] and visit.overflow <= 0
                assert visit.page.locator("tbody tr").count() == len(swept.points)
                boxes = visit.page.evaluate(
                    "[...document.querySelectorAll('svg text')].map(text => text.getBoundingClientRect())"
                    ".map(box => [box.left, box.top, box.right, box.bottom])"
                )
                clashes = [
                    (a, b)
                    for number, a in enumerate(boxes)
                    for b in boxes[:number]
                    if min(a[2], b[2]) - max(a[0], b[0]) > 1 and min(a[3], b[3]) - max(a[1], b[1]) > 2
                ]
                assert not clashes


def test_the_command(call: Run, tmp_path: Path) -> None:
    out, _, code = call(QUICK, *(word for axis in AXES for word in ("--set", axis)), "--device", "h100:fp32")
    assert code == 0
    assert "on h100 fp32, NVIDIA H100 SXM" in out
    file = tmp_path / "out.svg"
    assert call(QUICK, "--set", AXES[0], "--format", "svg", "-o", str(file))[2] == 0
    assert ElementTree.parse(file).getroot().tag.endswith("svg")
    _, err, code = call(QUICK, "--set", AXES[0], "-o", str(file))
    assert (code, "NS924" in err) == (2, True)


def test_little_of_parameters_is_all_that_is_wanted(call: Run) -> None:
    out, _, code = call(QUICK, "--set", "unet.base_channels=64,128", "--less", "params")
    assert code == 0 and "1 of 2 that no other point beats: least params" in out


@pytest.mark.parametrize(("arguments", "words", "code"), [
    (["--set", "unet.block_per_level=1,2"], "did you mean `unet.blocks_per_level`?", 1),
    (["--set", "unet.attention.head_dim=5,7"], "error[NS302]", 1),
    (["--set", "unet.base_channels=1,2", "--device", "h1000"], "did you mean `h100`?", 2),
    (["--set", "unet.base_channels=1,2", "--device", "t4:bf16"], "`t4:fp32` or `t4:fp16`", 2),
    (["--set", "unet.base_channels=1,2", "--sort", "param"], "did you mean `params`?", 2),
    (["--set", "unet.base_channels=1,2", "--budget", "cost<3"], "is no figure", 2),
    (["--set", "unet.base_channels=1,2", "--less", "ms", "--more", "ms"], "little of `ms` or much of it, not both", 2),
    (["--variant", "large"], "unknown variant `large`", 1),
])  # fmt: skip
def test_what_is_refused_as_a_whole(arguments: list[str], words: str, code: int, call: Run) -> None:
    _, err, left = call(QUICK, *arguments)
    assert words in err
    assert left == code


def test_processes_give_what_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netspec.sweep.running._FEW", 10)
    monkeypatch.setattr("netspec.sweep.running._CHUNK", 5)
    made, roof = grid(QUICK, AXES), roofline.roof("cpu")
    told: list[int] = []
    assert run(made, roof, processes=2, progress=told.append) == run(made, roof)
    assert told == [5, 10, 15, 18]


def test_measured_beside_predicted(call: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netspec.sweep.measured.SECONDS", 0.2)
    out, _, code = call("tiny/dit", "--set", "dit.depth=1,2", "--measure", "1", "--format", "json")
    assert code == 0
    timed = [point for point in json.loads(out)["points"] if "measured_ms" in point]
    assert len(timed) == 1 and timed[0]["measured_ms"] > 0


def test_no_torch() -> None:
    script = (
        "import sys; sys.argv = ['netspec', 'sweep', 'tiny/unet', '--set', 'unet.blocks_per_level=1,2']\n"
        "sys.argv += ['--format', 'html']\n"
        "from netspec import cli\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "sys.stderr.write(' '.join(sorted({'torch', 'onnx', 'numpy'} & sys.modules.keys())))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


def test_a_roof_is_arithmetic_or_memory() -> None:
    """By hand, for one block in half precision."""
    plan = api.lower(api.load("dit/dit_xl_2", set=["dit.depth=1"]))
    roof = roofline.roof("h100")
    node = plan.by_name["block_0"]
    moved = node.cost.params + node.out.elements + sum({v.name: v.type.elements for v in node.inputs}.values())
    assert roof.traffic(node) == 2 * moved
    assert roof.node_seconds(node) == max(2 * node.cost.macs / 989.4e12, 2 * moved / 3350e9)
    assert roof.seconds(plan) == pytest.approx(sum(roof.node_seconds(each) for each in plan))


def test_devices_state_their_source() -> None:
    for device in roofline.devices().values():
        assert device.source and device.precision in device.flops and device.bandwidth > 0
        assert set(device.flops) <= {"fp32", "fp16", "bf16", "int8"}
