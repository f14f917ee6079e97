"""Every leaf, in every flavour: PyTorch and ONNX Runtime must give the same numbers for random sizes and weights."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from exporters.lowering import FLAVOURS, ORT_CPU, Flavour, emit, pack, register, table
from exporters.lowering.dims import Dim, broadcast, exact_div, product, symbol
from exporters.onnx import contrib
from exporters.onnx.exporter import OnnxExporter
from exporters.onnx.runtime import run
from netspec import ops
from netspec.errors import ExportError, RegistrationError
from netspec.plan import Origin
from netspec.target import ExportRequest, Port
from netspec.weights.aligned import AlignedLayout, AlignedWriter, TensorInfo, dtype_name

FLOAT32 = 2e-5  # both sum in float32, in another order: about 1e-6 for the ~100 terms of these sizes
FLOAT16 = 2e-2  # one rounding of float16 is 1e-3; ONNX Runtime rounds between the operators that PyTorch keeps whole

FORMS = {
    **FLAVOURS,
    "affine+gemm": replace(ORT_CPU, group_norm="affine", linear="gemm"),
    "instance+matmul": replace(ORT_CPU, group_norm="instance", linear="matmul"),
    "operators": replace(ORT_CPU, opset=24, group_norm="operator", attention="operator", silu="operator"),
    "decomposed": replace(ORT_CPU, gelu="decomposed", fused_modulation=True),
}


class Wrap(nn.Module):
    """A function of tensors as a module; `parts` are modules that it uses."""

    def __init__(self, function: Callable[..., Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor, y: Tensor, z: Tensor) -> Any:
        return self.function(
            *([self] if self._modules else []), *[x, y, z][: self.function.__code__.co_argcount - bool(self._modules)]
        )


def compare(expected: Tensor, actual: np.ndarray, tolerance: float) -> None:
    """Equal within `tolerance` of the largest number. Raises AssertionError with the difference."""
    wanted = expected.detach().double().numpy()
    assert wanted.shape == actual.shape, f"shape {actual.shape}, PyTorch has {wanted.shape}"
    delta = np.abs(wanted - actual.astype(np.float64)).max() if wanted.size else 0.0
    scale = max(1.0, np.abs(wanted).max()) if wanted.size else 1.0
    assert delta <= tolerance * scale, f"max |delta| {delta:.3g} of {scale:.3g}"


def test_compare_fails_when_it_should() -> None:
    with pytest.raises(AssertionError, match="delta"):
        compare(torch.ones(3), np.array([1, 1, 1.001], dtype=np.float32), FLOAT32)
    with pytest.raises(AssertionError, match="delta"):
        compare(torch.ones(3), np.array([1, 1, np.nan], dtype=np.float32), FLOAT32)
    with pytest.raises(AssertionError, match="shape"):
        compare(torch.ones(3), np.ones((1, 3), dtype=np.float32), FLOAT32)


def save_weights(model: nn.Module, path: Path) -> Path:
    """The state dict as the file that exporters take weights from."""
    tensors = model.state_dict()
    infos = [TensorInfo(key, dtype_name(tensor.dtype), tuple(tensor.shape)) for key, tensor in tensors.items()]
    with AlignedWriter(path, AlignedLayout.plan(infos, {})) as writer:
        for key, tensor in tensors.items():
            writer.write(key, tensor)
    return path


@dataclass(frozen=True)
class Sizes:
    """One draw: a tensor x (n, c, h, w), tokens and vectors that go with it."""

    n: int
    c: int
    h: int
    w: int
    seed: int


SIZES = st.builds(
    Sizes,
    n=st.integers(1, 3),
    c=st.sampled_from([4, 8, 12, 32]),
    h=st.sampled_from([4, 8, 12]),
    w=st.sampled_from([4, 8, 16]),
    seed=st.integers(0, 2**31),
)
Inputs = tuple[Tensor, Tensor, Tensor]


def image(s: Sizes, dtype: torch.dtype) -> Inputs:
    """(n, c, h, w), the same again, (n, c)"""
    return (
        torch.randn(s.n, s.c, s.h, s.w, dtype=dtype),
        torch.randn(s.n, s.c, s.h, s.w, dtype=dtype),
        torch.randn(s.n, s.c, dtype=dtype),
    )


def tokens(s: Sizes, dtype: torch.dtype) -> Inputs:
    """(n, h * w, c), (n, h + 3, c), (n, c)"""
    return (
        torch.randn(s.n, s.h * s.w, s.c, dtype=dtype),
        torch.randn(s.n, s.h + 3, s.c, dtype=dtype),
        torch.randn(s.n, s.c, dtype=dtype),
    )


def masked(s: Sizes, dtype: torch.dtype) -> Inputs:
    """(n, h * w, c), (n, h + 3, c), (n, h + 3) of 0 and 1: one token of the first sample is seen, two of the next"""
    seen = torch.arange(s.h + 3) <= torch.arange(s.n)[:, None]
    return torch.randn(s.n, s.h * s.w, s.c, dtype=dtype), torch.randn(s.n, s.h + 3, s.c, dtype=dtype), seen.long()


def tokens_of_image(s: Sizes, dtype: torch.dtype) -> Inputs:
    """(n, h * w, c), (n, c, h, w), (n, c)"""
    return (
        torch.randn(s.n, s.h * s.w, s.c, dtype=dtype),
        torch.randn(s.n, 3, s.h, s.w, dtype=dtype),
        torch.randn(s.n, s.c, dtype=dtype),
    )


def patches(s: Sizes, dtype: torch.dtype) -> Inputs:
    """(n, h / 2 * w / 2, c), (n, 3, h, w), (n, c)"""
    return (
        torch.randn(s.n, s.h * s.w // 4, s.c, dtype=dtype),
        torch.randn(s.n, 3, s.h, s.w, dtype=dtype),
        torch.randn(s.n, s.c, dtype=dtype),
    )


def crops(s: Sizes, dtype: torch.dtype) -> Inputs:
    """(n, c, h + 3, w + 2), (n, 1, h, w), (n, c)"""
    return (
        torch.randn(s.n, s.c, s.h + 3, s.w + 2, dtype=dtype),
        torch.randn(s.n, 1, s.h, s.w, dtype=dtype),
        torch.randn(s.n, s.c, dtype=dtype),
    )


def times(s: Sizes, dtype: torch.dtype) -> Inputs:
    """(n,) of timesteps, (n, c), (n,) of labels"""
    return torch.rand(s.n) * 999, torch.randn(s.n, s.c, dtype=dtype), torch.arange(s.n)


class Tables(nn.Module):
    """Parameters and buffers that a forward reads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, 16, 16, 5))
        self.frequencies: Tensor
        self.kernel: Tensor
        self.register_buffer("frequencies", torch.randn(6))
        self.register_buffer("kernel", torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16, persistent=False)


def of(module: Callable[[Sizes], nn.Module]) -> Callable[[Sizes], nn.Module]:
    """A leaf that is a module of the first input."""
    return lambda s: Wrap(lambda self, x: self.part(x), part=module(s))


def fn(function: Callable[..., Any]) -> Callable[[Sizes], nn.Module]:
    """A leaf that is a function of the inputs."""
    return lambda s: Wrap(function)


def tables(function: Callable[..., Any]) -> Callable[[Sizes], nn.Module]:
    return lambda s: Wrap(function, tables=Tables())


def groups(s: Sizes) -> int:
    return s.c // 4 if s.c > 4 else 2


def trained_batch_norm(s: Sizes) -> nn.Module:
    norm = nn.BatchNorm2d(s.c)
    nn.init.uniform_(norm.running_var, 0.5, 2.0)  # type: ignore[arg-type]  # it tracks
    nn.init.normal_(norm.running_mean)  # type: ignore[arg-type]  # it tracks
    return norm


LEAVES: Mapping[str, tuple[Callable[[Sizes, torch.dtype], Inputs], Callable[[Sizes], nn.Module]]] = {
    "conv": (image, of(lambda s: nn.Conv2d(s.c, 6, 3, padding=1))),
    "conv 1x1 no bias": (image, of(lambda s: nn.Conv2d(s.c, 6, 1, bias=False))),
    "conv valid": (image, of(lambda s: nn.Conv2d(s.c, 6, 3))),
    "conv same": (image, of(lambda s: nn.Conv2d(s.c, 6, 3, padding="same", dilation=2))),
    "conv strided": (image, of(lambda s: nn.Conv2d(s.c, 6, 3, stride=2, padding=1))),
    "conv grouped dilated": (image, of(lambda s: nn.Conv2d(s.c, 8, 3, padding=2, dilation=2, groups=4))),
    "conv transpose": (image, of(lambda s: nn.ConvTranspose2d(s.c, 6, 4, stride=2, padding=1))),
    "conv transpose 3": (
        image,
        of(lambda s: nn.ConvTranspose2d(s.c, 6, 3, stride=2, padding=1, output_padding=1)),
    ),
    "conv transpose 2": (image, of(lambda s: nn.ConvTranspose2d(s.c, 6, 2, stride=2, bias=False))),
    "conv transpose of a shared weight": (
        image,
        lambda s: Wrap(
            lambda self, x: F.conv_transpose2d(self.part(x), self.part.weight, self.bias.bias, padding=1),
            part=nn.Conv2d(s.c, 6, 3, padding=1),
            bias=nn.Conv2d(1, s.c, 1),
        ),
    ),
    "zero pad, conv": (image, lambda s: nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(s.c, 6, 3, stride=2))),
    "avg pool": (image, of(lambda s: nn.AvgPool2d(2))),
    "avg pool padded": (image, of(lambda s: nn.AvgPool2d(3, stride=2, padding=1))),
    "max pool": (image, of(lambda s: nn.MaxPool2d(2))),
    "pixel shuffle": (image, of(lambda s: nn.PixelShuffle(2))),
    "pixel unshuffle": (image, of(lambda s: nn.PixelUnshuffle(2))),
    "upsample": (image, of(lambda s: nn.Upsample(scale_factor=2))),
    "linear": (tokens, of(lambda s: nn.Linear(s.c, 7))),
    "linear no bias": (tokens, of(lambda s: nn.Linear(s.c, 7, bias=False))),
    "linear 2-D": (image, lambda s: Wrap(lambda self, x, y, z: self.part(z), part=nn.Linear(s.c, 7))),
    "linear 4-D": (image, lambda s: Wrap(lambda self, x: self.part(x), part=nn.Linear(s.w, 7))),
    "embedding": (times, lambda s: Wrap(lambda self, x, y, z: self.part(z), part=nn.Embedding(9, 5))),
    "group norm": (image, of(lambda s: nn.GroupNorm(groups(s), s.c))),
    "group norm tokens": (image, lambda s: Wrap(lambda self, x: self.part(x.flatten(2)), part=nn.GroupNorm(2, s.c))),
    "group norm plain": (image, of(lambda s: nn.GroupNorm(groups(s), s.c, affine=False))),
    "layer norm": (tokens, of(lambda s: nn.LayerNorm(s.c))),
    "layer norm no bias": (tokens, of(lambda s: nn.LayerNorm(s.c, bias=False))),
    "layer norm plain": (tokens, of(lambda s: nn.LayerNorm(s.c, elementwise_affine=False, eps=1e-6))),
    "rms norm": (tokens, of(lambda s: nn.RMSNorm(s.c, eps=1e-6))),
    "rms norm plain": (tokens, of(lambda s: nn.RMSNorm(s.c, elementwise_affine=False))),
    "batch norm": (image, of(trained_batch_norm)),
    "instance norm": (image, of(lambda s: nn.InstanceNorm2d(s.c, affine=True))),
    "instance norm plain": (image, of(lambda s: nn.InstanceNorm2d(s.c))),
    "modules silu relu dropout": (image, lambda s: nn.Sequential(nn.SiLU(), nn.Dropout(), nn.Identity(), nn.ReLU())),
    "modules gelu": (image, lambda s: nn.Sequential(nn.GELU(), nn.GELU("tanh"), nn.LeakyReLU(0.2))),
    "modules sigmoid": (image, lambda s: nn.Sequential(nn.Sigmoid(), nn.Tanh(), nn.Flatten(2), nn.Softmax(-1))),
    "silu": (image, fn(lambda x: F.silu(x))),
    "gelu": (image, fn(lambda x: F.gelu(x))),
    "gelu tanh": (image, fn(lambda x: F.gelu(x, approximate="tanh"))),
    "relu": (image, fn(lambda x: F.relu(x) + x.relu())),
    "leaky relu": (image, fn(lambda x: F.leaky_relu(x, 0.2))),
    "sigmoid": (image, fn(lambda x: F.sigmoid(x) + torch.sigmoid(x) + x.sigmoid())),
    "tanh": (image, fn(lambda x: torch.tanh(x) - x.tanh() / 2)),
    "softmax": (image, fn(lambda x: F.softmax(x, dim=1))),
    "cat": (image, fn(lambda x, y: torch.cat([x, y, x], dim=1))),
    "cat last": (image, fn(lambda x, y: torch.cat((x, y), -1))),
    "chunk": (image, fn(lambda x: sum(list(x.chunk(2, dim=1))[1:]) + x.chunk(2, 1)[0])),
    "chunk uneven": (image, fn(lambda x: torch.chunk(x, 3, dim=1)[0])),
    "split": (image, fn(lambda x: x.split(2, dim=1)[1] + torch.split(x, [2, x.shape[1] - 2], dim=1)[0])),
    "slices": (image, fn(lambda x: x[:, 1:3, :, :2] + x[:, -2:, ..., 1:-1][..., :2])),
    "subscripts": (image, fn(lambda x: x[:, 0, None, :, -1])),
    "vector on image": (image, fn(lambda x, y, z: x * z[:, :, None, None] + z.unsqueeze(-1).unsqueeze(-1))),
    "arithmetic": (image, fn(lambda x, y: (x + y) * 2 - x / 3 + 1 - (1 - y) + -x)),
    "named arithmetic": (image, fn(lambda x, y: torch.add(x, y, alpha=2).mul(y).sub(x).div(2))),
    "reduce": (image, fn(lambda x: x.mean((2, 3), keepdim=True) + x.mean(dim=1, keepdim=True))),
    "flatten": (image, fn(lambda x: x.flatten(2).transpose(1, 2).flatten(1))),
    "movedim": (image, fn(lambda x: torch.movedim(x, 3, -2) + x.movedim(1, -1).movedim(-1, 1).movedim(2, 3))),
    "reshape": (image, fn(lambda x: x.reshape(x.shape[0], 2, -1, x.shape[2], x.shape[3]).permute(0, 2, 1, 3, 4))),
    "reshape batch": (tokens, fn(lambda x: x.reshape(x.shape[0], -1))),
    "unflatten squeeze": (image, fn(lambda x: x.unflatten(1, (2, -1)).unsqueeze(1).squeeze(1).contiguous())),
    "expand": (image, fn(lambda x, y, z: z[:, None].expand(-1, 3, -1))),
    "pad": (image, fn(lambda x: F.pad(x, (0, 1, 2, 0), value=1.5))),
    "pad by a size": (tokens, fn(lambda x, y: F.pad(y, (0, 0, x.shape[1], 0), value=2))),
    "pad reflect": (image, fn(lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"))),
    "casts": (image, fn(lambda x, y: x.float().to(y.dtype).to(y).type_as(y))),
    # netspec.ops
    "attention": (tokens, fn(lambda x, y: ops.attention(x, y, y * 2, 2))),
    "attention self": (tokens, fn(lambda x: ops.attention(x, x, x, 4))),
    "attention masked": (masked, fn(lambda x, y, z: ops.attention(x, y, y * 2, 2, mask=z))),
    "attention masked self": (masked, fn(lambda x, y, z: ops.attention(y, y, y, 4, z))),
    "blur": (image, tables(lambda self, x: ops.blur(x, self.tables.kernel, 2))),
    "blur 1": (image, tables(lambda self, x: ops.blur(x, self.tables.kernel, 1))),
    "cast_like": (times, fn(lambda x, y: ops.cast_like(x, y) / 100)),
    "crop_like": (crops, fn(lambda x, y: ops.crop_like(x, y))),
    "crop_positions center": (image, tables(lambda self, x: ops.crop_positions(self.tables.positions, x, 2, "center"))),
    "crop_positions corner": (image, tables(lambda self, x: ops.crop_positions(self.tables.positions, x, 2, "corner"))),
    "fourier_embedding": (
        times,
        tables(lambda self, x, y: ops.fourier_embedding(x / 999, self.tables.frequencies, "sin_cos", y)),
    ),
    "from_tokens": (tokens_of_image, fn(lambda x, y: ops.from_tokens(x, y))),
    "grid_positions": (image, fn(lambda x: ops.grid_positions(x, 3))),
    "grid_positions plain": (image, fn(lambda x: ops.grid_positions(x, 2) * 2)),
    "keep_tokens": (tokens, fn(lambda x, y: ops.keep_tokens(torch.cat([x, y], 1), x))),
    "modulate": (tokens, fn(lambda x, y, z: ops.modulate(x, z, z * 2))),
    "modulate normed": (
        tokens,
        lambda s: Wrap(
            lambda self, x, y, z: ops.modulate(self.norm(x), z, z * 2),
            norm=nn.LayerNorm(s.c, elementwise_affine=False),
        ),
    ),
    "modulate_channels": (image, fn(lambda x, y, z: ops.modulate_channels(x, z, z * 2))),
    "origin_positions": (tokens, fn(lambda x: ops.origin_positions(x, 3))),
    "pad_like": (crops, fn(lambda x, y: ops.pad_like(y, x))),
    "pad_like itself": (image, fn(lambda x, y: ops.pad_like(x, y) + 1)),
    "resize_like bilinear": (crops, fn(lambda x, y: ops.resize_like(y, x, "bilinear"))),
    "resize_like nearest": (crops, fn(lambda x, y: ops.resize_like(y, x, "nearest"))),
    "resize_like smaller": (crops, fn(lambda x, y: ops.resize_like(x, y, "bilinear"))),
    "rotary_table": (tokens, fn(lambda x, y: ops.rotary_table(x[..., :3], y, (4, 2, 6), 100.0))),
    "rotate": (tokens, fn(lambda x: ops.rotate(x, x.chunk(2, -1)[1], 2))),
    "rotate by a table": (
        tokens,
        lambda s: Wrap(lambda x: ops.rotate(x, ops.rotary_table(x[..., :1] * 9, x, (s.c // 2,), 100.0), 2)),
    ),
    "skip_tokens": (tokens, fn(lambda x, y: ops.skip_tokens(torch.cat([x, y], 1), x))),
    "sincos_positions": (image, fn(lambda x: ops.to_tokens(x) + ops.sincos_positions(x, 3.5))),
    "timestep_embedding": (times, fn(lambda x, y: ops.timestep_embedding(x, y, 16, "cos_sin", 1e4, 0.0, 1.0))),
    "timestep_embedding odd": (times, fn(lambda x, y: ops.timestep_embedding(x, y, 7, "sin_cos", 1e4, 1.0, 0.5))),
    "timestep_embedding int": (times, fn(lambda x, y, z: ops.timestep_embedding(z, y, 8, "sin_cos", 1e4, 0.0, 1.0))),
    "to_tokens": (image, fn(lambda x: ops.to_tokens(x))),
    "unpatchify": (patches, fn(lambda x, y: ops.unpatchify(x, y, 2))),
    "upsample_bilinear": (image, fn(lambda x: ops.upsample_bilinear(x, 2, False))),
    "upsample_bilinear corners": (image, fn(lambda x: ops.upsample_bilinear(x, 2, True))),
    "upsample_nearest": (image, fn(lambda x: ops.upsample_nearest(x, 2))),
}


def dynamic(name: str, tensor: Tensor, static: bool, widths: frozenset[int]) -> Port:
    """A port whose every size but the width has a name of its own."""
    names = [size if static or size in widths else f"{name}{axis}" for axis, size in enumerate(tensor.shape)]
    return Port(name, tuple(names), tensor.dtype)


def request_of(model: nn.Module, ports: list[Port], expected: Tensor, folder: Path | None = None) -> ExportRequest:
    out = Port("out", tuple(f"out{axis}" for axis in range(expected.ndim)), expected.dtype)
    source = save_weights(model, folder / "source.safetensors") if folder else None
    return ExportRequest(model, ports, [out], "leaf", source=source)


def ports_of(leaf: str, kind: Any, s: Sizes, inputs: Inputs, static: bool) -> list[Port]:
    """Named sizes are equal where the leaf needs them equal: batch everywhere, height and width of one image."""
    axes: dict[Any, tuple[tuple[int | str, ...], ...]] = {
        image: (("n", s.c, "h", "w"), ("n", s.c, "h", "w"), ("n", s.c)),
        tokens: (("n", "t", s.c), ("n", "s", s.c), ("n", s.c)),
        masked: (("n", "t", s.c), ("n", "s", s.c), ("n", "s")),
        tokens_of_image: (("n", "t", s.c), ("n", 3, "h", "w"), ("n", s.c)),
        patches: (("n", "t", s.c), ("n", 3, "h", "w"), ("n", s.c)),
        crops: (("n", s.c, "a", "b"), ("n", 1, "h", "w"), ("n", s.c)),
        times: (("n",), ("n", s.c), ("n",)),
    }
    shapes = [tuple(x.shape) if static else axes[kind][i] for i, x in enumerate(inputs)]
    if leaf == "linear 4-D" and not static:
        shapes[0] = ("n", s.c, "h", s.w)  # the last axis is the width here
    return [Port(name, shape, x.dtype) for name, shape, x in zip("xyz", shapes, inputs, strict=True)]


def outputs_of(path: Path, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """A file's outputs on one thread, or where its operators have no kernels here, those of what they mean."""
    if contrib.foreign(onnx.load(path, load_external_data=False)):
        return OnnxExporter().runner(path)(inputs)
    return run(path, inputs, threads=1)


def check(
    leaf: str, flavour: Flavour, s: Sizes, dtype: torch.dtype, static: bool, folder: Path, tolerance: float
) -> None:
    """Export `leaf` once, run it at the drawn size and, where sizes are named, at another one."""
    torch.manual_seed(s.seed)
    kind, build = LEAVES[leaf]
    model = build(s).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    model = model.to(dtype)
    draws = [s] if static else [s, replace(s, n=s.n + 1, h=s.h + 4, w=s.w if leaf == "linear 4-D" else 8)]
    path: Path | None = None
    for draw in draws:
        inputs = kind(draw, dtype)
        with torch.no_grad():
            expected = model(*inputs) if isinstance(model, Wrap) else model(inputs[0])
        if path is None:
            ports = ports_of(leaf, kind, s, inputs, static)
            ports = ports if isinstance(model, Wrap) else [replace(ports[0], name="input")]
            request = request_of(model, ports, expected, folder)
            (path,) = OnnxExporter(flavour).run(request, folder)
        names = [port.name for port in ports]
        outputs = outputs_of(path, {name: x.numpy() for name, x in zip(names, inputs, strict=False)})
        compare(expected, outputs["out"], tolerance)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("leaf", LEAVES)
def test_leaf(leaf: str, form: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("leaf")

    @settings(
        max_examples=3, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
    )
    @given(SIZES, st.booleans())
    def holds(s: Sizes, static: bool) -> None:
        check(leaf, FORMS[form], s, torch.float32, static, folder, FLOAT32)

    holds()


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("leaf", LEAVES)
def test_leaf_in_half_precision(leaf: str, flavour: str, tmp_path: Path) -> None:
    s = Sizes(2, 8, 8, 4, zlib.crc32(leaf.encode()))
    check(leaf, FLAVOURS[flavour], s, torch.float16, False, tmp_path, FLOAT16)


# The table


def test_every_operation_of_netspec_has_a_lowering_and_a_test() -> None:
    assert set(ops.LEAVES) <= set(table.FUNCTIONS)
    for leaf in ops.LEAVES:
        assert any(name.split()[0] == leaf.__name__ for name in LEAVES), leaf.__name__


def test_a_leaf_without_lowering_is_explained(tmp_path: Path) -> None:
    model = nn.Sequential()
    model.add_module("mid_attn", nn.Sequential(nn.Hardshrink()))
    ports = [Port("input", ("n", 4), torch.float32)]
    request = ExportRequest(
        model,
        ports,
        [Port("out", ("n", 4), torch.float32)],
        "net",
        origins={"mid_attn": Origin(("unet", "mid"), "a.yaml", 21)},
    )
    with pytest.raises(ExportError) as caught:
        emit(request, ORT_CPU)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "NS501"
    assert "Hardshrink" in diagnostic.message
    assert "mid_attn/0" in diagnostic.message
    assert "unet.mid (a.yaml:21)" in diagnostic.message
    assert "register" in diagnostic.help[0]


def test_register_refuses_a_second_lowering() -> None:
    with pytest.raises(RegistrationError, match="NS951"):
        register(nn.Conv2d, lambda b, m, x: x)


def test_register_gives_a_plugin_its_leaf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(table, "MODULES", dict(table.MODULES))
    register(nn.Softsign, lambda b, m, x: b.op("Softsign", x, dims=b.dims(x)))
    x = torch.randn(2, 3)
    ports = [Port("input", ("n", 3), torch.float32)]
    request = request_of(nn.Sequential(nn.Softsign()), ports, x)
    (path,) = OnnxExporter().run(request, tmp_path)
    compare(F.softsign(x), run(path, {"input": x.numpy()})["out"], FLOAT32)


def test_a_subclass_with_its_own_forward_is_traced_not_taken_for_its_base(tmp_path: Path) -> None:
    class Doubled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, self.weight, self.bias) * 2

    model, x = nn.Sequential(Doubled(3, 3)), torch.randn(2, 3)
    request = request_of(model, [Port("input", ("n", 3), torch.float32)], x, tmp_path)
    (path,) = OnnxExporter().run(request, tmp_path)
    compare(model(x), run(path, {"input": x.numpy()})["out"], FLOAT32)


def test_a_forward_that_branches_on_its_input_is_explained() -> None:
    model = Wrap(lambda x: x if x.sum() > 0 else -x)
    ports = [Port(name, (1,), torch.float32) for name in "xyz"]
    with pytest.raises(ExportError, match="NS505"):
        emit(request_of(model, ports, torch.ones(1)), ORT_CPU)


# A small network: names, places, bytes


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.conv1, self.conv2 = nn.GroupNorm(2, 8), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.silu(self.conv1(F.silu(self.norm(x)))))


class Attend(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        h = ops.to_tokens(x)
        return ops.from_tokens(ops.attention(self.q(h), self.k(h), self.v(h), 2), x)


class Net(nn.Module):
    """A symbolic image goes down, through attention and up again."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down_1_block_0 = nn.Conv2d(4, 8, 3, padding=1), Block()
        self.down_1_pool = nn.Conv2d(8, 8, 3, stride=2)
        self.mid_attn, self.head = Attend(), nn.Conv2d(16, 4, 3, padding=1)

    def forward(self, sample: Tensor) -> Tensor:
        x = self.stem(sample)
        skip = self.down_1_block_0(x)
        x = self.mid_attn(self.down_1_pool(F.pad(skip, (0, 1, 0, 1))))
        return self.head(torch.cat([ops.upsample_nearest(x, 2), skip], dim=1))


def net_request(folder: Path | None = None, dtype: torch.dtype = torch.float32, **changes: Any) -> ExportRequest:
    torch.manual_seed(0)
    model = Net().to(dtype).eval()
    source = save_weights(model, folder / "source.safetensors") if folder else None
    shape = ("batch", 4, "height", "width")
    request = ExportRequest(
        model,
        [Port("sample", shape, dtype)],
        [Port("out", shape, dtype)],
        "net",
        source=source,
        multiples={"height": 2, "width": 2},
        origins={"down_1_block_0": Origin(("unet", "levels", 1), "net.yaml", 7)},
        metadata={"netspec.spec": "unet: {}"},
    )
    return replace(request, **changes)


def test_names_and_places(tmp_path: Path) -> None:
    (path,) = OnnxExporter().run(net_request(tmp_path), tmp_path)
    graph = onnx.load(path, load_external_data=False).graph
    nodes = {node.name: node for node in graph.node}
    assert len(nodes) == len(graph.node)
    assert {"stem", "down_1_block_0/conv1", "down_1_block_0/silu", "down_1_block_0/silu_1", "mid_attn/q"} <= set(nodes)
    assert {p.key: p.value for p in nodes["down_1_block_0/conv1"].metadata_props} == {
        "netspec.path": "unet.levels[1]",
        "netspec.source": "net.yaml:7",
    }
    assert "down_1_block_0" in nodes["down_1_block_0/add"].output  # a module's result carries its name
    text = path.read_bytes()
    assert str(Path(__file__).parent).encode() not in text
    assert b"pkg.torch" not in text
    assert str(tmp_path).encode() not in text


def test_every_value_has_a_shape_and_sizes_are_exact_expressions(tmp_path: Path) -> None:
    (path,) = OnnxExporter().run(net_request(tmp_path), tmp_path)
    graph = onnx.load(path, load_external_data=False).graph
    known = {value.name: value for value in [*graph.value_info, *graph.output]}
    assert {name for node in graph.node for name in node.output} <= set(known)
    dims = [d.dim_param or d.dim_value for d in known["mid_attn"].type.tensor_type.shape.dim]
    assert dims == ["batch", 8, "height/2", "width/2"]
    (out,) = graph.output
    assert [d.dim_param or d.dim_value for d in out.type.tensor_type.shape.dim] == ["batch", 4, "height", "width"]


def test_sizes_are_read_once(tmp_path: Path) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = Attend(), Attend()

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x))

    shape = ("n", 8, "h", "w")
    request = ExportRequest(Twice(), [Port("x", shape, torch.float32)], [Port("out", shape, torch.float32)], "twice")
    shapes = [node.name for node in emit(request, ORT_CPU).graph if node.op_type == "Shape"]
    assert len(shapes) == 2  # the height of the image and the length of the tokens, for both modules
    fixed = (2, 8, 4, 4)
    request = replace(request, inputs=[Port("x", fixed, torch.float32)], outputs=[Port("out", fixed, torch.float32)])
    assert "Shape" not in [node.op_type for node in emit(request, ORT_CPU).graph]


@pytest.mark.parametrize("form", FORMS)
def test_one_file_runs_at_many_sizes(form: str, tmp_path: Path) -> None:
    request = net_request(tmp_path)
    (path,) = OnnxExporter(FORMS[form]).run(request, tmp_path)
    for batch, height, width in [(1, 2, 2), (2, 8, 6), (3, 10, 4)]:
        sample = torch.randn(batch, 4, height, width)
        with torch.no_grad():
            expected = request.model(sample)
        compare(expected, outputs_of(path, {"sample": sample.numpy()})["out"], FLOAT32)


def test_extra_outputs_are_the_modules_results(tmp_path: Path) -> None:
    request = net_request(tmp_path)
    (path,) = OnnxExporter().run(request, tmp_path)
    sample = torch.randn(1, 4, 6, 6)
    seen: dict[str, Tensor] = {}
    for name, module in request.model.named_children():
        module.register_forward_hook(lambda m, x, y, name=name: seen.__setitem__(name, y))
    with torch.no_grad():
        request.model(sample)
    found = run(path, {"sample": sample.numpy()}, extra_outputs=["stem", "down_1_block_0", "mid_attn"])
    assert list(found) == ["out", "stem", "down_1_block_0", "mid_attn"]
    for name in ("stem", "down_1_block_0", "mid_attn"):
        compare(seen[name], found[name], FLOAT32)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.onnx", "model.safetensors", "source.safetensors"]
    assert list(run(path, {"sample": sample.numpy()}, extra_outputs=["nothing"])) == ["out"]


def test_padding_before_a_convolution_becomes_its_own(tmp_path: Path) -> None:
    graph = emit(net_request(), ORT_CPU).graph
    assert "Pad" not in [node.op_type for node in graph]
    pool = next(node for node in graph if node.name == "down_1_pool")
    assert list(pool.attributes["pads"].as_ints()) == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "function",
    [
        lambda self, x: self.conv(F.pad(x, (0, 1, 0, 1), value=1.0)),
        lambda self, x: self.conv(F.pad(x, (1, 1, 1, 1), mode="reflect")),
        lambda self, x: self.conv(F.pad(x, (-1, 0, 0, 0))),
        lambda self, x: (lambda y: self.conv(y) + y.mean())(F.pad(x, (0, 1, 0, 1))),
    ],
)
def test_other_padding_stays(function: Callable[..., Tensor], tmp_path: Path) -> None:
    model, x = Wrap(function, conv=nn.Conv2d(4, 4, 3)), torch.randn(1, 4, 6, 6)
    with torch.no_grad():
        expected = model(x, x, x)
    request = request_of(model, [Port(name, tuple(x.shape), torch.float32) for name in "xyz"], expected, tmp_path)
    (path,) = OnnxExporter().run(request, tmp_path)
    assert "Pad" in [node.op_type for node in onnx.load(path, load_external_data=False).graph.node]
    compare(expected, run(path, dict.fromkeys("xyz", x.numpy()))["out"], FLOAT32)


def test_initializers_are_the_state_dict_by_reference(tmp_path: Path) -> None:
    request = net_request(tmp_path)
    (path,) = OnnxExporter().run(request, tmp_path)
    stored = {t.name: t for t in onnx.load(path, load_external_data=False).graph.initializer}
    slots = pack(request, tmp_path)
    for key, tensor in request.model.state_dict().items():
        slot = slots[key]
        assert list(stored[key].dims) == list(tensor.shape)
        assert {entry.key: entry.value for entry in stored[key].external_data} == {
            "location": slot.location,
            "offset": str(slot.offset),
            "length": str(slot.length),
        }
    inline = [t for t in stored.values() if t.name not in slots]
    assert sum(len(t.raw_data) for t in inline) < 1000


def test_meta_weights_and_no_file_give_the_same_bytes_as_real_ones(tmp_path: Path) -> None:
    request = net_request(tmp_path)
    (real,) = OnnxExporter().run(request, tmp_path)
    elsewhere = tmp_path / "empty"
    elsewhere.mkdir()
    (meta,) = OnnxExporter().run(replace(request, model=Net().to("meta").eval(), source=None), elsewhere)
    written = real.read_bytes()
    (again,) = OnnxExporter().run(request, tmp_path)
    assert written == meta.read_bytes() == again.read_bytes()
    assert [file.name for file in elsewhere.iterdir()] == ["model.onnx"]


def test_a_slot_of_the_wrong_length_is_refused(tmp_path: Path) -> None:
    request = net_request(tmp_path)
    slots = pack(request, tmp_path)
    broken = {**slots, "stem.bias": replace(slots["stem.bias"], length=16)}
    with pytest.raises(ExportError, match=r"NS504.*stem\.bias"):
        emit(request, ORT_CPU, broken)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_half_precision_graph_is_typed_end_to_end(dtype: torch.dtype, flavour: str, tmp_path: Path) -> None:
    """The checker's strict inference refuses mixed types; float32 may appear only where a Cast made it."""
    (path,) = OnnxExporter(flavour).run(net_request(tmp_path, dtype), tmp_path)
    model = onnx.load(path, load_external_data=False)
    assert model.opset_import[0].version >= (22 if dtype == torch.bfloat16 else 20)
    kind = onnx.TensorProto.BFLOAT16 if dtype == torch.bfloat16 else onnx.TensorProto.FLOAT16
    types = {value.name: value.type.tensor_type.elem_type for value in [*model.graph.value_info, *model.graph.output]}
    for node in model.graph.node:
        if node.op_type in ("Conv", "MatMul", "Gemm", "Resize"):
            heavy = node.op_type != "Resize" or dtype == torch.float16
            assert types[node.output[0]] == (kind if heavy else onnx.TensorProto.FLOAT)
        if node.op_type in ("Softmax", "ReduceMean", "InstanceNormalization"):
            assert types[node.output[0]] == onnx.TensorProto.FLOAT


# Symbolic sizes


def test_sizes_are_polynomials() -> None:
    h, w = symbol("h", 8), symbol("w")
    assert str(h // 2) == "h/2"
    assert (h // 2) * 2 == h
    assert (h + 2 - 3) // 2 + 1 == h // 2  # a strided 3x3 convolution of an even image
    assert (w // 2) * 2 != w
    assert str((w - 1) // 2 + 1) == "((w - 1) // 2) + 1"
    assert product([h // 2, w]) == (h * w) // 2
    assert exact_div(h * w, w) == h
    assert exact_div(h * w * 6, 4) == exact_div(h * w * 3, 2)
    assert exact_div(w, 2) is None
    assert h - h == 0
    assert broadcast((1, 3), (h, 1)) == (h, 3)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(-5, 5), st.integers(1, 7), st.integers(1, 4))
def test_a_floor_is_the_integers_floor(h: int, w: int, offset: int, divisor: int, factor: int) -> None:
    size = (symbol("h", 4) * symbol("w") * factor + symbol("w") * 2 + offset) // divisor
    assert evaluate(size, {"h": 4 * h, "w": w}) == (4 * h * w * factor + 2 * w + offset) // divisor


def evaluate(size: int | Dim, env: Mapping[str, int]) -> int:
    """The text of a size is Python."""
    return int(eval(str(size), {}, dict(env)))


# Targets


def test_an_unknown_flavour_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="NS508"):
        OnnxExporter("ort-gpu").run(net_request(), tmp_path)
    assert not list(tmp_path.iterdir())
