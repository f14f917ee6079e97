"""Classic, teaching, light and weight-tied U-Nets against forwards written here, and against a published one's numbers.

The forwards read our own state dict by its keys and use `torch.nn.functional` alone: what they share with the network
is the names of its tensors.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from twins import TOLERANCE, Golden, difference, images, randomise

from exporters.onnx.runtime import Runner
from netspec import api, compiler, graph, planner
from netspec.graph import Model
from netspec.weights.layouts import find
from netspec.weights.load import load_weights, save_weights

SPECS = Path(__file__).parents[2] / "specs"


class Weights:
    """The tensors of a network below one prefix."""

    def __init__(self, state: Mapping[str, Tensor], prefix: str = "") -> None:
        self.state, self.prefix = state, prefix

    def __call__(self, name: str) -> Tensor:
        return self.state[f"{self.prefix}{name}"]

    def at(self, name: str) -> Weights:
        return Weights(self.state, f"{self.prefix}{name}.")

    def conv(self, x: Tensor, name: str, **how: int) -> Tensor:
        return F.conv2d(x, self(f"{name}.weight"), self.state.get(f"{self.prefix}{name}.bias"), **how)

    def linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self(f"{name}.weight"), self(f"{name}.bias"))

    def batch_norm(self, x: Tensor, name: str) -> Tensor:
        part = self.at(name)
        return F.batch_norm(x, part("running_mean"), part("running_var"), part("weight"), part("bias"))

    def group_norm(self, x: Tensor, name: str, groups: int) -> Tensor:
        return F.group_norm(x, groups, self(f"{name}.weight"), self(f"{name}.bias"))


def shipped(name: str, **settings: object) -> Model:
    """A shipped network in float64, every parameter and running average moved."""
    file, _, variant = name.partition("@")
    spec = api.load(SPECS / f"{file}.yaml", variant=variant or None, set=settings)
    model = graph.build(planner.lower(spec), dtype=torch.float64).eval()
    randomise(model)
    with torch.no_grad():
        for key, buffer in model.named_buffers():
            if key.endswith("running_mean"):
                buffer += 0.1 * torch.randn(buffer.shape, dtype=buffer.dtype)
            if key.endswith("running_var"):
                buffer -= 0.9 * torch.rand(buffer.shape, dtype=buffer.dtype)
    return model


def agrees(model: Model, forward: Callable[..., Tensor], *inputs: Tensor) -> None:
    with torch.no_grad():
        wanted = forward(Weights(model.state_dict()), *inputs)
        assert float(wanted.std((2, 3)).min()) > 0.01 * float(wanted.abs().max()), "a flat picture proves nothing"
        assert difference(model(*inputs), wanted) <= TOLERANCE


# The U-Net of 2015 and its descendants


def double_conv(w: Weights, x: Tensor, name: str, padding: int) -> Tensor:
    for index in (0, 1):
        part = w.at(f"{name}_block_{index}")
        x = part.conv(x, "conv", padding=padding)
        x = F.relu(part.batch_norm(x, "norm") if padding else x)
    return x


def descend(w: Weights, x: Tensor, depth: int, padding: int) -> list[Tensor]:
    """What every level of the encoder made, the deepest last."""
    made = [double_conv(w, x, "down_0", padding)]
    for level in range(1, depth):
        made.append(double_conv(w, F.max_pool2d(made[-1], 2), f"down_{level}", padding))
    return made


def padded(x: Tensor, like: Tensor) -> Tensor:
    """Zeros around x, fewer before than after."""
    out = x.new_zeros(*x.shape[:2], *like.shape[2:])
    top, left = ((like.shape[axis] - x.shape[axis]) // 2 for axis in (2, 3))
    out[:, :, top : top + x.shape[2], left : left + x.shape[3]] = x
    return out


def same_padding(bilinear: bool, depth: int = 5) -> Callable[[Weights, Tensor], Tensor]:
    def forward(w: Weights, x: Tensor) -> Tensor:
        *skips, x = descend(w, x, depth, padding=1)
        for level in reversed(range(depth - 1)):
            up = w.at(f"up_{level + 1}_upsample.conv") if not bilinear else None
            if up is None:
                x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            else:
                x = F.conv_transpose2d(x, up("weight"), up("bias"), stride=2)
            x = double_conv(w, torch.cat([skips[level], padded(x, skips[level])], 1), f"up_{level}", padding=1)
        return w.conv(x, "head.conv")

    return forward


@pytest.mark.parametrize("variant", ["", "@bilinear"])
@pytest.mark.parametrize("size", [(33, 47), (32, 16), (16, 31), (17, 18)])
def test_same_padding_unet(variant: str, size: tuple[int, int]) -> None:
    model = shipped(f"unet/same_padding_unet{variant}")
    agrees(model, same_padding(bilinear=bool(variant)), images(2, 3, *size))


def test_padding_matters_where_it_is() -> None:
    """The smaller half goes first: the other way round is another network."""
    model, x = shipped("tiny/padded_unet"), images(1, 3, 15, 22)
    assert [node.component.name for node in model.plan if node.name.endswith("upsample")] == ["conv_transpose"] * 2
    agrees(model, same_padding(bilinear=False, depth=3), x)
    with torch.no_grad():
        flipped = model(x.flip(2, 3)).flip(2, 3)  # of a network that treats both ends alike, the same
        assert difference(flipped, model(x)) > TOLERANCE


def test_odd_sizes_on_onnx(tmp_path: Path) -> None:
    """One graph for every size, against the forward above, with weights that no layer fades away."""
    model = shipped("tiny/padded_unet")
    spec, weights = model.spec, Weights(model.state_dict())
    save_weights(model.float(), tmp_path / "w.safetensors")
    compiler.compile(spec, tmp_path / "out", compiler.Options(weights=str(tmp_path / "w.safetensors")))
    runner = Runner(tmp_path / "out" / "model.onnx")
    for size in ((33, 47), (40, 63), (5, 4), (17, 30), (32, 48)):
        x = images(3, 3, *size)
        got = torch.from_numpy(runner({"image": x.float().numpy()})["output"].copy()).double()
        wanted = same_padding(bilinear=False, depth=3)(weights, x)
        assert difference(got, wanted) < 1e-5  # float32 against float64: some twenty layers


def test_golden_same_padding_unet() -> None:
    golden, model = Golden("milesial_unet"), shipped("unet/same_padding_unet")
    reading = load_weights(model, golden.weights())  # recognised by its keys
    assert reading.layout.name == "double_conv"
    with torch.no_grad():
        output = model(*golden.inputs(["x"]))
    assert difference(output, golden.output) <= TOLERANCE
    assert float((output - golden.output).abs().max()) <= golden.tolerance


@pytest.mark.parametrize("variant", ["", "@bilinear"])
def test_layout_of_the_same_padding_unet(variant: str) -> None:
    """Every key with its shape, as the golden lists them; interpolation leaves out `up`, and widths differ."""
    state = Golden("milesial_unet").weights()
    model = shipped(f"unet/same_padding_unet{variant}")
    layout = find("double_conv")
    written = dict(layout.ours_to_foreign(model.plan, model.state_dict()))
    if variant:
        assert written.keys() == {key for key in state if ".up." not in key}
        assert written["up1.conv.double_conv.0.weight"].shape == (512, 1024, 3, 3)
        assert written["up1.conv.double_conv.3.weight"].shape == (256, 512, 3, 3)
    else:
        assert {key: tensor.shape for key, tensor in written.items()} == {key: t.shape for key, t in state.items()}
    read = dict(layout.foreign_to_ours(model.plan, written))
    assert read.keys() == model.state_dict().keys()
    assert all(torch.equal(read[key], tensor) for key, tensor in model.state_dict().items())


def test_valid_unet() -> None:
    """The original at its smallest size: 188 in, 4 out."""

    def forward(w: Weights, x: Tensor) -> Tensor:
        *skips, x = descend(w, x, 5, padding=0)
        for level in reversed(range(4)):
            up = w.at(f"up_{level + 1}_upsample.conv")
            x = F.conv_transpose2d(x, up("weight"), up("bias"), stride=2)
            rows, columns = ((skips[level].shape[axis] - x.shape[axis]) // 2 for axis in (2, 3))
            skip = skips[level][:, :, rows : rows + x.shape[2], columns : columns + x.shape[3]]
            x = double_conv(w, torch.cat([x, skip], 1), f"up_{level}", padding=0)
        return w.conv(x, "head.conv")

    sizes = {"inputs.image": ["batch", 1, 188, 188], "output": ["batch", 2, 4, 4]}
    agrees(shipped("unet/unet_2015", **sizes), forward, images(2, 1, 188, 188))


# Denoisers to learn from


def time_vector(w: Weights, t: Tensor, dim: int) -> Tensor:
    rates = torch.exp(-torch.log(torch.tensor(1e4, dtype=torch.float64)) * torch.arange(dim // 2) / (dim // 2))
    angles = t[:, None] * rates
    part = w.at("embed_t")
    return part.linear(F.silu(part.linear(torch.cat([angles.cos(), angles.sin()], 1), "linear1")), "linear2")


def walk(
    w: Weights, x: Tensor, block: Callable[[Weights, Tensor], Tensor], down: Callable[[Weights, Tensor], Tensor],
    up: Callable[[Weights, Tensor], Tensor], depth: int, middle: Callable[[Tensor], Tensor], *, blocks: int = 2,
    add: bool = False,
) -> Tensor:  # fmt: skip
    """The way down and up with one skip for each level."""
    skips = []
    for level in range(depth):
        for index in range(blocks):
            x = block(w.at(f"down_{level}_block_{index}"), x)
        skips.append(x)
        x = down(w.at(f"down_{level}_downsample"), x) if level + 1 < depth else x
    x = middle(x)
    for level in reversed(range(depth)):
        x = x + skips[level] if add else torch.cat([x, skips[level]], 1)
        for index in range(blocks):
            x = block(w.at(f"up_{level}_block_{index}"), x)
        x = up(w.at(f"up_{level}_upsample"), x) if level else x
    return x


def ending(w: Weights, x: Tensor, groups: int) -> Tensor:
    return w.at("head").conv(F.silu(w.at("head").group_norm(x, "norm", groups)), "conv", padding=1)


def teaching(w: Weights, x: Tensor, t: Tensor) -> Tensor:
    c = F.silu(time_vector(w, t, 64))

    def resnet(w: Weights, x: Tensor) -> Tensor:
        h = w.conv(F.silu(w.group_norm(x, "norm1", 8)), "conv1", padding=1) + w.linear(c, "linear_c")[:, :, None, None]
        h = w.conv(F.silu(w.group_norm(h, "norm2", 8)), "conv2", padding=1)
        return h + (w.conv(x, "shortcut") if x.shape[1] != h.shape[1] else x)

    def attention(w: Weights, x: Tensor) -> Tensor:
        n, channels, *grid = x.shape
        tokens = w.group_norm(x, "norm", 8).flatten(2).transpose(1, 2)
        q, k, v = (w.linear(tokens, name).unflatten(2, (4, -1)).transpose(1, 2) for name in "qkv")
        weights = (q @ k.transpose(2, 3) / (channels // 4) ** 0.5).softmax(-1)
        mixed = w.linear((weights @ v).transpose(1, 2).flatten(2), "out")
        return x + mixed.transpose(1, 2).reshape(n, channels, *grid)

    def middle(x: Tensor) -> Tensor:
        x = attention(w.at("mid_attn_0"), resnet(w.at("mid_block_0"), x))
        return resnet(w.at("mid_block_1"), x)

    def down(w: Weights, x: Tensor) -> Tensor:
        return w.conv(x, "conv", stride=2, padding=1)

    def up(w: Weights, x: Tensor) -> Tensor:
        return w.conv(x.repeat_interleave(2, 2).repeat_interleave(2, 3), "conv", padding=1)

    return ending(w, walk(w, w.conv(x, "stem", padding=1), resnet, down, up, 4, middle), 8)


def light(w: Weights, x: Tensor, t: Tensor) -> Tensor:
    c = F.silu(time_vector(w, t, 32))

    def separable(w: Weights, x: Tensor) -> Tensor:
        h = w.conv(x, "depthwise", padding=1, groups=x.shape[1])
        h = w.conv(F.silu(w.group_norm(h, "norm1", 8)), "pointwise")
        h = F.silu(w.group_norm(h, "norm2", 8) + w.linear(c, "linear_c")[:, :, None, None])
        gate = w.at("gate")
        weights = gate.linear(F.relu(gate.linear(h.mean((2, 3)), "linear1")), "linear2").sigmoid()
        return h * weights[:, :, None, None]

    def middle(x: Tensor) -> Tensor:
        return separable(w.at("mid_block_0"), x)

    def up(_: Weights, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    x = walk(w, w.conv(x, "stem", padding=1), separable, lambda _, x: F.avg_pool2d(x, 2), up, 4, middle)
    return ending(w, x, 8)


SMALL = {"unet.base_channels": 16}  # the same network at a fraction of the width


def test_teaching_unet() -> None:
    model = shipped("unet/teaching_unet", **SMALL)
    agrees(model, teaching, images(2, 3, 16, 24), torch.tensor([3.0, 977.0], dtype=torch.float64))


def test_light_unet() -> None:
    agrees(shipped("unet/light_unet"), light, images(2, 3, 24, 16), torch.tensor([3.0, 977.0], dtype=torch.float64))


# Tied weights


def transposed(weight: Tensor) -> Tensor:
    """In and out exchanged, the kernel turned by half a turn: what a convolution's transpose convolves with."""
    return weight.transpose(0, 1).flip(2, 3)


def tied(levels: tuple[int, ...], soft: bool, groups: int, dim: int, depth: int) -> Callable[..., Tensor]:
    """Convolutions alone: the decoder's weights are worked out from the encoder's, here and not there."""

    def forward(w: Weights, x: Tensor, t: Tensor) -> Tensor:
        c = F.silu(time_vector(w, t, dim))

        def weight(w: Weights, mirror: str, level: int) -> Tensor:
            """(out, in, *kernel) of a convolution of the decoder."""
            if level not in levels:
                return w("conv.weight")
            shared = transposed(w.state[f"{mirror}.conv.weight"])
            if not soft:
                return shared
            share = w("mix").sigmoid()
            return share * shared + (1 - share) * transposed(w("weight"))

        def bias(w: Weights) -> Tensor:
            return w.state.get(f"{w.prefix}bias", w.state.get(f"{w.prefix}conv.bias"))  # type: ignore[return-value]

        def block(w: Weights, x: Tensor) -> Tensor:
            side, level, _, index = w.prefix.rstrip(".").split("_") if w.prefix[0] != "m" else ("mid", "0", "", "0")
            own = weight(w, f"down_{level}_block_{1 - int(index)}", int(level)) if side == "up" else w("conv.weight")
            h = w.group_norm(F.conv2d(x, own, bias(w), padding=1), "norm", groups)
            return F.silu(h + w.linear(c, "linear_c")[:, :, None, None])

        def down(w: Weights, x: Tensor) -> Tensor:
            kernel = w("conv.weight").shape[-1]
            return w.conv(x, "conv", stride=2, padding=(kernel - 1) // 2)

        def up(w: Weights, x: Tensor) -> Tensor:
            """Zeros between the pixels, then a plain convolution: the definition of a transposed one of stride 2."""
            above = int(w.prefix.split("_")[1]) - 1
            untied = above not in levels
            own = transposed(w("conv.weight")) if untied else weight(w, f"down_{above}_downsample", above)
            spread = x.new_zeros(*x.shape[:2], 2 * x.shape[2] - 1, 2 * x.shape[3] - 1)
            spread[:, :, ::2, ::2] = x
            return F.conv2d(spread, own, bias(w), padding=own.shape[-1] - 1 - (own.shape[-1] - 1) // 2)

        def middle(x: Tensor) -> Tensor:
            return block(w.at("mid_block_0"), x)

        return ending(w, walk(w, w.conv(x, "stem", padding=1), block, down, up, depth, middle, add=True), groups)

    return forward


EVERY = (0, 1, 2, 3)
TIED = {
    "unet/tied_unet": tied(EVERY, soft=False, groups=8, dim=64, depth=4),
    "unet/tied_unet@soft": tied(EVERY, soft=True, groups=8, dim=64, depth=4),
    "unet/tied_unet@partial": tied((2, 3), soft=False, groups=8, dim=64, depth=4),
    "tiny/tied_unet": tied((0, 2), soft=True, groups=8, dim=16, depth=3),
    "tiny/tied_unet@transposed": tied(EVERY, soft=False, groups=8, dim=16, depth=3),
}


@pytest.mark.parametrize("name", TIED)
def test_tied_unet(name: str) -> None:
    small = {"unet.base_channels": 16, "unet.block.norm": {"groups": 8}, "unet.head.norm": {"groups": 8}}
    model = shipped(name, **(small if name.startswith("unet") else {}))
    agrees(model, TIED[name], images(2, 3, 16, 24), torch.tensor([3.0, 977.0], dtype=torch.float64))


def test_a_valid_block_is_tied_by_its_transpose() -> None:
    """A valid convolution keeps losing its margin in the decoder: the transpose is cut to what is certain."""
    text = """
netspec: 1
name: valid
inputs: {x: [batch, 3, 44, 44]}
output: [batch, 2, 4, 4]
dims: {batch: {min: 1, opt: 2, max: 2}}
unet:
  levels: [8, 12, 12]
  block: {type: conv, padding: valid, bias: false, norm: none, act: relu}
  mid: none
  downsample: maxpool
  upsample: {type: nearest, kernel: none}
  skip: {per: level, merge: add, crop: center}
  narrow: this_block
  tie: transposed
  head: {kernel: 1, norm: none}
"""
    model = graph.build(planner.lower(api.loads(text)), dtype=torch.float64).eval()
    randomise(model)

    def forward(w: Weights, x: Tensor) -> Tensor:
        x, skips = w.conv(x, "stem", padding=1), []
        for level, index in itertools.product(range(3), range(2)):
            x = F.max_pool2d(x, 2) if level and not index else x
            x = F.relu(w.conv(x, f"down_{level}_block_{index}.conv"))
            skips.append(x)
        for level in (1, 0):
            x, skip = x.repeat_interleave(2, 2).repeat_interleave(2, 3), skips[2 * level + 1]
            cut = (skip.shape[2] - x.shape[2]) // 2
            x = x + skip[:, :, cut : cut + x.shape[2], cut : cut + x.shape[3]]
            for index in (0, 1):
                x = F.relu(F.conv2d(x, transposed(w(f"down_{level}_block_{1 - index}.conv.weight"))))
        return w.conv(x, "head.conv")

    agrees(model, forward, images(2, 3, 44, 44))
