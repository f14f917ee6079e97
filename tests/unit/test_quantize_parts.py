"""Parts of quantisation by themselves: ranges, roundings, samples, decibels, options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exporters.quantize import Settings, numbers, refusals, samples, tolerance
from exporters.quantize.histogram import Histogram
from exporters.quantize.sqnr import Energies
from netspec import api

TINY = Path(__file__).parents[2] / "specs" / "tiny"
SMALL = {"dims": {"batch": {"min": 1, "opt": 2, "max": 2}, "height": 8, "width": 8}}


# Ranges


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("kind", ["normal", "silu", "outlier"])
def test_range_loses_no_more_than_any_other_that_is_tried(kind: str, symmetric: bool) -> None:
    values = np.random.default_rng(0).standard_normal(200_000)
    if kind == "silu":
        values = values / (1 + np.exp(-values))
    if kind == "outlier":
        values[7] = 40.0
    steps = 254 if symmetric else 255
    seen = Histogram()
    seen.add(values)
    best = seen.best(steps, symmetric=symmetric)

    def lost(low: float, high: float) -> float:
        step = (high - low) / steps
        rounded = np.clip(np.round((values - low) / step) * step + low, low, high)
        return float(((rounded - values) ** 2).sum() / (values**2).sum())

    low, high = (-np.abs(values).max(),) * 1 + (np.abs(values).max(),) if symmetric else (values.min(), values.max())
    shares = (1.0, 0.9, 0.8, 0.7, 0.5, 0.3)
    others = [(low * a, high * b) for a in shares for b in shares if not symmetric or a == b]
    assert lost(best.low, best.high) <= 1.1 * min(lost(*ends) for ends in others)
    assert best.error / seen.energy == pytest.approx(lost(best.low, best.high), rel=0.1)


def test_histogram_does_not_depend_on_order() -> None:
    parts = [np.random.default_rng(seed).standard_normal(1000) * 4.0**seed for seed in range(5)]
    forward, backward, joined = Histogram(), Histogram(), Histogram()
    for part in parts:
        forward.add(part)
        one = Histogram()
        one.add(part)
        joined.merge(one)
    for part in reversed(parts):
        backward.add(part)
    for other in (backward, joined):
        assert (forward.low, forward.high) == (other.low, other.high)
        assert (forward.counts == other.counts).all()
    assert forward.counts.sum() == 5000


def test_nothing_but_zeros_has_a_range() -> None:
    seen = Histogram()
    seen.add(np.zeros(10))
    best = seen.best(255, symmetric=False)
    assert best.error == 0 and best.low == best.high == 0


# Numbers


def share(weight: torch.Tensor, back: torch.Tensor) -> float:
    return float((weight - back).square().sum() / weight.square().sum())


def test_per_channel_is_within_half_a_step() -> None:
    weight = torch.randn(6, 5, 3, 3) * torch.tensor([1e-3, 1, 5, 0, 0.1, 30])[:, None, None, None]
    made = numbers.per_channel(weight, torch.float32)
    back = made.data.float() * made.scale[:, None, None, None]
    assert ((back - weight).abs() <= made.scale[:, None, None, None] * 0.5001).all()
    assert made.data.abs().flatten(1).amax(1).tolist() == [127, 127, 127, 0, 127, 127]
    assert torch.equal(made.back, back)


def test_scales_are_what_their_type_holds() -> None:
    made = numbers.per_channel(torch.randn(4, 8), torch.float16)
    assert (made.scale == made.scale.half().float()).all()
    assert (numbers.float8(torch.randn(4, 8), torch.bfloat16).scale.bfloat16().float() > 0).all()


def test_float8_reaches_its_largest_number() -> None:
    weight = torch.tensor([[0.5, -2.0], [0.01, 1.0]])
    made = numbers.float8(weight, torch.float32)
    assert made.data.float().abs().max() == 448 and share(weight, made.back) < 1e-2


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("size", [16, 32, 64])
def test_blocks_are_within_their_steps(bits: int, size: int) -> None:
    weight = torch.randn(8, 128, generator=torch.Generator().manual_seed(0))
    made = numbers.blocks(weight, torch.float32, bits, size)
    split = weight.reshape(8, 128 // size, size)
    back = made.data.float() * made.scale[..., None]
    top = 2 ** (bits - 1)
    assert made.data.min() >= -top and made.data.max() <= top - 1
    # Never worse than the grid through the block's own peak, whose other end is one step short.
    worst = split.abs().amax(2) / top
    assert ((back - split).square().sum(2) <= size * worst**2 / 4 + worst**2).all()


def test_smaller_blocks_lose_less() -> None:
    weight = torch.randn(64, 256, generator=torch.Generator().manual_seed(1))
    lost = [share(weight, numbers.blocks(weight, torch.float32, 4, size).back) for size in (16, 32, 64, 128, 256)]
    assert lost == sorted(lost)
    assert 0.003 < lost[1] < 0.008  # 32 normal numbers on 15 steps: about 23 dB


def test_nibbles_are_packed_low_first() -> None:
    data = torch.tensor([[[-8, 7, 0, 1]]], dtype=torch.int8)
    assert numbers.stored(data, 4, signed=False).tolist() == [[[0xF0, 0x98]]]
    assert numbers.stored(data, 4, signed=True).tolist() == [[[0x78, 0x10]]]
    assert numbers.stored(data, 8, signed=False).tolist() == [[[120, 135, 128, 129]]]


# Samples


def test_samples_run_over_the_whole_of_time() -> None:
    plan = api.lower(api.load(TINY / "unet.yaml", set=SMALL))
    made = list(samples.made(plan, {name: dim.opt for name, dim in plan.spec.dims.items()}, 8))
    times = np.concatenate([sample["t"] for sample in made])
    assert times.min() < 50 and times.max() > 950 and len(set(times.tolist())) == 16
    labels = np.concatenate([sample["y"] for sample in made])
    assert labels.dtype == np.int64 and labels.min() >= 0 and labels.max() <= 10
    again = list(samples.made(plan, {name: dim.opt for name, dim in plan.spec.dims.items()}, 8))
    assert all((a[name] == b[name]).all() for a, b in zip(made, again, strict=True) for name in a)


def test_late_samples_are_noise_and_early_ones_are_pictures() -> None:
    plan = api.lower(api.load(TINY / "unet.yaml", set=SMALL | {"dims.height": 32, "dims.width": 32}))
    made = list(samples.made(plan, {name: dim.opt for name, dim in plan.spec.dims.items()}, 8))

    def smoothness(image: np.ndarray) -> float:  # 1: neighbours are equal; 0: they are independent
        return float((image[..., 1:] * image[..., :-1]).mean() / (image**2).mean())

    assert smoothness(made[0]["x"]) > 0.6 and abs(smoothness(made[-1]["x"])) < 0.1
    assert all(0.7 < sample["x"].std() < 1.3 for sample in made)


def test_samples_of_an_autoencoder_are_pictures() -> None:
    plan = api.lower(api.load(TINY / "autoencoder.yaml"))
    point = samples._point(plan)
    assert all(set(sample) == set(plan.inputs) for sample in samples.made(plan, point.sizes, 3))


# Decibels and options


def test_energies() -> None:
    energies = Energies()
    energies.add(np.full(100, 10.0), np.full(100, 11.0))
    assert energies.decibels == pytest.approx(20)
    energies.add(np.full(1, 1.0), np.full(1, np.nan))
    assert energies.decibels == -200
    silent = Energies()
    silent.add(np.zeros(3), np.zeros(3))
    assert silent.decibels == 200


@pytest.mark.parametrize(
    "wrong",
    [{"sqnr": 0}, {"sqnr": "high"}, {"sqnr": True}, {"block": 48}, {"calibration": 3}, {"calibration": "a.txt"}],
)
def test_options_that_mean_nothing(wrong: dict[str, Any]) -> None:
    (found,) = refusals(Settings(**wrong))
    assert found.code == "NS561" and next(iter(wrong)) in found.message


def test_tolerance_follows_the_bound() -> None:
    assert tolerance(Settings(sqnr=40)) == pytest.approx(tolerance(Settings(sqnr=20)) / 10, rel=0.05)
