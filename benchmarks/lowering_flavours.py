"""Every form of a flavour, side by side in one run on ONNX Runtime's CPU provider; results: docs/performance/.

    python benchmarks/lowering_flavours.py [--rounds 101] [--network-rounds 15] [--only fragments|networks|CHOICE]

First each choice on the fragments where it matters, then whole networks: a U-Net with Stable Diffusion's blocks and a
DiT with adaLN-Zero, hand-written so that the file needs only the emitter. Each form is exported and loaded; then all
sessions run round after round in random order, so that a noisy machine is noisy for all.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exporters.lowering import FLAVOURS, ORT_CPU, PORTABLE, Flavour, Slot, emit
from netspec import ops
from netspec.target import ExportRequest, Port


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


CHOICES: Mapping[str, Mapping[str, Flavour]] = {
    "group_norm": {form: replace(ORT_CPU, group_norm=form) for form in ("affine", "instance", "operator")},
    "attention": {
        "primitive": replace(ORT_CPU, attention="primitive"),
        "operator (Attention-23)": ORT_CPU,
        "contrib (MultiHeadAttention)": FLAVOURS["ort-cpu-contrib"],
    },
    "conv": {form: replace(ORT_CPU, conv=form) for form in ("direct", "winograd")},
    "linear": {form: replace(ORT_CPU, linear=form) for form in ("matmul", "gemm")},
    "gelu": {form: replace(ORT_CPU, gelu=form) for form in ("operator", "decomposed")},
    "silu": {"decomposed": ORT_CPU, "operator (Swish-24)": replace(ORT_CPU, silu="operator", opset=24)},
    "modulation": {"apart": ORT_CPU, "fused": replace(ORT_CPU, fused_modulation=True)},
}


class Feed(nn.Module):
    """Linear, activation, Linear."""

    def __init__(self, width: int, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fc1, self.fc2, self.act = nn.Linear(width, 4 * width), nn.Linear(4 * width, width), act

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Calls(nn.Module):
    """One function of its inputs, as a network."""

    def __init__(self, function: Callable[..., Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.parts, self.function = nn.ModuleDict(parts), function

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.function(self.parts, x, y)


def fragments() -> Iterator[tuple[str, str, nn.Module, Tensor, Tensor]]:
    """What each choice is measured on: choice, name, network, its two inputs; sizes of SD 1.5 at 32x32 and of DiT-S."""
    image, small = torch.randn(1, 320, 32, 32), torch.randn(1, 1280, 8, 8)
    tokens, text = torch.randn(1, 1024, 320), torch.randn(1, 77, 768)
    dit, vector = torch.randn(2, 256, 384), torch.randn(2, 384)
    for x in (image, small, image[:, :128].repeat(4, 1, 1, 1)):
        resnet = Calls(lambda m, x, y: m.b(x, y), b=Resnet(x.shape[1], x.shape[1], 1280))
        yield "group_norm", f"resnet {tuple(x.shape)}", resnet, x, torch.randn(x.shape[0], 1280)
        norm = Calls(lambda m, x, y: F.silu(m.b(x)) + y, b=nn.GroupNorm(32, x.shape[1]))
        yield "group_norm", f"norm and silu {tuple(x.shape)}", norm, x, x.clone()
        yield "silu", f"norm and silu {tuple(x.shape)}", norm, x, x.clone()
    for n, channels, side in ((1, 320, 32), (1, 640, 16), (1, 1280, 8), (4, 128, 32), (4, 256, 16), (1, 128, 256)):
        x, y = torch.randn(n, channels, side, side), torch.randn(n, channels, side, side)
        conv = Calls(lambda m, x, y: m.b(x) + y, b=nn.Conv2d(channels, channels, 3, padding=1))
        yield "conv", f"3x3 {tuple(x.shape)}", conv, x, y
    large = torch.randn(1, 4096, 320)
    for label, x, y, heads in (
        ("self 4096", large, large, 8),
        ("self 1024", tokens, tokens, 8),
        ("cross 77", tokens, text, 8),
        ("dit 256", dit, dit, 6),
    ):
        attention = Calls(lambda m, x, y: m.b(x, y), b=Attention(x.shape[2], y.shape[2], heads))
        yield "attention", f"{label}, {heads} heads, width {x.shape[2]}", attention, x, y
        yield "linear", f"attention {label}", attention, x, y
    for x in (tokens, torch.randn(1, 256, 640), dit):
        for tanh in ("none", "tanh"):
            feed = Calls(
                lambda m, x, y: m.b(x) + y, b=Feed(x.shape[2], lambda h, tanh=tanh: F.gelu(h, approximate=tanh))
            )
            yield "gelu", f"mlp {tuple(x.shape)} {tanh}", feed, x, x.clone()
            yield "linear", f"mlp {tuple(x.shape)} {tanh}", feed, x, x.clone()
    norm = nn.LayerNorm(384, elementwise_affine=False)
    yield "modulation", "norm (2, 256, 384)", Calls(lambda m, x, y: ops.modulate(m.n(x), y, y), n=norm), dit, vector
    block = Calls(lambda m, x, y: m.b(x, y), b=DiTBlock(384, 6))
    yield "modulation", "block (2, 256, 384)", block, dit, vector


def dynamic(x: Tensor, prefix: str) -> tuple[int | str, ...]:
    """Every size but the width has a name, as in a real graph."""
    width = 1 if x.ndim == 4 else x.ndim - 1
    return tuple(n if axis == width else f"{prefix}{axis}" for axis, n in enumerate(x.shape))


def fragment_request(model: nn.Module, x: Tensor, y: Tensor) -> ExportRequest:
    same = x.shape == y.shape
    shapes = dynamic(x, "s"), dynamic(y, "s" if same else "c")
    ports = [Port(name, shape, torch.float32) for name, shape in zip("xy", shapes, strict=True)]
    multiples = {shapes[0][axis]: 4 for axis in (2, 3)} if x.ndim == 4 else {}  # of an image: whole tiles
    out = Port("out", shapes[0], torch.float32)
    return ExportRequest(model, ports, (out,), "fragment", multiples=multiples)  # type: ignore[arg-type]  # names


def quiet_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Without spinning: the idle threads of one session would slow the next one down."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def compare(
    title: str,
    request: ExportRequest,
    tensors: Sequence[Tensor],
    flavours: Mapping[str, Flavour],
    rounds: int,
    threads: int,
) -> None:
    """Print one block: latency, ratio to eager PyTorch, load time and disagreement with it, for every flavour."""
    model = request.model.eval()
    arrays = {port.name: x.numpy() for port, x in zip(request.inputs, tensors, strict=True)}
    with tempfile.TemporaryDirectory() as temporary, torch.no_grad():
        folder = Path(temporary)
        slots = write_weights(model, folder / "weights.bin")
        expected = model(*tensors).numpy()
        runs: dict[str, Callable[[], object]] = {"torch eager": lambda: model(*tensors)}
        notes = {"torch eager": ""}
        for number, (form, flavour) in enumerate(flavours.items()):
            path = folder / f"{number}.onnx"
            ir.save(emit(request, flavour, slots), path)
            start = time.perf_counter()
            runner = quiet_session(path, threads)
            load = time.perf_counter() - start
            delta = float(np.abs(runner.run(None, arrays)[0] - expected).max())
            runs[form] = lambda runner=runner: runner.run(None, arrays)  # type: ignore[misc]  # one closure per form
            notes[form] = f"load {load:5.2f} s  max |delta| {delta:.1e}"
        times: dict[str, list[float]] = {form: [] for form in runs}
        order = list(runs)
        shuffle = random.Random(0)
        for _ in range(rounds):
            shuffle.shuffle(order)
            for form in order:
                start = time.perf_counter()
                runs[form]()
                times[form].append(time.perf_counter() - start)
    eager = statistics.median(times["torch eager"])
    print(f"\n{title}")
    for form, taken in times.items():
        middle, best = statistics.median(taken), min(taken)
        ms = f"median {middle * 1e3:9.3f} ms  best {best * 1e3:9.3f} ms"
        print(f"  {form:30s} {ms}  x{middle / eager:.2f}  {notes[form]}", flush=True)


NETWORKS: Mapping[str, Flavour] = {
    "ort-cpu": ORT_CPU,
    "ort-cpu-contrib": FLAVOURS["ort-cpu-contrib"],
    "portable": PORTABLE,
    "ort-cpu, direct convolutions": replace(ORT_CPU, conv="direct"),
    "ort-cpu, primitive attention": replace(ORT_CPU, attention="primitive"),
    "ort-cpu, affine group norm": replace(ORT_CPU, group_norm="affine"),
    "ort-cpu, matmul": replace(ORT_CPU, linear="matmul"),
    "ort-cpu, fused modulation": replace(ORT_CPU, fused_modulation=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=101, help="of each fragment")
    parser.add_argument("--network-rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=("fragments", "networks", *CHOICES), help="a choice: its fragments")
    settings = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(settings.threads)
    print(f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}, {settings.threads} threads")
    for choice, name, model, x, y in fragments():
        if settings.only in (None, "fragments", choice):
            request = fragment_request(model, x, y)
            compare(f"{choice}: {name}", request, [x, y], CHOICES[choice], settings.rounds, settings.threads)
    for name, side, batch in (("unet", 32, 1), ("unet", 32, 4), ("dit-s/2", 32, 2)):
        if settings.only in (None, "networks"):
            request = unet_request(UNet((160, 320, 640)), 4) if name == "unet" else dit_request(DiT())
            tensors = [inputs_at(batch, side)[port.name] for port in request.inputs]
            title = f"network: {name}, batch {batch}"
            compare(title, request, tensors, NETWORKS, settings.network_rounds, settings.threads)


if __name__ == "__main__":
    main()
