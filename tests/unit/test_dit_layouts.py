"""Every key and shape of transformers of one stream, as the programs of others have them; there and back is nothing."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from twins import GOLDEN

from netspec import api, graph, planner
from netspec.errors import WeightsError
from netspec.graph import Model
from netspec.plan import Plan
from netspec.weights import layouts
from netspec.weights.load import load_weights

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of other people's imports
    from diffusers import DiTTransformer2DModel, PixArtTransformer2DModel

SPECS = Path(__file__).parents[2] / "specs" / "dit"
SIZES = {"s": (12, 6, 64), "b": (12, 12, 64), "l": (24, 16, 64), "xl": (28, 16, 72)}  # depth, heads, head width
SMALL = {"dit.hidden_size": 64, "dit.depth": 2, "dit.num_heads": 4}

Shapes = dict[str, tuple[int, ...]]


def planned(name: str, variant: str | None = None, settings: dict[str, Any] | None = None) -> Plan:
    return planner.lower(api.load(SPECS / f"{name}.yaml", variant=variant, set=settings or {}))


def shapes(state: Mapping[str, Tensor]) -> Shapes:
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def written(plan: Plan, layout: str) -> Shapes:
    """What a file has, after the way there and back changed nothing."""
    rules, ours = layouts.find(layout), graph.build(plan, device="meta").state_dict()
    foreign = dict(rules.ours_to_foreign(plan, ours))
    back = shapes(dict(rules.foreign_to_ours(plan, foreign)))
    computed = {key for entry in rules.entries(plan) if not entry.foreign for key in entry.ours}
    assert back == {key: shape for key, shape in shapes(ours).items() if key not in computed}
    return shapes(foreign)


def on_meta(cls: type[Any], **config: Any) -> Shapes:
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: nn.Module = cls(**config)
    return shapes(model.state_dict())


@pytest.mark.parametrize("variance", ["", "_fixed_variance"])
@pytest.mark.parametrize(("size", "patch"), [(32, 2), (32, 8), (64, 2), (64, 4)])
@pytest.mark.parametrize("letter", SIZES)
def test_dit_has_the_keys_of_diffusers_and_of_the_original(letter: str, size: int, patch: int, variance: str) -> None:
    name = f"dit_xl_2{'_512' if size == 64 else ''}{variance}"
    plan = planned(name, None if (letter, patch) == ("xl", 2) else f"{letter}-{patch}")
    depth, heads, head = SIZES[letter]
    assert written(plan, "diffusers") == on_meta(
        DiTTransformer2DModel, num_attention_heads=heads, attention_head_dim=head, num_layers=depth, in_channels=4,
        out_channels=4 if variance else 8, sample_size=size, patch_size=patch,
    )  # fmt: skip
    original = written(plan, "dit")
    assert original["pos_embed"] == (1, (size // patch) ** 2, heads * head)
    assert len(original) == 12 + 10 * depth


@pytest.mark.parametrize(
    ("variant", "config"),
    [
        (None, {"sample_size": 32}),
        ("alpha-512", {"sample_size": 64}),
        ("alpha-1024-ms", {"sample_size": 128}),
        ("sigma-1024-ms", {"sample_size": 128, "use_additional_conditions": False}),
    ],
)
def test_pixart_has_the_keys_of_diffusers(variant: str | None, config: dict[str, Any]) -> None:
    theirs = on_meta(PixArtTransformer2DModel, caption_channels=4096, **config)
    plan = planned("pixart_xl_2", variant)
    assert written(plan, "diffusers") == theirs
    assert sum(torch.Size(shape).numel() for shape in theirs.values()) == plan.cost.params


@pytest.mark.parametrize("variant", [None, "alpha-512", "alpha-1024-ms", "sigma-256", "sigma-512-ms", "sigma-2k-ms"])
def test_pixart_goes_to_its_original_keys_and_back(variant: str | None) -> None:
    keys = written(planned("pixart_xl_2", variant), "pixart").keys()
    assert ("csize_embedder.mlp.0.weight" in keys) == ("ar_embedder.mlp.2.bias" in keys) == (variant == "alpha-1024-ms")
    assert ("pos_embed" in keys) == (not variant or not variant.endswith("-ms"))


TINY: dict[str, dict[str, Any]] = {  # the specs at the goldens' sizes
    "dit_xl_2": {"inputs.x": ["batch", 4, 16, 16], "output": ["batch", 8, 16, 16], "conditioning.y.classes": 10},
    "pixart_xl_2": {"inputs.x": ["batch", 4, 16, 16], "output": ["batch", 8, 16, 16], "inputs.text[2]": 24},
}


@pytest.mark.parametrize(
    ("golden", "name", "layout", "spare"),
    [
        ("dit_xl2_classcond", "dit_xl_2", "dit", set()),
        ("pixart_xl2_256", "pixart_xl_2", "pixart", {"y_embedder.y_embedding"}),
    ],
)
def test_keys_are_those_of_the_original_code(golden: str, name: str, layout: str, spare: set[str]) -> None:
    path = GOLDEN / golden / "keys.json"
    if not path.exists():
        pytest.skip(f"{path} is absent: goldens lie beside the project, not in it")
    theirs = {key: tuple(shape) for key, shape in json.loads(path.read_text(encoding="utf-8"))}
    assert theirs.keys() >= spare
    ours = written(planned(name, settings=SMALL | TINY[name]), layout)
    assert ours == {key: shape for key, shape in theirs.items() if key not in spare}


def test_what_a_pixart_file_has_besides_is_passed_over_and_nothing_else() -> None:
    settings = SMALL | {"dit.hidden_size": 48, "inputs.text[2]": 24}
    model = graph.build(planned("pixart_xl_2", "alpha-1024-ms", settings))
    besides = {"y_embedder.y_embedding": torch.zeros(12, 24), "pos_embed": torch.zeros(1, 64, 48)}
    state = original(model)
    load_weights(model, state | besides, "pixart")
    load_weights(model, state | besides)
    with pytest.raises(WeightsError, match="NS604"):
        load_weights(model, state | {"y_embedder.other": torch.zeros(3)}, "pixart")
    fixed = graph.build(planned("pixart_xl_2", settings=settings))  # has a table, which the file has to hold
    with pytest.raises(WeightsError, match="NS603"):
        load_weights(fixed, {key: value for key, value in original(fixed).items() if key != "pos_embed"}, "pixart")


def original(model: Model) -> dict[str, Tensor]:
    return dict(layouts.find("pixart").ours_to_foreign(model.plan, model.state_dict()))
