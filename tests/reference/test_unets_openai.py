"""Networks of the families whose checkpoints OpenAI and CompVis published: goldens, and forms without a golden.

A plain re-implementation reproduces the goldens; then it stands for what they leave out: other head rules, the other
order of q, k, v, narrow stems, resampling without weights, levels of their own depth, super-resolution.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from plain_unet import PlainUNet, Plan
from twins import TOLERANCE, Golden, difference, images, network, randomise, timesteps

from netspec.weights.load import load_weights

ADM = Plan(blocks=(2, 2, 2), classes=10, head_dim=16, scale_shift=True, resampling="resnet")
IMPROVED = Plan(blocks=(3, 3, 3), classes=10, heads=4, scale_shift=True)
SD = Plan(
    channels=(4, 4), multipliers=(1, 2, 2, 2), blocks=(2, 2, 2, 2), attends=(0, 1, 2), heads=4, context=24,
    depths=(1, 1, 1, 1, 1),
)  # fmt: skip
XL = Plan(
    channels=(4, 4), multipliers=(1, 2, 4), blocks=(2, 2, 2), head_dim=16, context=24, depths=(0, 2, 3, 3), vector=20,
    linear=True,
)  # fmt: skip
PLAIN = {
    "guided_adm256_cond": (ADM, ("x", "timesteps", "y")),
    "guided_convupdown_noss": (Plan(head_dim=16), ("x", "timesteps")),
    "improved_imagenet64_cond": (IMPROVED, ("x", "timesteps", "y")),
    "ldm_cin256_crossattn": (
        Plan(channels=(3, 3), multipliers=(1, 2, 3, 5), blocks=(1, 1, 1, 1), attends=(1, 2, 3), context=24,
             depths=(1, 1, 1, 1, 1)),
        ("x", "timesteps", "context"),
    ),
    "sd15_unet": (SD, ("x", "timesteps", "context")),
    "sdxl_unet": (XL, ("x", "timesteps", "context", "y")),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_the_plain_network_reproduces_the_golden(name: str) -> None:
    plan, names = PLAIN[name]
    golden, plain = Golden(name), PlainUNet(plan).double().eval()
    plain.load_state_dict(golden.weights())
    values = dict(zip(names, golden.inputs(names), strict=True))
    with torch.no_grad():
        made = plain(values["x"], values["timesteps"], values.get("y"), values.get("context"))
    assert difference(made, golden.output) <= TOLERANCE


# Without a golden


def spec(plan: Plan, *settings: str, convention: str = "ldm", inputs: str = "", **dims: str) -> str:
    """The same network in our words; what the plan says of heads, blocks and modulation stands in `settings`."""
    rows = []
    for level, multiplier in enumerate(plan.multipliers):
        row = [f"multiplier: {multiplier}"]
        if level in plan.attends:
            self_only = plan.context is not None and plan.cross_only and level not in plan.cross_only
            words = f"depth: {plan.depths[level]}, attends: [self, context]" if self_only else ""
            row.append(f"transformer: {{{words}}}" if words else _attention(plan, level))
        if len(set(plan.blocks)) > 1:
            row.append(f"blocks: {plan.blocks[level]}")
        rows.append(f"{{{', '.join(row)}}}")
    given = f"x: [batch, {plan.channels[0]}, height, width], t: [batch]"
    given += ", y: [batch]" if plan.classes else f", y: [batch, {plan.vector}]" if plan.vector else ""
    given += f", text: [batch, tokens, {plan.context}]" if plan.context else ""
    dims |= {"tokens": "{min: 1, opt: 5, max: 9}"} if plan.context else {}
    label = f", y: {{embed: label, classes: {plan.classes}}}" if plan.classes else ", y: mlp" if plan.vector else ""
    lines = "\n  ".join([f"levels: [{', '.join(rows)}]", *settings])
    return f"""
netspec: 1
name: plain
convention: {convention}
inputs: {{{inputs or given}}}
output: [batch, {plan.channels[1]}, height, width]
dims:
  batch: {{min: 1, opt: 2, max: 4}}
  height: {{min: 8, opt: 16, max: 64}}
  width: {{min: 8, opt: 16, max: 64}}
  {"".join(f"{word}: {size}{chr(10)}  " for word, size in dims.items())}
conditioning: {{t: {{embed: sinusoidal, dim: {plan.width}}}{label}}}
unet:
  base_channels: {plan.width}
  blocks_per_level: {plan.blocks[0]}
  {lines}
"""


def _attention(plan: Plan, level: int) -> str:
    return f"transformer: {plan.depths[level]}" if plan.depths else "attention: full"


MID = "mid: {attention: full}"
RESNETS = ("downsample: resnet", "upsample: resnet")
POOLS = ("downsample: avgpool", "upsample: {type: nearest, kernel: none}")
LATENT = replace(SD, multipliers=(1, 2, 2), attends=(1, 2), blocks=(1, 1, 1), depths=(1, 1, 2, 2))
FORMS = {  # name: (the network, its convention, what a spec says of it beside levels and inputs, the layout)
    "a fixed number of heads, no class": (
        replace(ADM, classes=None, head_dim=None, heads=4), "adm",
        (MID, "attention: {num_heads: 4}", *RESNETS), "adm",
    ),
    "one head, scale and shift, strided convolutions": (
        replace(ADM, head_dim=None, resampling="conv"), "adm", (MID, "attention: {num_heads: 1}"), "adm",
    ),
    "the other order of q, k, v": (
        replace(ADM, parts_first=True), "adm", (MID, "attention: {head_dim: 16}", *RESNETS), "adm:qkv=parts_first",
    ),
    "a narrow stem, the vector from the base": (
        replace(ADM, width=64, multipliers=(0.5, 1, 1.5), head_dim=32), "adm",
        (MID, "attention: {head_dim: 32}", *RESNETS), "adm",
    ),
    "attention in the middle alone": (Plan(attends=(), heads=2), "ldm", (MID, "attention: {num_heads: 2}"), "adm"),
    "attention everywhere": (
        Plan(attends=(0, 1, 2), head_dim=8), "ldm", (MID, "attention: {head_dim: 8}"), "ldm",
    ),
    "resampling without weights": (
        Plan(blocks=(2, 2, 2), resampling="none"), "ldm", (MID, "attention: {num_heads: 1}", *POOLS), "adm",
    ),
    "a number of blocks per level": (
        Plan(blocks=(1, 3, 2), head_dim=16), "ldm", (MID, "attention: {head_dim: 16}"), "adm",
    ),
    "one level": (
        Plan(multipliers=(1,), blocks=(2,), attends=(0,)), "ldm", (MID, "attention: {num_heads: 1}"), "adm",
    ),
    "added time, resampling in blocks, heads by number": (
        Plan(channels=(7, 3), blocks=(2, 2, 2), heads=8, resampling="resnet"), "ldm",
        (MID, "attention: {num_heads: 8}", *RESNETS), "ldm",
    ),
    "classes and a context": (
        replace(LATENT, classes=7), "ldm", ("mid: {transformer: 2}", "transformer: {num_heads: 4, context: text}"),
        "ldm",
    ),
    "transformers between resampling blocks, scale and shift": (
        replace(LATENT, resampling="resnet", scale_shift=True, vector=9, linear=True, heads=1), "adm",
        ("mid: {transformer: 2}", "transformer: {num_heads: 1, context: text}", *RESNETS),
        "ldm:projections=linear",
    ),
    "transformers without a context": (
        replace(LATENT, context=None), "ldm",
        ("mid: {transformer: 2}", "transformer: {num_heads: 4, attends: [self, self]}"), "ldm",
    ),
    "levels that attend to the context alone": (
        replace(LATENT, cross_only=(1,), classes=7, linear=True), "ldm",
        ("mid: {transformer: {depth: 2, attends: [self, context]}}",
         "transformer: {num_heads: 4, context: text, attends: [context, context]}"),
        "ldm",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_plain_networks(form: str) -> None:
    plan, convention, settings, layout = FORMS[form]
    plain, model = _plain(plan), network(spec(plan, *settings, convention=convention))
    load_weights(model, plain.state_dict(), layout)
    for batch, height, width in ((2, 16, 24), (3, 32, 16)):
        x, t = images(batch, plan.channels[0], height, width), timesteps(batch)
        y = torch.tensor([0, 6, 3][:batch]) if plan.classes else images(batch, plan.vector) if plan.vector else None
        context = images(batch, 5, plan.context) if plan.context else None
        with torch.no_grad():
            made = model(*(each for each in (x, t, y, context) if each is not None))
            assert difference(made, plain(x, t, y, context)) <= TOLERANCE


def _plain(plan: Plan) -> PlainUNet:
    plain = PlainUNet(plan).double().eval()
    randomise(plain)
    return plain


UPSAMPLERS = {  # the same, of a noisy image and a small one
    "convolutions between levels": (
        replace(IMPROVED, channels=(6, 6), blocks=(1, 1, 1)),
        ("attention: {num_heads: 4}",),
    ),
    "blocks between levels": (replace(ADM, channels=(6, 6), blocks=(1, 1, 1)), ("attention: {head_dim: 16}", *RESNETS)),
}


@pytest.mark.parametrize("sizes", [((16, 16), (4, 4)), ((32, 24), (8, 6)), ((16, 24), (5, 7)), ((16, 16), (16, 16))])
@pytest.mark.parametrize("form", UPSAMPLERS)
def test_super_resolution(form: str, sizes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    """The small image may have any size: it is interpolated to that of the noisy one."""
    plan, settings = UPSAMPLERS[form]
    plain = _plain(plan)
    text = spec(
        plan, "image: [x, {input: low, resize: bilinear}]", MID, *settings, convention="adm",
        inputs="x: [batch, 3, height, width], t: [batch], y: [batch], low: [batch, 3, rows, columns]",
        rows="{min: 3, opt: 4, max: 32}", columns="{min: 3, opt: 4, max: 32}",
    )  # fmt: skip
    model = network(text)
    load_weights(model, plain.state_dict(), "adm")
    large, small = sizes
    x, low, t, y = images(2, 3, *large), images(2, 3, *small).flip(-1), timesteps(2), torch.tensor([9, 2])
    joined = torch.cat([x, F.interpolate(low, large, mode="bilinear")], dim=1)
    with torch.no_grad():
        assert difference(model(x, t, y, low), plain(joined, t, y)) <= TOLERANCE
        assert difference(model(x, t, y, low.roll(1, 0)), plain(joined, t, y)) > TOLERANCE
