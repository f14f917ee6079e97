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
    "unet/sd15@inpainting": 859_535_364,
    "unet/sd21": 865_910_724,
    "unet/sd21@inpainting": 865_925_124,
    "unet/sd21@depth": 865_913_604,
    "unet/sd21@unclip": 870_173_124,
    "unet/sd_x4_upscaler": 473_398_020,
    "unet/sdxl": 2_567_463_684,
    "unet/sdxl@refiner": 2_259_526_660,
    "unet/ldm": 274_056_163,
    "unet/ldm@churches": 294_966_916,
    "unet/ldm@inpainting": 387_245_827,
    "unet/ldm@super-resolution": 113_622_563,
    "unet/ldm_cin256": 400_920_579,
    "unet/ldm_txt2img": 872_300_484,
    "unet/adm": 552_814_086,
    "unet/adm@cond-64": 295_904_454,
    "unet/adm@cond-128": 421_529_606,
    "unet/adm@cond-256": 553_838_086,
    "unet/adm@cond-512": 558_997_638,
    "unet/adm@64-to-256": 311_795_910,
    "unet/adm@128-to-512": 308_835_270,
    "unet/improved_diffusion": 52_546_438,
    "unet/improved_diffusion@imagenet64": 121_063_942,
    "unet/improved_diffusion@imagenet64-cond": 273_049_350,
    "unet/improved_diffusion@lsun-256": 113_676_678,
    "unet/improved_diffusion@64-to-256": 279_792_390,
    "unet/ddpm_cifar10": 35_746_307,
    "unet/ddpm_256": 113_673_219,
    "unet/unet_2015": 31_030_658,
    "unet/same_padding_unet": 31_037_698,
    "unet/same_padding_unet@bilinear": 17_263_042,
    "autoencoder/kl_f4": 55_312_063,
    "autoencoder/kl_f4@upscaler": 55_325_927,
    "autoencoder/kl_f8": 83_653_863,
    "autoencoder/kl_f8_16ch": 83_819_683,
    "autoencoder/kl_f16": 69_610_963,
    "autoencoder/kl_f32": 103_880_131,
    "dit/dit_xl_2": 674_834_720,
    "dit/dit_xl_2@xl-4": 675_074_432 - 73_728,  # less its table of positions, which the code counts
    "dit/dit_xl_2@xl-8": 675_683_072 - 18_432,
    "dit/dit_xl_2@l-2": 458_102_816 - 262_144,
    "dit/dit_xl_2@l-4": 458_053_760 - 65_536,
    "dit/dit_xl_2@l-8": 458_594_816 - 16_384,
    "dit/dit_xl_2@b-2": 130_512_416 - 196_608,
    "dit/dit_xl_2@b-4": 130_475_648 - 49_152,
    "dit/dit_xl_2@b-8": 130_881_536 - 12_288,
    "dit/dit_xl_2@s-2": 32_963_360 - 98_304,
    "dit/dit_xl_2@s-4": 32_945_024 - 24_576,
    "dit/dit_xl_2@s-8": 33_148_160 - 6_144,
    "dit/dit_xl_2_512": 676_014_368 - 1_179_648,
    "dit/dit_xl_2@in-context": 449_162_528,
    "dit/dit_xl_2@cross-attention": 597_991_712,
    "dit/dit_xl_2@adaln": 600_452_384,
    "dit/pixart_xl_2": 610_856_096,
    "dit/pixart_xl_2@alpha-512": 610_856_096,
    "dit/pixart_xl_2@alpha-1024-ms": 611_349_152,
    "dit/pixart_xl_2@sigma-1024-ms": 610_856_096,
    "dit/sd3_medium": 2_028_328_000,
    "dit/sd3_medium@3.5-medium": 2_243_171_520,
    "dit/sd3_medium@3.5-large": 8_056_627_520,
    "dit/flux_dev@schnell": 11_891_178_560,
    "dit/flux_dev": 11_901_408_320,
    "dit/flux_dev@fill": 11_902_391_360,
    "dit/flux_dev@canny": 11_901_604_928,
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
        made = built(name)(*(meta(kind) for kind in plan.inputs.values()))
    outputs = made if isinstance(made, tuple) else (made,)
    for out, value in zip(outputs, plan.outputs.values(), strict=True):
        assert list(out.shape) == [size.opt for size in value.type.shape]
    assert counter.get_total_flops() == 2 * plan.cost.macs


def test_tiny_specs_use_what_they_say() -> None:
    """The tiny networks stand in for large ones everywhere in the tests, so they must keep the hard parts."""
    unet, dit = planned("tiny/unet"), planned("tiny/dit")
    assert {"full", "spatial", "resnet", "concat", "sum", "label"} <= {node.component.name for node in unet}
    assert all(not size.fixed for size in unet.inputs["x"].sizes + dit.inputs["x"].sizes)
    assert unet.cost.params + dit.cost.params < 500_000
