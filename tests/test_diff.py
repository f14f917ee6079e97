"""netspec diff: what differs is told once, in both directions alike, and torch agrees on which weights load."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import MISSING
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import browser
import pytest
import yaml
from drawn import spec as drawn_spec
from hypothesis import HealthCheck, Phase, given, settings
from mutated import mutated

from netspec import api, compiler, graph, spec
from netspec.diff import Difference, compare, sides
from netspec.diff.choices import Change, changes
from netspec.diff.markdown import markdown
from netspec.diff.page import html
from netspec.diff.rows import aligned
from netspec.diff.stages import figures
from netspec.diff.tensors import listed
from netspec.diff.text import text
from netspec.errors import NetspecError, SpecError
from netspec.plan import Node, Plan

ROOT = Path(__file__).parent.parent
SPECS = ROOT / "specs"
PAIRS: dict[str, tuple[str | None, ...]] = {
    "sd15_sd21": ("unet/sd15", "unet/sd21"),
    "sdxl_ssd": ("unet/sdxl", "@ssd-1b"),
    "dit_xl_b": ("dit/dit_xl_2", "@b-2"),
    "classic_same_padding": ("unet/unet_2015", "unet/same_padding_unet"),
    "ddpm_set": (
        "unet/ddpm_cifar10", None, "convention=ldm",
        "unet.levels=[128, 128, {channels: 256, attention: full}, 256, 256]",
    ),
}  # fmt: skip


def read(a: str | None, b: str | None = None, *given: str | None) -> Difference:
    assert a is not None
    first, second = sides.read(a, b, settings=[each for each in given if each])
    old, new = sides.plans(first, second)
    return compare(old, new, (first.label, second.label))


def tiny(name: str, *given: str) -> Plan:
    return api.lower(api.load(f"tiny/{name}", set=given))


@pytest.fixture(scope="module")
def drawn() -> list[Plan]:
    """Random networks of the whole language."""
    found: list[Plan] = []

    @settings(
        max_examples=120, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )  # fmt: skip
    @given(drawn_spec())
    def collect(data: dict[str, Any]) -> None:
        try:
            found.append(api.lower(api.loads(json.dumps(data))))
        except SpecError:
            return

    collect()
    assert len(found) > 30
    return found


@pytest.fixture(scope="module")
def pairs(drawn: list[Plan]) -> list[tuple[Plan, Plan]]:
    """Networks to compare: random ones in a row, and shipped ones with what damage left whole."""
    random = Random(0)
    found = list(pairwise(drawn))
    found += [(difference.a.plan, difference.b.plan) for difference in (read(*pair) for pair in PAIRS.values())]
    for path in sorted((SPECS / "tiny").glob("*.yaml")):
        data = yaml.safe_load(path.read_text())
        data.pop("expect", None)
        whole = api.lower(api.loads(json.dumps(data)))
        for _ in range(60):
            try:
                found.append((whole, api.lower(api.loads(json.dumps(mutated(random, data))))))
            except NetspecError:
                continue
    assert len(found) > 60
    return found


@pytest.mark.parametrize("name", PAIRS)
def test_real_pairs(name: str, golden: Callable[[str, str], None]) -> None:
    found = read(*PAIRS[name])
    golden(f"diffs/{name}.txt", text(found, nodes=name == "ddpm_set"))
    golden(f"diffs/{name}.md", markdown(found))


@pytest.mark.parametrize("name", ["tiny/unet", "tiny/autoencoder", "dit/flux_dev", "unet/sdxl"])
def test_a_network_does_not_differ_from_itself(name: str) -> None:
    found = read(name, name)
    assert found.equal
    assert found.weights.loads
    assert found.old == found.new
    assert text(found) == f"{name} and {name} are equal\n"
    assert markdown(found) == f"`{name}` and `{name}` are equal.\n"
    assert found.data()["equal"] is True


def test_comments_order_and_spelling_are_no_difference(tmp_path: Path) -> None:
    """The same network with its keys backwards, its defaults written out, its widths as multiples."""
    data = yaml.safe_load((SPECS / "unet" / "ddpm_cifar10.yaml").read_text())
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_text("# a comment\n" + yaml.safe_dump(data))
    other.write_text(json.dumps(_backwards(data)))
    assert read(str(one), str(other)).equal
    other.write_text(spec.text(api.load(one)))
    assert read(str(one), str(other)).equal
    base = data["unet"].pop("base_channels")
    for row in data["unet"]["levels"]:
        row["channels"] = base * row.pop("multiplier")
        row["blocks"] = 2
    other.write_text(json.dumps(data))
    assert read(str(one), str(other)).equal


def _backwards(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _backwards(item) for key, item in reversed(value.items())}
    return value


def test_directions_mirror_each_other(pairs: list[tuple[Plan, Plan]]) -> None:
    for a, b in pairs:
        there, back = compare(a, b), compare(b, a)
        assert {_mirrored(each) for each in there.changes} == {_plain(each) for each in back.changes}
        old = {(s.old_name, s.new_name): (s.old, s.new, _kinds(s, "old", "new")) for s in there.changed}
        new = {(s.new_name, s.old_name): (s.new, s.old, _kinds(s, "new", "old")) for s in back.changed}
        assert old == new
        assert there.equal == back.equal == (api_equal(a) == api_equal(b))


def api_equal(plan: Plan) -> str:
    return spec.text(plan.spec) + plan.text()


def _mirrored(change: Change) -> tuple[Any, ...]:
    follows = frozenset(_mirrored(each) for each in change.follows)
    return change.after, change.before, repr(change.new), repr(change.old), change.new_text, change.old_text, follows


def _plain(change: Change) -> tuple[Any, ...]:
    follows = frozenset(_plain(each) for each in change.follows)
    return change.before, change.after, repr(change.old), repr(change.new), change.old_text, change.new_text, follows


def _kinds(stage: Any, left: str, right: str) -> set[tuple[str | None, str | None, bool]]:
    return {
        (getattr(getattr(p, left), "name", None), getattr(getattr(p, right), "name", None), bool(p.changes))
        for p in stage.pairs
        if p.differs
    }


def test_each_changed_choice_is_told_exactly_once(pairs: list[tuple[Plan, Plan]]) -> None:
    """Leaf by leaf of both resolved specs: one change above each that differs, none above the others."""
    seen = 0
    for a, b in pairs:
        found = changes(a.spec, b.spec)
        told = [each for change in found.all for each in (change, *change.follows)]
        old, new = _leaves(spec.data(a.spec)), _leaves(spec.data(b.spec))
        old, new = _without_empty(old, new), _without_empty(new, old)
        rows = _alignments(found.rows)
        if _respelled(a) != _respelled(b):
            continue  # widths as multiples here and as channels there are compared as channels
        for path, value in new.items():
            above = [each for each in told if each.after is not None and path[: len(each.after)] == each.after]
            was = old.get(_moved(path, rows), MISSING)
            whole = [each for each in above if each.after is not None and len(each.after) < len(path)]
            assert len(above) == 1 or (_same(value, was) and not above), (path, value, was)
            assert whole or not (above and _same(value, was)), path  # equal, and part of something else now
            seen += len(above)
        for path, value in old.items():
            above = [each for each in told if each.before is not None and path[: len(each.before)] == each.before]
            assert len(above) < 2, path
            if not above:
                assert any(_same(value, item) and _moved(where, rows) == path for where, item in new.items()), path
        for each in told:
            assert not _same(each.old, each.new)
    assert seen > 300


def _same(a: Any, b: Any) -> bool:
    return bool(a == b)


def _respelled(plan: Plan) -> bool:
    return any(getattr(row, "multiplier", None) for row in getattr(plan.spec.family, "levels", ()))


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], Any]:
    """As changes() sees them: lists of records are walked, lists of plain values are one choice."""
    if isinstance(value, dict) and value:
        return {k: v for key, item in value.items() for k, v in _leaves(item, (*path, key)).items()}
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return {k: v for index, item in enumerate(value) for k, v in _leaves(item, (*path, index)).items()}
    return {path: value}


def _without_empty(leaves: dict[tuple[Any, ...], Any], other: dict[tuple[Any, ...], Any]) -> dict[tuple[Any, ...], Any]:
    """An empty list is no leaf where the other spec has rows there."""
    filled = {path[:length] for path in other for length in range(len(path))}
    return {path: value for path, value in leaves.items() if value != [] or path not in filled}


def _alignments(rows: Any) -> dict[tuple[Any, ...], dict[int, int | None]]:
    return {path: {j: i for i, j in pairs if j is not None} for path, pairs in rows.items()}


def _moved(path: tuple[Any, ...], rows: dict[tuple[Any, ...], dict[int, int | None]]) -> tuple[Any, ...]:
    """Where a leaf of B stands in A."""
    for length in range(len(path)):
        if path[:length] in rows and isinstance(path[length], int):
            row = rows[path[:length]][path[length]]
            return (*path[:length], row, *path[length + 1 :])
    return path


def test_stages_sum_to_the_total(pairs: list[tuple[Plan, Plan]]) -> None:
    for a, b in pairs:
        found = compare(a, b)
        for side, plan in (("old", a), ("new", b)):
            total = figures(())
            for stage in found.stages:
                total += getattr(stage, side)
            assert total == getattr(found, side)
            assert (total.params, total.macs) == (plan.cost.params, plan.cost.macs)
        changed = [each.new.params - each.old.params for each in found.changed]
        assert sum(changed) == b.cost.params - a.cost.params


def test_torch_agrees_on_which_weights_load(pairs: list[tuple[Plan, Plan]]) -> None:
    """What is said to load has the same names and shapes in the state dicts that torch makes."""
    fates: dict[str, int] = {}
    for a, b in pairs:
        carry = compare(a, b).weights
        if carry.loads:
            assert all(tensor.loads for tensor in listed(a, b))
        for fate, pair in carry.pairs:
            fates[fate] = fates.get(fate, 0) + 1
            if fate in ("same", "altered", "renamed"):
                assert pair.old is not None and pair.new is not None
                assert _shapes(pair.old) == _shapes(pair.new), (pair.old, pair.new)
    assert min(fates.get(fate, 0) for fate in ("same", "altered", "renamed", "reshaped", "new", "gone")) > 5, fates


def _shapes(node: Node) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in graph.build_node(node, device="meta").state_dict().items()}


@pytest.mark.parametrize("name", ["sdxl_ssd", "dit_xl_b", "ddpm_set", "classic_same_padding"])
def test_the_count_of_weights_that_load_is_torchs(name: str) -> None:
    found = read(*PAIRS[name])
    by_node: dict[str, list[bool]] = {}
    numbers = 0
    for tensor in listed(found.a.plan, found.b.plan):
        if tensor.new is not None:
            by_node.setdefault(tensor.name.partition(".")[0], []).append(tensor.loads)
    loaded = {name for name, loads in by_node.items() if all(loads)}
    shifted = {pair.node.name for pair in found.weights.of("renamed", "new", "reshaped")}
    assert {pair.node.name for pair in found.weights.of("same", "altered")} == loaded - shifted
    for pair in found.weights.of("same", "altered"):
        numbers += pair.node.cost.params + pair.node.cost.frozen
    assert found.weights.share[0] == numbers


def test_a_node_is_counted_once_where_two_inputs_change_alike() -> None:
    found = compare(tiny("unet"), tiny("unet", "unet.base_channels=32"))
    for pair in (pair for stage in found.changed for pair in stage.pairs):
        assert len(set(pair.changes)) == len(pair.changes)


def test_an_inserted_level_is_one_insertion() -> None:
    rows = "[{multiplier: 1}, {multiplier: 1}, {multiplier: 2, attention: full}, {multiplier: 2}, {multiplier: 2}]"
    found = read("unet/ddpm_cifar10", None, f"unet.levels={rows}")
    (change,) = found.changes
    assert (change.kind, change.where, change.new_text) == ("added", "unet.levels[1]", "{multiplier: 1}")
    names = {stage.new_name: stage.old_name for stage in found.stages}
    assert (names["down 1"], names["down 2"], names["up 4"], names["mid"]) == ("", "down 1", "up 3", "mid")
    assert found.weights.of("renamed")


def test_what_rows_inherit_is_told_with_its_cause() -> None:
    found = read("unet/sd15", None, "unet.transformer.num_heads=4")
    (change,) = found.changes
    assert change.where == "unet.transformer.num_heads"
    assert len(change.follows) == 4
    assert found.weights.loads
    assert len(found.weights.of("altered")) == 16


def test_another_source_is_a_difference() -> None:
    """Two inputs of one shape, and a transformer that reads the other one."""
    source = yaml.safe_load((SPECS / "tiny" / "unet.yaml").read_text())
    source["inputs"]["other"] = source["inputs"]["text"]
    source["unet"]["image"] = ["x"]
    (context,) = [name for name in source["inputs"] if name == "text"]
    swapped = json.loads(json.dumps(source).replace(f'"context": "{context}"', '"context": "other"'))
    for data, unused in ((source, "other"), (swapped, context)):
        del data["inputs"][unused]
    a, b = (api.lower(api.loads(json.dumps(data))) for data in (source, swapped))
    found = compare(a, b)
    assert not found.same_network
    assert found.weights.loads
    assert any("reads `other` instead of `text`" in line for stage in found.changed for line in stage.words)


def test_sizes_alone_leave_the_network_as_it_is() -> None:
    found = read("tiny/unet", None, "dims.batch={min: 1, opt: 4, max: 8}")
    assert found.same_network
    assert found.weights.loads
    assert [change.group for change in found.changes] == ["interface"] * len(found.changes)
    assert "The network is the same" in text(found)


def test_texts_of_strangers_are_told_on_one_line_and_give_a_terminal_no_orders() -> None:
    loud = api.lower(api.loads((SPECS / "tiny" / "dit.yaml").read_text() + 'description: "a\\e[31mb\\u202Ec\\nd"\n'))
    told = text(compare(tiny("dit"), loud))
    assert '+ description  "a\\u001b[31mb\\u202ec\\nd"' in told.splitlines()
    assert all(line.isprintable() for line in told.splitlines())


def test_names_are_no_markup(tmp_path: Path) -> None:
    """What a stranger's spec is called stays text in every form."""
    source = yaml.safe_load((SPECS / "tiny" / "dit.yaml").read_text())
    source["description"] = "</style><script>alert(1)</script> | `x`"
    a, b = tiny("dit"), api.lower(api.loads(json.dumps(source)))
    found = compare(a, b, ("a", "<img src=x onerror=alert(1)>"))
    assert "<script>alert" not in html(found) and "<img src=x" not in html(found)
    rows = [line for line in markdown(found).splitlines() if "script" in line]
    assert rows and all(line.count("|") - line.count("\\|") == 5 for line in rows)


def test_the_page_in_a_browser(tmp_path: Path) -> None:
    found = read("unet/sdxl", "@ssd-1b")
    file = tmp_path / "diff.html"
    file.write_text(html(found, tensors=["1 of 2 tensors load", "- x  [1]"]))
    assert file.read_text() == html(found, tensors=["1 of 2 tensors load", "- x  [1]"])
    with browser.started() as chromium:
        for width in (1280, 400):
            with browser.opened(chromium, file, width=width) as visit:
                assert visit.complaints == [] and visit.requests == [] and visit.overflow <= 0
                assert visit.page.locator("figure svg").count() == 2
                outlined = visit.page.evaluate(
                    "[...document.querySelectorAll('figure')].map(figure => [...figure.querySelectorAll('.box')]"
                    ".filter(box => getComputedStyle(box.querySelector('rect')).strokeWidth == '2.4px').length)"
                )
                assert outlined == [4, 3]  # down 2, mid, up 2, up 1; B's mid only lacks nodes


def test_rows_align_alike_in_both_directions() -> None:
    random = Random(1)
    for _ in range(300):
        a, b = ([random.choice("abc") for _ in range(random.randint(0, 5))] for _ in range(2))
        there = aligned(len(a), len(b), lambda i, j: int(a[i] != b[j]) * 3, flipped=repr(a) > repr(b))  # noqa: B023
        back = aligned(len(b), len(a), lambda j, i: int(a[i] != b[j]) * 3, flipped=repr(b) > repr(a))  # noqa: B023
        assert [(i, j) for j, i in back] == list(there)
        assert [i for i, _ in there if i is not None] == list(range(len(a)))
        assert [j for _, j in there if j is not None] == list(range(len(b)))


def test_difference_of_a_build_from_its_spec(tmp_path: Path) -> None:
    """A bundle knows nothing of where it came from, and is equal all the same."""
    built = compiler.compile(api.load("tiny/dit"), tmp_path / "out", compiler.Options(weights="none"))
    assert read("tiny/dit", str(built.folder)).equal
