"""Helpers of `tests/reference/`: our network of a spec, the reference's weights in it, and one strict comparison."""

from __future__ import annotations

import importlib.util
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from netspec import api, graph, planner
from netspec.graph import Model
from netspec.weights.layouts import Layout
from netspec.weights.load import load_weights

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of other people's imports
    from diffusers.models.embeddings import PatchEmbed, get_2d_sincos_pos_embed

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden"

# Two orders of float64 operations differ by some 1e-14 of the largest value; the slightest mistake in an epsilon, a
# frequency or a head's rows moves the output by 1e-6 and more.
TOLERANCE = 1e-9


def network(text: str) -> Model:
    """The network of a spec, in float64, as it is at inference."""
    return graph.build(planner.lower(api.loads(text)), dtype=torch.float64).eval()


def difference(ours: Tensor, reference: Tensor) -> float:
    """The largest difference as a share of the reference's largest value (or 1, where that is smaller)."""
    assert ours.shape == reference.shape
    assert ours.dtype == reference.dtype == torch.float64
    assert reference.std() > 0.01, "a constant output proves nothing"
    return float((ours - reference).abs().max() / max(1.0, float(reference.abs().max())))


def randomise(module: nn.Module) -> None:
    """Move every parameter, so that none is 0 or 1 and each one matters."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)


class ExactPositions(PatchEmbed):  # type: ignore[misc]  # diffusers is untyped
    """diffusers' patches with the positions of their own function unrounded, as the authors' code adds them: diffusers
    rounds them to float32, which alone would cost 1e-8."""

    def forward(self, latent: Tensor) -> Tensor:
        tokens = self.proj(latent)
        table = get_2d_sincos_pos_embed(
            tokens.shape[1], tokens.shape[-2:], base_size=self.base_size, interpolation_scale=self.interpolation_scale,
            output_type="pt",
        )  # fmt: skip
        assert table.dtype == torch.float64
        return tokens.flatten(2).transpose(1, 2) + table[None]


class ExactTimesteps(nn.Module):
    """diffusers' `Timesteps` in float64: its own computes angles in float32, which alone would cost 1e-7."""

    def __init__(self, dim: int, *, sin_first: bool = False, shift: float = 0.0) -> None:
        super().__init__()
        self.dim, self.sin_first, self.shift = dim, sin_first, shift

    def forward(self, t: Tensor) -> Tensor:
        half = self.dim // 2
        rates = [math.exp(-math.log(10000) * i / (half - self.shift)) for i in range(half)]
        angles = t.double()[:, None] * torch.tensor(rates, dtype=torch.float64)
        parts = [angles.sin(), angles.cos()]
        return torch.cat(parts if self.sin_first else parts[::-1], dim=-1)


def twin(cls: type[Any], time: nn.Module | None = None, **config: Any) -> nn.Module:
    """A diffusers model in float64 with random weights everywhere; `time` stands in for its own `time_proj`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: nn.Module = cls(**config).double().eval()
    randomise(model)
    if time is not None:
        model.time_proj = time
    return model


def compare(
    model: Model, reference: nn.Module, *inputs: Tensor, layout: str | Layout = "diffusers", **call: Any
) -> float:
    """The difference of both on the same inputs, ours by position, after carrying the reference's weights over."""
    load_weights(model, reference.state_dict(), layout)
    with torch.no_grad():
        return difference(model(*inputs), reference(**call).sample)


def images(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def timesteps(batch: int) -> Tensor:
    return torch.tensor([1.0, 501.0, 998.0][:batch])


class Golden:
    """One folder of `../shared/golden`: weights redrawn from their keys, inputs, and the float64 output."""

    def __init__(self, name: str) -> None:
        self.folder = GOLDEN / name
        if not self.folder.is_dir():
            pytest.skip(f"{self.folder} is absent: golden outputs lie beside the project, not in it")

    def weights(self) -> dict[str, Tensor]:
        found = importlib.util.spec_from_file_location("refill", GOLDEN / "refill.py")
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        drawn, kept = module.refill(self.folder)
        state = {key: torch.from_numpy(array) for key, array in drawn.items()}
        return state | (load_file(self.folder / "constants.safetensors") if kept else {})

    def inputs(self, names: Sequence[str]) -> list[Tensor]:
        stored = load_file(self.folder / "io.safetensors")
        found = [stored[f"in.{name}"] for name in names]
        return [value.double() if value.is_floating_point() else value for value in found]

    @property
    def output(self) -> Tensor:
        return self.made("out")

    def made(self, name: str) -> Tensor:
        """One of several outputs."""
        return load_file(self.folder / "io64.safetensors")[f"out64.{name}"]

    @property
    def tolerance(self) -> float:
        config: Mapping[str, Any] = json.loads((self.folder / "config.json").read_text())
        return float(config["suggested_tolerance"]["fp64_abs"])
