"""The plan: totals, what is alive at once, text that changes exactly when the architecture does."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from netspec import tensors
from netspec.blocks.resnet import Resnet
from netspec.costs import Cost
from netspec.norms.group import GroupNorm
from netspec.plan import Node, Origin, Plan, Value, describe
from netspec.problems import Problem, within
from netspec.registry import named

Lower = Callable[..., Plan]

NET = """\
netspec: 1
name: net
inputs:
  x: [batch, 4, height, 16]
  t: [batch]
output: [batch, 4, height, 16]
dims: {batch: {min: 1, opt: 2, max: 4}, height: {min: 8, opt: 16, max: 32}}
conditioning:
  t: {embed: sinusoidal, dim: 16}
unet:
  levels: [32, 64]
  blocks_per_level: 1
"""


def test_costs_add_up(lower: Lower) -> None:
    plan = lower(NET)
    assert plan.cost.params == sum(node.cost.params for node in plan)
    assert plan.cost.macs == sum(node.cost.macs for node in plan)
    assert Cost(1, 2, 3) + Cost(10, 20, 30) == Cost(11, 22, 33)
    assert Cost(1, 2, 3) * 3 == Cost(3, 6, 9)


def test_multiplications_grow_with_the_batch_and_parameters_do_not(lower: Lower) -> None:
    one, two = lower(NET, settings=["dims.batch=1"]), lower(NET, settings=["dims.batch=2"])
    assert two.cost.macs == 2 * one.cost.macs
    assert two.cost.params == one.cost.params


def test_text_is_one_line_a_node(lower: Lower) -> None:
    plan = lower(NET)
    lines = plan.text().splitlines()
    assert lines[:2] == ["x: (batch, 4, height, 16)", "t: (batch)"]
    assert lines[2 + len(plan.nodes)] == "output <- head: (batch, 4, height, 16)"
    assert [line.partition(" = ")[0] for line in lines[2 : 2 + len(plan.nodes)]] == [node.name for node in plan]
    assert lines[-1].startswith(f"params {plan.cost.params:,}  frozen 0  macs ")


@pytest.mark.parametrize(
    ("setting", "same"),
    [
        ("name=other", True),
        ("description=words", True),
        ("unet.levels[0].channels=32", True),
        ("unet.block.dropout=0.1", False),
        ("unet.block.norm.eps=1e-4", False),
        ("dims.height.max=64", True),
        ("unet.levels[0]=64", False),
        ("conditioning.t.order=sin_cos", False),
    ],
)
def test_identity_is_the_architecture(setting: str, same: bool, lower: Lower) -> None:
    assert (lower(NET, settings=[setting]).sha256 == lower(NET).sha256) is same


def test_nodes_come_from_a_line_of_the_spec(lower: Lower) -> None:
    origins = {node.name: node.origin for node in lower(NET)}
    assert str(origins["down_1_block_0"]) == "unet.levels[1]"
    assert (origins["down_1_block_0"].file, origins["down_1_block_0"].line) == ("net.yaml", 11)
    assert (str(origins["embed_t"]), origins["embed_t"].line) == ("conditioning.t", 9)


def test_names_are_identifiers_and_inputs_come_first(lower: Lower) -> None:
    plan = lower(NET)
    made = set(plan.inputs)
    for node in plan:
        assert node.name.isidentifier()
        assert node.name not in made
        assert {value.name for value in node.inputs} <= made
        made.add(node.name)
    assert plan.by_name["head"].value == plan.outputs["output"]


def test_a_plan_is_shared_by_copies(lower: Lower) -> None:
    plan = lower(NET)
    assert copy.deepcopy(plan) is plan


def test_what_is_alive_at_once() -> None:
    """x (8) -> a (8) -> b (8), then a + b: at b's making, a and b are held and x is not."""
    relu, add = named("activation")["relu"](), named("wiring")["add"]()
    kind = tensors.image(tensors.fixed(1), 2, tensors.fixed(2), tensors.fixed(2))
    x, origin = Value("x", kind), Origin(("unet",))
    a = Node("a", relu, (x,), kind, origin, "")
    b = Node("b", relu, (a.value,), kind, origin, "")
    c = Node("c", add, (a.value, b.value), kind, origin, "")
    chain = Plan(None, {"x": kind}, (a, b), {"out": b.value})  # type: ignore[arg-type]  # no spec is needed to count
    fork = Plan(None, {"x": kind}, (a, b, c), {"out": c.value})  # type: ignore[arg-type]
    assert chain.peak_elements == 16
    assert fork.peak_elements == 24


def test_describe_names_what_differs_from_the_defaults() -> None:
    norm = GroupNorm(groups=8)
    assert describe(norm) == "group(groups=8)"
    assert describe(named("activation")["relu"]()) == "relu"
    assert describe(Resnet(norm=norm)) == "resnet(norm=group(groups=8))"
    assert describe(Resnet(modulation="none")) == "resnet(modulation=none)"


def test_problems_of_a_part_lie_within_the_whole() -> None:
    inner = [Problem("NS303", "a", field="groups"), Problem("NS307", "b")]
    assert [problem.field for problem in within("norm", inner)] == ["norm.groups", "norm"]
