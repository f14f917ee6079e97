"""Every form of a flavour, side by side in one run on ONNX Runtime's CPU provider: docs/onnx-flavours.md has the tables.

    python benchmarks/lowering_flavours.py [--rounds 15] [--threads 2] [--scale small|full]

Two hand-written networks stand for the families: a U-Net with Stable Diffusion's blocks and a DiT with adaLN-Zero. Each
form is exported and loaded, then all sessions run in turn, round after round, so that a noisy machine is noisy for all.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exporters.lowering import ORT_CPU, Flavour
from exporters.onnx.exporter import OnnxExporter
from exporters.onnx.runtime import session
from exporters.request import ExportRequest, Port, Slot
from netspec import ops


class Resnet(nn.Module):
    """GroupNorm, SiLU, 3x3 convolution, twice; time is added between. (N, C, H, W) to (N, width, H, W)."""

    def __init__(self, channels: int, width: int, time: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(32, channels), nn.Conv2d(channels, width, 3, padding=1)
        self.time = nn.Linear(time, width)
        self.norm2, self.conv2 = nn.GroupNorm(32, width), nn.Conv2d(width, width, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, width, 1) if channels != width else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time(F.silu(time))[:, :, None, None]
        return self.shortcut(x) + self.conv2(F.silu(self.norm2(h)))


class Attention(nn.Module):
    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(i, width, bias=False) for i in (width, context, context))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        return self.out(ops.attention(self.q(x), self.k(context), self.v(context), self.heads))


class Transformer(nn.Module):
    """Self-attention, cross-attention, GEGLU, over the positions of an image."""

    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.norm, self.proj_in = nn.GroupNorm(32, width), nn.Conv2d(width, width, 1)
        self.norm1, self.self_attn = nn.LayerNorm(width), Attention(width, width, heads)
        self.norm2, self.cross_attn = nn.LayerNorm(width), Attention(width, context, heads)
        self.norm3, self.ff_in = nn.LayerNorm(width), nn.Linear(width, 8 * width)
        self.ff_out, self.proj_out = nn.Linear(4 * width, width), nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        h = ops.to_tokens(self.proj_in(self.norm(x)))  # (N, T, C)
        y = self.norm1(h)
        h = h + self.self_attn(y, y)
        h = h + self.cross_attn(self.norm2(h), context)
        value, gate = self.ff_in(self.norm3(h)).chunk(2, dim=-1)
        h = h + self.ff_out(value * F.gelu(gate))
        return x + self.proj_out(ops.from_tokens(h, x))


class UNet(nn.Module):
    """Stable Diffusion 1.5's layout: `widths` per level, two blocks each, attention on all levels but the last."""

    def __init__(self, widths: tuple[int, ...] = (320, 640, 1280, 1280), context: int = 768, heads: int = 8) -> None:
        super().__init__()
        time = 4 * widths[0]
        self.width, self.levels = widths[0], len(widths)
        self.time1, self.time2 = nn.Linear(widths[0], time), nn.Linear(time, time)
        self.stem = nn.Conv2d(4, widths[0], 3, padding=1)
        self.down, self.up, self.attn = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        skips, channels = [widths[0]], widths[0]
        for level, width in enumerate(widths):
            for block in range(2):
                self.down[f"{level}_{block}"] = Resnet(channels, width, time)
                channels = width
                skips.append(channels)
                if level < self.levels - 1:
                    self.attn[f"down_{level}_{block}"] = Transformer(width, context, heads)
            if level < self.levels - 1:
                self.down[f"{level}_pool"] = nn.Conv2d(width, width, 3, stride=2)
                skips.append(width)
        self.mid1, self.mid2 = Resnet(channels, channels, time), Resnet(channels, channels, time)
        self.mid_attn = Transformer(channels, context, heads)
        for level, width in reversed(list(enumerate(widths))):
            for block in range(3):
                self.up[f"{level}_{block}"] = Resnet(channels + skips.pop(), width, time)
                channels = width
                if level < self.levels - 1:
                    self.attn[f"up_{level}_{block}"] = Transformer(width, context, heads)
            if level:
                self.up[f"{level}_grow"] = nn.Conv2d(width, width, 3, padding=1)
        self.norm, self.head = nn.GroupNorm(32, channels), nn.Conv2d(channels, 4, 3, padding=1)

    def forward(self, sample: Tensor, timestep: Tensor, context: Tensor) -> Tensor:
        t = ops.timestep_embedding(timestep, self.time1.weight, self.width, "cos_sin", 10000.0, 0.0, 1.0)
        t = self.time2(F.silu(self.time1(t)))
        x = self.stem(sample)
        skips = [x]
        for level in range(self.levels):
            for block in range(2):
                x = self.down[f"{level}_{block}"](x, t)
                if level < self.levels - 1:
                    x = self.attn[f"down_{level}_{block}"](x, context)
                skips.append(x)
            if level < self.levels - 1:
                x = self.down[f"{level}_pool"](F.pad(x, (1, 1, 1, 1)))
                skips.append(x)
        x = self.mid2(self.mid_attn(self.mid1(x, t), context), t)
        for level in reversed(range(self.levels)):
            for block in range(3):
                x = self.up[f"{level}_{block}"](torch.cat([x, skips.pop()], dim=1), t)
                if level < self.levels - 1:
                    x = self.attn[f"up_{level}_{block}"](x, context)
            if level:
                x = self.up[f"{level}_grow"](ops.upsample_nearest(x, 2))
        return self.head(F.silu(self.norm(x)))


class DiTBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6), Attention(width, width, heads)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.modulation = nn.Linear(width, 6 * width)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(F.silu(c)).chunk(6, dim=-1)
        y = ops.modulate(self.norm1(x), shift1, scale1)
        x = x + gate1.unsqueeze(1) * self.attn(y, y)
        y = ops.modulate(self.norm2(x), shift2, scale2)
        return x + gate2.unsqueeze(1) * self.fc2(F.gelu(self.fc1(y), approximate="tanh"))


class DiT(nn.Module):
    """DiT-S/2 by default. Peebles & Xie 2023, arXiv:2212.09748."""

    def __init__(self, width: int = 384, depth: int = 12, heads: int = 6, grid: int = 16) -> None:
        super().__init__()
        self.patch, self.width = nn.Conv2d(4, width, 2, stride=2), width
        self.positions = nn.Parameter(torch.randn(1, grid, grid, width) * 0.02)
        self.time1, self.time2 = nn.Linear(256, width), nn.Linear(width, width)
        self.label = nn.Embedding(1001, width)
        self.blocks = nn.ModuleList(DiTBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation, self.head = nn.Linear(width, 2 * width), nn.Linear(width, 2 * 2 * 8)

    def forward(self, sample: Tensor, timestep: Tensor, label: Tensor) -> Tensor:
        x = ops.to_tokens(self.patch(sample)) + ops.crop_positions(self.positions, sample, 2, "center")
        t = ops.timestep_embedding(timestep, self.time1.weight, 256, "cos_sin", 10000.0, 0.0, 1.0)
        c = self.time2(F.silu(self.time1(t))) + self.label(label)
        for block in self.blocks:
            x = block(x, c)
        shift, scale = self.modulation(F.silu(c)).chunk(2, dim=-1)
        return ops.unpatchify(self.head(ops.modulate(self.norm(x), shift, scale)), sample, 2)


SAMPLE = Port("sample", ("batch", 4, "height", "width"), torch.float32)
TIMESTEP = Port("timestep", ("batch",), torch.float32)
CONTEXT = Port("context", ("batch", "length", 768), torch.float32)
LABEL = Port("label", ("batch",), torch.int64)


def unet_request(model: nn.Module, step: int) -> ExportRequest:
    """A U-Net's request; `step` is what the image's sides are divisible by."""
    return ExportRequest(
        model,
        (SAMPLE, TIMESTEP, CONTEXT),
        (Port("out", SAMPLE.shape, torch.float32),),
        "unet",
        multiples={"height": step, "width": step},
    )


def dit_request(model: nn.Module) -> ExportRequest:
    out = Port("out", ("batch", 8, "height", "width"), torch.float32)
    return ExportRequest(model, (SAMPLE, TIMESTEP, LABEL), (out,), "dit", multiples={"height": 2, "width": 2})


def write_weights(model: nn.Module, path: Path) -> dict[str, Slot]:
    """The state dict's bytes one after another, each at a multiple of 256: what the aligned file does."""
    slots = {}
    with path.open("wb") as file:
        for key, tensor in model.state_dict().items():
            file.seek(-file.tell() % 256, 1)
            data = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            slots[key] = Slot(path.name, file.tell(), len(data))
            file.write(data)
    return slots


def inputs_at(batch: int, side: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "sample": torch.randn(batch, 4, side, side, generator=generator),
        "timestep": torch.linspace(1, 999, batch),
        "context": torch.randn(batch, 77, 768, generator=generator),
        "label": torch.arange(batch),
    }


FORMS: Mapping[str, Flavour] = {
    "base": ORT_CPU,
    "group_norm: affine": replace(ORT_CPU, group_norm="affine"),
    "group_norm: instance": replace(ORT_CPU, group_norm="instance"),
    "group_norm: operator": replace(ORT_CPU, group_norm="operator"),
    "attention: primitive": replace(ORT_CPU, attention="primitive"),
    "attention: operator": replace(ORT_CPU, attention="operator", opset=23),
    "attention: contrib": replace(ORT_CPU, attention="contrib"),
    "linear: matmul": replace(ORT_CPU, linear="matmul"),
    "linear: gemm": replace(ORT_CPU, linear="gemm"),
    "gelu: operator": replace(ORT_CPU, gelu="operator"),
    "gelu: decomposed": replace(ORT_CPU, gelu="decomposed"),
    "silu: decomposed": replace(ORT_CPU, silu="decomposed"),
    "silu: operator": replace(ORT_CPU, silu="operator", opset=24),
    "modulation: fused": replace(ORT_CPU, fused_modulation=True),
    "modulation: apart": replace(ORT_CPU, fused_modulation=False),
}


def compare(name: str, request: ExportRequest, feeds: Mapping[str, Tensor], rounds: int, threads: int) -> None:
    """Print one table: latency, load time and disagreement with eager PyTorch of every form."""
    model = request.model.eval()
    names = [port.name for port in request.inputs]
    tensors = [feeds[key] for key in names]
    torch.set_num_threads(threads)
    with torch.no_grad():
        expected = model(*tensors).numpy()
    runs: dict[str, Callable[[], object]] = {"torch eager": lambda: model(*tensors)}
    notes = {"torch eager": ""}
    with tempfile.TemporaryDirectory() as temporary, torch.no_grad():
        folder = Path(temporary)
        request = replace(request, weights=write_weights(model, folder / "weights.bin"))
        for form, flavour in FORMS.items():
            file = f"{form.replace(': ', '_')}.onnx"
            try:
                (path,) = OnnxExporter(flavour, file).run(request, folder)
                start = time.perf_counter()
                runner = session(path, threads)
            except Exception as error:  # a form that this runtime lacks is a row of the table, not a failure
                print(f"{name}  {form:24s} {type(error).__name__}: {str(error)[:100]}")
                continue
            load = time.perf_counter() - start
            arrays = {key: feeds[key].numpy() for key in names}
            delta = float(np.abs(runner.run(None, arrays)[0] - expected).max())
            runs[form] = lambda runner=runner, arrays=arrays: runner.run(None, arrays)  # type: ignore[misc]  # a closure per form
            notes[form] = f"load {load:6.2f} s   max |delta| {delta:.1e}"
        times: dict[str, list[float]] = {form: [] for form in runs}
        for _ in range(rounds):
            for form, call in runs.items():
                start = time.perf_counter()
                call()
                times[form].append(time.perf_counter() - start)
    eager = statistics.median(times["torch eager"])
    for form, taken in times.items():
        middle = statistics.median(taken)
        print(f"{name}  {form:24s} {middle * 1e3:9.1f} ms  best {min(taken) * 1e3:9.1f}  x{middle / eager:.2f}  {notes[form]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=("unet", "dit"))
    settings = parser.parse_args()
    torch.manual_seed(0)
    if settings.only != "dit":
        unet = UNet((160, 320, 640))
        compare("unet 32x32 b1", unet_request(unet, 4), inputs_at(1, 32), settings.rounds, settings.threads)
        compare("unet 32x32 b4", unet_request(unet, 4), inputs_at(4, 32), settings.rounds, settings.threads)
    if settings.only != "unet":
        compare("dit-s/2 32x32 b2", dit_request(DiT()), inputs_at(2, 32), settings.rounds, settings.threads)


if __name__ == "__main__":
    main()
