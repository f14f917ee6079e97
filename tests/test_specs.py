"""Every shipped spec and every variant: it loads, round-trips, lowers to its golden plan, and builds what it counts."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from netspec import document, graph, layers, planner, validation
from netspec import spec as specs
from netspec.plan import Plan
from netspec.tensors import TensorType

ROOT = Path(__file__).parent.parent / "specs"
DTYPES = {"": torch.float32, "float32": torch.float32, "int64": torch.int64}
PUBLISHED = {  # what the papers' own code prints; the specs state them too, but a spec could lose its `expect`
    "unet/sd15": 859_520_964,
    "unet/ddpm_cifar10": 35_746_307,
    "unet/unet_2015": 31_030_658,
    "dit/dit_xl_2": 674_834_720,
    "dit/dit_xl_2@l-2": 457_840_672,
    "dit/dit_xl_2@b-2": 130_315_808,
    "dit/dit_xl_2@s-2": 32_865_056,
    "dit/dit_xl_2@in-context": 449_162_528,
    "dit/dit_xl_2@cross-attention": 597_991_712,
    "dit/dit_xl_2@adaln": 600_452_384,
}


def shipped() -> list[str]:
    """`unet/sd15`, `dit/dit_xl_2@b-2`: every file and every variant of it."""
    names = []
    for path in sorted(ROOT.rglob("*.yaml")):
        name = path.relative_to(ROOT).with_suffix("").as_posix()
        names += [name, *(f"{name}@{variant}" for variant in document.load(path).data.get("variants", {}))]
    return names


every = pytest.mark.parametrize("name", shipped())


@cache
def resolved(name: str) -> specs.Spec:
    file, _, variant = name.partition("@")
    loaded = layers.compose(document.load(ROOT / f"{file}.yaml"), variant=variant or None)
    return specs.resolve(validated(loaded))


def validated(loaded: document.Document) -> document.Document:
    validation.validate(loaded)
    return loaded


@cache
def planned(name: str) -> Plan:
    return planner.lower(resolved(name))


@cache
def built(name: str) -> graph.Model:
    return graph.build(planned(name), device="meta").eval()


def meta(kind: TensorType) -> Tensor:
    return torch.empty([size.opt for size in kind.shape], dtype=DTYPES[kind.dtype], device="meta")


@every
def test_round_trip(name: str) -> None:
    """The resolved text is a spec of its own: it needs no base, convention or default, and means the same."""
    spec = resolved(name)
    again = specs.resolve(validated(document.loads(specs.text(spec))))
    assert again == spec
    assert again.sha256 == spec.sha256
    assert hash(again) == hash(spec)
    assert specs.text(again) == specs.text(spec)


@every
def test_plan(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"plans/{name.replace('/', '-')}.txt", planned(name).text())


@every
def test_states_its_counts(name: str) -> None:
    """`planner.lower` has compared them by now; here: there is something to compare, and it is what was published."""
    plan, expect = planned(name), resolved(name).expect
    assert expect.params == plan.cost.params
    assert (expect.frozen or 0) == plan.cost.frozen
    assert plan.cost.params == PUBLISHED.get(name, plan.cost.params)
    header = (ROOT / f"{name.partition('@')[0]}.yaml").read_text(encoding="utf-8").partition("\nnetspec:")[0]
    assert all(line.startswith("#") for line in header.splitlines())
    assert "arXiv:" in header
    if "@" not in name:
        assert f"{plan.cost.params:,}" in header


@every
def test_nodes_cost_what_they_build(name: str) -> None:
    model = built(name)
    for node in planned(name):
        module = model.get_submodule(node.name)
        assert sum(p.numel() for p in module.parameters()) == node.cost.params, node.name
        assert sum(b.numel() for b in module.buffers()) == node.cost.frozen, node.name


@every
def test_runs_as_planned(name: str) -> None:
    """Output sizes and multiply-accumulates on the meta device, which computes shapes alone."""
    plan = planned(name)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        out = built(name)(*(meta(kind) for kind in plan.inputs.values()))
    (made,) = plan.outputs.values()
    assert list(out.shape) == [size.opt for size in made.type.shape]
    assert counter.get_total_flops() == 2 * plan.cost.macs


def test_tiny_specs_use_what_they_say() -> None:
    """The tiny networks stand in for large ones everywhere in the tests, so they must keep the hard parts."""
    unet, dit = planned("tiny/unet"), planned("tiny/dit")
    assert {"full", "spatial", "resnet", "concat", "sum", "label"} <= {node.component.name for node in unet}
    assert all(not size.fixed for size in unet.inputs["x"].sizes + dit.inputs["x"].sizes)
    assert unet.cost.params + dit.cost.params < 500_000
