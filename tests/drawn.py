"""Random specs over the whole language, as plain data: most are sound, the others must be refused in words."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

Data = dict[str, Any]

ACTS = ("relu", "silu", "leaky_relu", "gelu", {"type": "gelu", "approximate": "tanh"})
NORMS = (
    {"groups": 4}, {"groups": 2, "eps": 1e-6}, {"type": "group", "groups": 1, "affine": False}, "layer",
    {"type": "layer", "bias": False}, {"type": "layer", "affine": False}, "rms", {"type": "rms", "affine": False},
    "batch", "instance", {"type": "instance", "affine": True}, "none",
)  # fmt: skip
DOWN = (
    "avgpool", {"type": "avgpool", "odd": "floor"}, "blurpool", {"type": "blurpool", "kernel": 5}, "conv",
    {"padding": "asymmetric"}, {"kernel": 2}, {"kernel": 4}, {"kernel": 5, "padding": "asymmetric"}, "conv_conv",
    {"type": "conv_conv", "act": "relu"}, "maxpool", {"type": "maxpool", "odd": "floor"}, "pixel_unshuffle", "resnet",
    {"type": "resnet", "block": {"modulation": "none"}},
)  # fmt: skip
UP = (
    "bilinear", {"type": "bilinear", "align_corners": True, "kernel": 1}, "conv_transpose",
    {"type": "conv_transpose", "kernel": 4}, {"type": "conv_transpose", "kernel": 3}, "nearest", {"kernel": 1},
    {"kernel": "none"}, "pixel_shuffle", {"type": "bilinear", "kernel": "none", "align_corners": True},
    {"type": "pixel_shuffle", "kernel": 3}, "resnet", {"type": "resnet", "block": {"scale": 0.7}},
)  # fmt: skip


NUMBERS = ["pooled", {"input": "pooled", "sinusoids": 4}]


def any_of(*values: Any) -> SearchStrategy[Any]:
    return st.sampled_from(values)


def often(draw: DrawFn, times: int = 2) -> bool:
    """True once in `times` draws, on average."""
    return draw(st.integers(1, times)) == times


def some(draw: DrawFn, **values: SearchStrategy[Any]) -> Data:
    """Some of the keys: a spec that leaves a key out takes its default."""
    return {key: draw(value) for key, value in values.items() if often(draw)}


@st.composite
def spec(draw: DrawFn) -> Data:
    """A whole spec."""
    family = draw(any_of("unet", "unet", "dit"))
    data: Data = {"netspec": 1, "name": "drawn"}
    if often(draw, 3):
        data["convention"] = draw(any_of("ddpm", "adm", "ldm", "dit"))
    step, odd = 1, family == "unet" and often(draw, 6)
    if family == "unet":
        count = draw(st.integers(1, 4))
        step = 2 ** (count - 1) if not odd else 3
    else:
        step = patch = draw(any_of(1, 2, 3, 4))
    channels = draw(st.integers(1, 4))
    batch, height, width, data["dims"] = _sizes(draw, step)
    data["inputs"] = {"x": [batch, channels, height, width]}
    data["output"] = [batch, draw(st.integers(1, 4)), height, width]
    data["conditioning"] = _conditioning(draw, data["inputs"], batch)
    context = "text" if often(draw) else None
    if context:
        data["inputs"]["text"] = [batch, draw(st.integers(1, 5)), draw(any_of(8, 12, 16))]
    data[family] = _unet(draw, count, context) if family == "unet" else _dit(draw, patch, context, data)
    if often(draw, 6):
        data["inputs"]["low"] = [batch, draw(st.integers(1, 2)), draw(st.integers(1, 9)), draw(st.integers(1, 9))]
        data[family]["image"] = ["x", {"input": "low", "resize": draw(any_of("bilinear", "nearest"))}]
    if odd:
        net = data["unet"]
        net["downsample"] = {"type": draw(any_of("maxpool", "avgpool")), "odd": "floor"}
        net["skip"] = {**(net["skip"] if isinstance(net.get("skip"), dict) else {}), "crop": "none", "pad": "center"}
    if not data["conditioning"]:
        del data["conditioning"]
    return data


def _sizes(draw: DrawFn, step: int) -> tuple[int | str, int | str, int | str, Data]:
    """(batch, height, width, dims): each a number or a word of `dims`."""
    dims: Data = {}

    def size(word: str, unit: int) -> int | str:
        low, opt, high = sorted(draw(st.integers(1, 4 if unit == 1 or word == "batch" else 3)) for _ in range(3))
        kind = draw(any_of("number", "range", "range", "one"))
        if kind == "number":
            return opt * unit
        dims[word] = opt * unit if kind == "one" else {"min": low * unit, "opt": opt * unit, "max": high * unit}
        return word

    batch, height = size("batch", 1), size("height", 2 * step if step < 4 else step)
    return batch, height, height if often(draw, 4) else size("width", 2 * step if step < 4 else step), dims


def _conditioning(draw: DrawFn, inputs: Data, batch: int | str) -> Data:
    made: Data = {}
    kinds = {
        "t": st.builds(
            lambda rest: {"embed": "sinusoidal", **rest},
            st.fixed_dictionaries(
                {"dim": any_of(2, 3, 8, 9, 16)},
                optional={
                    "order": any_of("sin_cos", "cos_sin"), "freq_shift": any_of(0, 0.5, 1), "act": any_of(*ACTS),
                    "scale": any_of(1000, 0.25), "max_period": any_of(100, 1e6),
                },
            ),
        ),
        "sigma": any_of({"embed": "fourier", "dim": 8}, {"embed": "fourier", "dim": 4, "order": "cos_sin", "scale": 1}),
        "y": any_of({"embed": "label", "classes": 5}, {"embed": "label", "classes": 3, "dropout": 0.1}),
        "step": any_of({"embed": "learned", "steps": 7}, {"embed": "learned", "steps": 1}),
        "pooled": any_of("mlp", {"embed": "mlp", "act": "relu"}, {"embed": "mlp", "of": NUMBERS}),
    }  # fmt: skip
    for name in draw(st.lists(any_of(*kinds), unique=True, max_size=3)):
        inputs[name] = [batch, draw(st.integers(1, 6))] if name == "pooled" else [batch]
        made[name] = draw(kinds[name])
    return made


def _unet(draw: DrawFn, count: int, context: str | None) -> Data:
    net: Data = {"levels": [], "blocks_per_level": draw(any_of(1, 1, 2))}
    base = draw(any_of(4, 8, 12))
    by_multiplier = often(draw, 3)
    if by_multiplier:
        net["base_channels"] = base
    shared = {
        "attention": {**_heads(draw), **some(draw, per=any_of("block", "level"), norm=any_of(*NORMS),
                                             qkv_bias=st.booleans(), out_bias=st.booleans())},
        "transformer": {**_heads(draw), **some(draw, norm=any_of(*NORMS), mlp=any_of("gelu", "geglu"),
                                               mlp_ratio=any_of(1, 1.5, 0.25))},
    }  # fmt: skip
    if context and often(draw, 3):
        shared["transformer"]["context"] = context
    equal = often(draw, 4)
    for _ in range(count):
        factor = 1 if equal else draw(any_of(1, 1, 2, 3))
        row: Data = {"multiplier": factor} if by_multiplier else {"channels": factor * base}
        row |= _mixing(draw, context)
        if often(draw, 5):
            row["blocks"] = draw(st.integers(1, 3))
        net["levels"].append(row if len(row) > 1 or by_multiplier else row["channels"])
    net |= {key: value for key, value in shared.items() if often(draw, 5) is False}
    net |= some(draw, block=_block(), downsample=any_of(*DOWN), upsample=any_of(*UP), stem=_stem(), head=_head(),
                skip=_skip(), narrow=any_of("next_block", "upsample", "this_block"))  # fmt: skip
    if often(draw, 5):
        net |= _mirrored(draw, net)
    if often(draw):
        net["mid"] = draw(any_of("none", {"blocks": 1}, {"blocks": 2}, {"blocks": 3}))
        if net["mid"] != "none":
            net["mid"] |= _mixing(draw, context)
    if "norm" not in net.get("block", {}):
        net["block"] = {**net.get("block", {}), "norm": {"groups": draw(any_of(1, 2, 4))}}
    if net.get("head", {}).get("norm") is None:
        net["head"] = {**net.get("head", {}), "norm": draw(any_of({"groups": 2}, "none", "layer"))}
    return net


def _mirrored(draw: DrawFn, net: Data) -> Data:
    """A decoder that can take the encoder's weights."""
    block = {key: value for key, value in draw(_block()).items() if key != "zero_init"}
    block = {key: value for key, value in block.items() if key not in ("scale", "dropout")}
    resample = draw(any_of({"downsample": {"kernel": 2}, "upsample": "conv_transpose"}, {"upsample": "nearest"}))
    skip = {"per": "level", "merge": "add", **some(draw, crop=any_of("center"))}
    tie = any_of("transposed", "soft", {"mode": "soft", "levels": [0]}, {"levels": [0, 1]})
    return {"block": {**block, "type": "conv"}, "narrow": "this_block", "skip": skip, "tie": draw(tie), **resample}


def _heads(draw: DrawFn) -> Data:
    return draw(any_of({"num_heads": 1}, {"num_heads": 2}, {"head_dim": 2}, {"head_dim": 4},
                       {"num_heads": 3, "head_dim": 2}, {"num_heads": 2, "head_dim": 1}))  # type: ignore[no-any-return]  # fmt: skip


def _mixing(draw: DrawFn, context: str | None) -> Data:
    """A row's attention and transformer."""
    row: Data = {}
    if often(draw, 3):
        row["attention"] = draw(any_of("full", {"norm": "layer", **_heads(draw)}, {"norm": {"groups": 2}}))
    if often(draw, 3):
        row["transformer"] = draw(any_of(1, 2, {"depth": 1, **_heads(draw), "norm": {"groups": 2}}))
        if context and isinstance(row["transformer"], dict) and often(draw):
            row["transformer"]["context"] = context
            orders = (["context"], ["self", "self"], ["context", "self", "context"])
            row["transformer"] |= some(draw, attends=any_of(*orders))
    return row


@st.composite
def _block(draw: DrawFn) -> Data:
    block: Data = some(draw, act=any_of(*ACTS), kernel=any_of(1, 3, 5), norm=any_of(*NORMS),
                       modulation=any_of("none", "add", "scale_shift"))  # fmt: skip
    block |= some(draw, gate=any_of("squeeze_excitation", {"reduction": 4, "act": "silu"})) if often(draw) else {}
    if often(draw, 3):
        return {"type": "conv", **block, **some(draw, padding=any_of("same", "valid"), bias=st.booleans())}
    if often(draw, 4):
        return {"type": "separable", **block, **some(draw, bias=st.booleans())}
    return {**block, **some(draw, scale=any_of(0.70710678, 2), zero_init=st.booleans(), dropout=any_of(0.1, 1))}


@st.composite
def _stem(draw: DrawFn) -> Any:
    return "none" if often(draw, 3) else {"kernel": draw(any_of(1, 2, 3, 5))}


@st.composite
def _head(draw: DrawFn) -> Data:
    return some(draw, kernel=any_of(1, 3, 3, 2), norm=any_of(*NORMS), act=any_of(*ACTS), zero_init=st.booleans())


@st.composite
def _skip(draw: DrawFn) -> Any:
    if often(draw, 6):
        return "none"
    return some(draw, per=any_of("block", "level"), merge=any_of("concat", "concat", "add"), crop=any_of("center"),
                pad=any_of("none", "none", "center"), order=any_of("decoder_first", "skip_first"),
                scale=any_of(0.70710678, 2))  # fmt: skip


def _dit(draw: DrawFn, patch: int, context: str | None, data: Data) -> Data:
    net: Data = {"patch_size": patch, "hidden_size": draw(any_of(8, 12, 16)), "depth": draw(st.integers(1, 3))}
    net |= _heads(draw)
    net |= some(draw, mlp_ratio=any_of(1, 2.5, 0.25), act=any_of(*ACTS), qk_norm=any_of("none", "rms", "layer"),
                modulation=any_of("adaln_zero", "adaln", "none"),
                pos_embed=any_of("none", "learned", "sincos", {"grid": 16, "crop": "center"},
                                 {"type": "learned", "grid": 16}, {"crop": "center"}, {"span": 4}, {"scale": 0.5},
                                 {"grid": 16, "span": 4}))  # fmt: skip
    net |= _rotary(draw, net)
    if not data["conditioning"] and not often(draw, 4):
        net["modulation"] = "none"
    named = "conditioning" if data["conditioning"] and often(draw, 3) else context
    if named:
        net["context"] = {"input": named, **some(draw, attention=any_of("in_context", "cross", "joint", "joint"))}
        if named != context:
            data["inputs"].pop("text", None)
        else:
            net["context"] |= some(draw, project=any_of("linear", "mlp"), norm=any_of("layer", "none"))
            if often(draw):
                net["context"]["mask"], data["inputs"]["mask"] = "mask", data["inputs"]["text"][:2]
    if net.get("context", {}).get("attention") == "joint":
        net |= some(draw, dual_attention=any_of(0, 1, [0]))
        net["context"] |= some(draw, update_last=st.booleans())
    if often(draw, 3) and net.get("context", {}).get("update_last", True):
        net["single_depth"] = draw(any_of(1, 2))
    elif net.get("context", {}).get("attention") != "joint":
        net |= some(draw, mlp_norm_eps=any_of(1e-5, 1e-3))
        if net.get("modulation", "adaln_zero") != "none":
            net |= some(draw, modulation=any_of("adaln_single"))
    return net


def _rotary(draw: DrawFn, net: Data) -> Data:
    """Rotary positions, where a head has channels for two coordinates."""
    head = net.get("head_dim") or net["hidden_size"] // net["num_heads"]
    if head < 4 or head % 2 or not often(draw, 3):
        return {}
    return {"pos_embed": {"type": "rope", "axes": [2, head - 2], **some(draw, theta=any_of(100))}}
