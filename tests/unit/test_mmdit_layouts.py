"""Networks of two streams at full size on the meta device: keys and shapes are those of diffusers and of the original
code, and reading what was written gives back ours."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from netspec import api, graph, planner
from netspec.weights import layouts
from netspec.weights.layouts import Layout
from netspec.weights.layouts.transforms import PackedPatches, PackedRows, Stacked, Swapped, Transform

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of other people's imports
    from diffusers import FluxTransformer2DModel, SD3Transformer2DModel

SPECS = Path(__file__).parents[2] / "specs"
GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
Shapes = dict[str, tuple[int, ...]]


def sd3(width: int, depth: int, grid: int = 192, **more: Any) -> nn.Module:
    return SD3Transformer2DModel(  # type: ignore[no-any-return]
        num_layers=depth, num_attention_heads=width // 64, attention_head_dim=64, caption_projection_dim=width,
        pos_embed_max_size=grid, **more,
    )  # fmt: skip


def flux(channels: int = 64, *, guidance: bool = True) -> nn.Module:
    return FluxTransformer2DModel(in_channels=channels, out_channels=64, guidance_embeds=guidance)  # type: ignore[no-any-return]


RMS = {"qk_norm": "rms_norm"}
TWINS = {  # spec: (diffusers' network, the layout of the original code)
    "dit/sd3_medium": (lambda: sd3(1536, 24), "sd3"),
    "dit/sd3_medium@3.5-medium": (
        lambda: sd3(1536, 24, 384, dual_attention_layers=tuple(range(13)), **RMS),
        "sd3",
    ),
    "dit/sd3_medium@3.5-large": (lambda: sd3(2432, 38, **RMS), "sd3"),
    "dit/flux_dev@schnell": (lambda: flux(guidance=False), "flux"),
    "dit/flux_dev": (flux, "flux"),
    "dit/flux_dev@fill": (lambda: flux(384), "flux"),
    "dit/flux_dev@canny": (lambda: flux(128), "flux"),
}


@cache
def built(name: str) -> graph.Model:
    file, _, variant = name.partition("@")
    return graph.build(planner.lower(api.load(SPECS / f"{file}.yaml", variant=variant or None)), device="meta")


def shapes(state: Iterable[tuple[str, Tensor]]) -> Shapes:
    return {key: tuple(value.shape) for key, value in state}


def written(name: str, layout: Layout) -> Mapping[str, Tensor]:
    return dict(layout.ours_to_foreign(built(name).plan, built(name).state_dict()))


@pytest.mark.parametrize("name", TWINS)
def test_keys_and_shapes_are_those_of_diffusers(name: str) -> None:
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twin = TWINS[name][0]()
    assert shapes(written(name, layouts.find("diffusers")).items()) == shapes(twin.state_dict().items())


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("which", ["original", "diffusers", "netspec"])
def test_the_round_trip_is_the_identity(name: str, which: str) -> None:
    rules = layouts.find(TWINS[name][1] if which == "original" else which)
    back = rules.foreign_to_ours(built(name).plan, written(name, rules))
    assert shapes(back) == shapes(built(name).state_dict().items())


@pytest.mark.parametrize(
    ("golden", "name", "layout", "first", "last"),
    [
        ("sd3_mmdit", "dit/sd3_medium", "sd3", {"joint_blocks": 1}, {"joint_blocks": (1, 23)}),
        ("sd35_medium_mmditx", "dit/sd3_medium@3.5-medium", "sd3", {"joint_blocks": 2}, {"joint_blocks": (2, 23)}),
        ("flux_dev", "dit/flux_dev", "flux", {"double_blocks": 2, "single_blocks": 3}, {}),
    ],
)
def test_keys_are_those_of_the_original_code(
    golden: str, name: str, layout: str, first: dict[str, int], last: dict[str, tuple[int, int]]
) -> None:
    """The golden has fewer blocks: its first are the first of ours, and where the last one differs, it is our last."""
    path = GOLDEN / golden / "keys.json"
    if not path.exists():
        pytest.skip(f"{path} is absent: goldens lie beside the project, not in it")
    theirs = {key for key, _ in json.loads(path.read_text())}
    ours = set()
    for key in written(name, layouts.find(layout)):
        block = re.match(r"(\w+)\.(\d+)\.", key)
        if block is None or int(block[2]) < first[block[1]]:
            ours.add(key)
        elif block[1] in last and int(block[2]) == last[block[1]][1]:
            ours.add(key.replace(f".{block[2]}.", f".{last[block[1]][0]}.", 1))
    assert ours == theirs


@pytest.mark.parametrize(
    ("name", "layout"),
    [("mmdit", "sd3"), ("mmdit", "diffusers"), ("parallel_dit", "flux"), ("parallel_dit", "diffusers")],
)
def test_values_survive_the_round_trip(name: str, layout: str) -> None:
    plan = planner.lower(api.load(SPECS / "tiny" / f"{name}.yaml"))
    ours = {key: torch.randn(value.shape) for key, value in graph.build(plan).state_dict().items()}
    rules = layouts.find(layout)
    back = dict(rules.foreign_to_ours(plan, dict(rules.ours_to_foreign(plan, ours))))
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[key], ours[key]) for key in ours)


@pytest.mark.parametrize(
    ("transform", "ours"),
    [
        (Stacked(), [(4, 3), (4, 3), (12, 3)]),
        (Stacked(), [(4,), (12,)]),
        (Swapped(), [(6, 3)]),
        (PackedPatches(), [(5, 4, 2, 2)]),
        (PackedPatches(), [(5,)]),
        (PackedRows(2), [(12, 5)]),
        (PackedRows(3), [(18,)]),
    ],
    ids=str,
)
def test_transforms_undo_themselves(transform: Transform, ours: list[tuple[int, ...]]) -> None:
    tensors = [torch.randn(shape) for shape in ours]
    foreign = transform.write(tensors)
    assert all(map(torch.equal, transform.read(foreign, ours), tensors))


def test_a_packed_patch_has_its_channels_outermost() -> None:
    rows = torch.arange(12.0)  # of 3 channels and a patch of 2: row = 4 * channel + place
    (ours,) = PackedRows(2).read([rows], [(12,)])
    assert ours.tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]  # channels fastest
    assert Swapped().read([torch.arange(4.0)], [])[0].tolist() == [2, 3, 0, 1]


def test_guidance_is_told_from_time_by_its_name() -> None:
    spec = SPECS / "tiny" / "parallel_dit.yaml"
    text = spec.read_text().replace("  t:        {embed: sinusoidal, dim: 32, scale: 1000}\n", "")
    text = text.replace("  pooled:   mlp\n", "  pooled:   mlp\n  t: {embed: sinusoidal, dim: 32, scale: 1000}\n")
    entries = layouts.find("flux").entries(planner.lower(api.loads(text)))
    found = {entry.node.name: entry.prefix for entry in entries}
    assert (found["embed_t"], found["embed_guidance"]) == ("time_in", "guidance_in")
