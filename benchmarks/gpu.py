"""The network in half precision under torch.compile and CUDA graphs, against diffusers on the same GPU"""

from __future__ import annotations

import argparse
import random
import time
import warnings
from collections.abc import Callable
from statistics import median

import torch
from torch import nn

import netspec
from benchmarks.process import quiet
from benchmarks.rivals import NETWORKS
from netspec.spec import Spec
from netspec.weights.load import load_weights

Run = Callable[[], object]


def tiny_twin() -> nn.Module:
    """A small diffusers U-Net: for a look at this script where there is no GPU."""
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=16, block_out_channels=(32, 32), layers_per_block=1, downsample_padding=0, flip_sin_to_cos=False,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=None, freq_shift=1, norm_eps=1e-6,
    )  # fmt: skip


TINY = """
netspec: 1
name: tiny
convention: ddpm
inputs: {x: [batch, 3, 16, 16], t: [batch]}
output: [batch, 3, 16, 16]
dims: {batch: 2}
conditioning: {t: {embed: sinusoidal, dim: 32}}
unet:
  base_channels: 32
  levels: [{multiplier: 1}, {multiplier: 1, attention: full}]
  blocks_per_level: 1
  mid: {attention: full}
  attention: {num_heads: 1}
"""
SIZES = ("tiny", "ddpm", "sd15")
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def main(arguments: list[str] | None = None) -> None:
    """Run the comparison; says so and stops where there is no such device."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--size", default="sd15", choices=SIZES)
    parser.add_argument("--dtype", default="bf16", choices=tuple(DTYPES))
    parser.add_argument("--batch", type=int, default=2, help="samples in one run; 2 is one image with guidance")
    parser.add_argument("--rounds", type=int, default=50)
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        print("skipped: PyTorch sees no CUDA device here")
        return
    quiet()
    warnings.simplefilter("ignore")
    device, dtype = torch.device(given.device), DTYPES[given.dtype]
    spec, twin, inputs = _subject(given.size)
    twin = twin.eval().to(device, dtype)
    inputs = tuple(x[:1].expand(given.batch, *x.shape[1:]).contiguous().to(device, dtype) for x in inputs)
    ours = netspec.build(spec)
    load_weights(ours, {key: tensor.float().cpu() for key, tensor in twin.state_dict().items()}, "diffusers")
    ours = ours.eval().to(device, dtype)
    print(f"{given.size}, batch {given.batch}, {given.dtype}, {_name(device)}, torch {torch.__version__}")
    with torch.no_grad():
        wanted, got = twin(*inputs).sample.float(), ours(*inputs).float()
        print(
            f"  difference of the outputs: {float((wanted - got).abs().max() / wanted.abs().max()):.1e} of the largest"
        )
        _report(_timed(_contenders(ours, twin, inputs, device), device, given.rounds))


def _subject(size: str) -> tuple[Spec, nn.Module, tuple[torch.Tensor, ...]]:
    """Our spec, diffusers' network, and inputs of both, in its order."""
    if size == "tiny":
        return netspec.loads(TINY), tiny_twin(), (torch.randn(2, 3, 16, 16), torch.full((2,), 500.0))
    network = NETWORKS[size]
    return network.load(), network.twin(), tuple(network.inputs.values())


def _contenders(
    ours: nn.Module, twin: nn.Module, inputs: tuple[torch.Tensor, ...], device: torch.device
) -> dict[str, Run]:
    """Both networks eager and compiled; on a GPU also as CUDA graphs, ours by hand and both by the compiler."""
    runs: dict[str, Run] = {
        "diffusers, eager": lambda: twin(*inputs),
        "netspec, eager": lambda: ours(*inputs),
    }
    modes = {"compiled": "default"} | ({"compiled, CUDA graph": "reduce-overhead"} if device.type == "cuda" else {})
    for label, mode in modes.items():
        for name, network in (("diffusers", twin), ("netspec", ours)):
            compiled = torch.compile(network, mode=mode)
            runs[f"{name}, {label}"] = lambda compiled=compiled: compiled(*inputs)
    if device.type == "cuda":
        runs["netspec, eager, CUDA graph"] = _captured(ours, inputs)
    return runs


def _captured(network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> Run:
    """One CUDA graph of an eager run. Warmed up on a stream of its own, as capture asks for."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            network(*inputs)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        network(*inputs)
    return graph.replay


def _timed(runs: dict[str, Run], device: torch.device, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every run, in rounds of random order, after three runs of each that do not count."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for run in runs.values():
        for _ in range(3):
            run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    order = list(runs.items())
    for _ in range(rounds):
        random.shuffle(order)
        for name, run in order:
            wait()
            started = time.perf_counter()
            run()
            wait()
            times[name].append(1e3 * (time.perf_counter() - started))
    return times


def _report(times: dict[str, list[float]]) -> None:
    base = median(times["diffusers, eager"])
    for name, values in times.items():
        p90 = sorted(values)[int(0.9 * (len(values) - 1))]
        print(f"  {name:<32} {median(values):8.2f} ms  p90 {p90:8.2f} ms  {median(values) / base:5.2f}x of the first")


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "this CPU"


if __name__ == "__main__":
    main()
