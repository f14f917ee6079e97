"""ONNX Runtime on the CPU: our file, torch.onnx's export of the diffusers twin, and PyTorch, interleaved"""

from __future__ import annotations

import random
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
import torch
from diffusers import UNet2DConditionModel, UNet2DModel

import netspec
from benchmarks.process import quiet
from netspec import compiler


def ddpm_twin() -> tuple[torch.nn.Module, tuple[torch.Tensor, ...], tuple[str, ...]]:
    """google/ddpm-cifar10-32 in diffusers, batch 4."""
    twin = UNet2DModel(
        sample_size=32,
        block_out_channels=(128, 256, 256, 256),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=None,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
        norm_eps=1e-6,
    )
    return twin, (torch.randn(4, 3, 32, 32), torch.full((4,), 500.0)), ("x", "t")


def sd15_twin() -> tuple[torch.nn.Module, tuple[torch.Tensor, ...], tuple[str, ...]]:
    """Stable Diffusion 1.5's U-Net in diffusers, batch 1, 32x32 latents."""
    twin = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    return twin, (torch.randn(1, 4, 32, 32), torch.full((1,), 500.0), torch.randn(1, 77, 768)), ("x", "t", "text")


def main(rounds: int = 15) -> None:
    quiet()
    warnings.simplefilter("ignore")
    for spec, make in (("specs/unet/ddpm_cifar10.yaml", ddpm_twin), ("specs/unet/sd15.yaml", sd15_twin)):
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, torch.no_grad():
            _compare(spec, make, Path(folder), rounds)


def _compare(
    spec: str,
    make: Callable[[], tuple[torch.nn.Module, tuple[torch.Tensor, ...], tuple[str, ...]]],
    folder: Path,
    rounds: int,
) -> None:
    twin, inputs, names = make()
    twin.eval()
    program = torch.onnx.export(twin, inputs, dynamo=True, verbose=False, input_names=list(names))
    program.save(folder / "twin.onnx", external_data=True)
    compiler.compile(netspec.load(spec), folder / "ours", compiler.Options(parity=False))
    model = netspec.build(netspec.load(spec)).eval()
    arrays = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
    theirs, ours = _still(folder / "twin.onnx"), _still(folder / "ours" / "model.onnx")
    contenders: dict[str, Callable[[], object]] = {
        "torch eager, our module": lambda: model(*inputs),
        "torch eager, diffusers": lambda: twin(*inputs),
        "torch.onnx of diffusers": lambda: theirs.run(None, _named(theirs, arrays)),
        "netspec": lambda: ours.run(None, arrays),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders.items())
    for _ in range(rounds + 1):
        random.shuffle(order)  # whoever runs after another finds caches and threads as that one left them
        for name, run in order:
            started = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - started)
    medians = {name: median(values[1:]) for name, values in times.items()}
    print(spec)
    for name, seconds in medians.items():
        print(
            f"  {name:<26} {1e3 * seconds:8.1f} ms   {seconds / medians['torch eager, our module']:.2f}x of our module "
            f"eager   {seconds / medians['torch.onnx of diffusers']:.2f}x of torch.onnx"
        )


def _still(path: Path) -> onnxruntime.InferenceSession:
    """A session whose idle threads sleep: spinning ones would slow whoever runs next."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _named(runner: object, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays by the names that torch.onnx chose."""
    wanted = [value.name for value in runner.get_inputs()]  # type: ignore[attr-defined]
    return dict(zip(wanted, arrays.values(), strict=True))


if __name__ == "__main__":
    main()
