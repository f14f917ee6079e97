"""The networks that files are compared on, and torch.onnx's export of the same network as diffusers has it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from netspec import api
from netspec.spec import Spec


@dataclass(frozen=True)
class Network:
    """One of ours at some sizes, diffusers' class for it, and that one's inputs under our names, in its order."""

    spec: str
    sizes: Mapping[str, int]
    twin: Callable[[], nn.Module]
    inputs: Mapping[str, Tensor]
    variant: str | None = None

    def load(self, targets: Mapping[str, object] | None = None) -> Spec:
        """The spec with these targets."""
        return api.load(self.spec, variant=self.variant, set={"targets": targets} if targets else {})


def _ddpm() -> nn.Module:
    """google/ddpm-cifar10-32."""
    from diffusers import UNet2DModel

    return UNet2DModel(
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


def _sd15() -> nn.Module:
    """Stable Diffusion 1.5's U-Net."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)


def _dit() -> nn.Module:
    """DiT-B/2 for 256x256 images."""
    from diffusers import DiTTransformer2DModel

    return DiTTransformer2DModel(
        num_attention_heads=12, attention_head_dim=64, in_channels=4, out_channels=8, num_layers=12, sample_size=32
    )


NETWORKS = {
    "sd15": Network(
        "specs/unet/sd15.yaml",
        {"batch": 1, "height": 32, "width": 32},
        _sd15,
        {"x": torch.randn(1, 4, 32, 32), "t": torch.full((1,), 500.0), "text": torch.randn(1, 77, 768)},
    ),
    "ddpm": Network(
        "specs/unet/ddpm_cifar10.yaml", {"batch": 4}, _ddpm,
        {"x": torch.randn(4, 3, 32, 32), "t": torch.full((4,), 500.0)},
    ),
    "dit": Network(
        "specs/dit/dit_xl_2.yaml", {"batch": 2}, _dit,
        {"x": torch.randn(2, 4, 32, 32), "t": torch.full((2,), 500.0), "y": torch.full((2,), 7)},
        variant="b-2",
    ),
}  # fmt: skip


def export(name: str, path: Path) -> None:
    """torch.onnx's export, at those sizes, with random weights."""
    logging.disable(logging.WARNING)  # of diffusers and torch.onnx about what is not installed
    network = NETWORKS[name]
    twin = network.twin().eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inputs = tuple(network.inputs.values())
        program = torch.onnx.export(twin, inputs, dynamo=True, verbose=False, input_names=list(network.inputs))
    assert program is not None
    program.save(path, external_data=True)
