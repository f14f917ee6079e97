"""YAML files of CompVis and Stability AI: a tree of `target` and `params`, with the networks somewhere in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from netspec.document import Document
from netspec.errors import Diagnostic, ForeignError, SpecPath
from netspec.importers import Draft, Importer, Options, importers
from netspec.importers.autoencoders import Halves
from netspec.importers.foreign import Config
from netspec.importers.unets import USUAL_SIDE, Embedding, Net, Site

_BOOLEANS = {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}
_RUN = ("use_checkpoint", "use_fp16", "use_bf16", "spatial_transformer_attn_type")  # how it is run, not what it is


_DOWN = {"block": "resnet", "convolution": "conv", "pixels": "avgpool"}
_UP = {"block": "resnet", "convolution": "nearest", "pixels": {"type": "nearest", "kernel": "none"}}


class Target(Importer, of=""):
    """A network by how its `target` ends; `part` is what it is called where a file has several."""

    program = "CompVis"
    part: ClassVar[str]
    targets: ClassVar[tuple[str, ...]] = ()


class OpenAIUNet(Target, of="openaimodel.UNetModel"):
    """The U-Net of latent diffusion and generative-models: that of guided-diffusion, with transformers."""

    part, targets = "unet", ("openaimodel.UNetModel",)
    defaults = MappingProxyType(
        {
            "image_size": None, "dropout": 0, "channel_mult": [1, 2, 4, 8], "conv_resample": True, "dims": 2,
            "num_classes": None, "num_heads": -1, "num_head_channels": -1, "num_heads_upsample": -1,
            "use_scale_shift_norm": False, "resblock_updown": False, "use_new_attention_order": False,
            "use_spatial_transformer": False, "transformer_depth": 1, "transformer_depth_middle": None,
            "context_dim": None, "n_embed": None, "legacy": True, "disable_self_attentions": None,
            "num_attention_blocks": None, "disable_middle_self_attn": False, "use_linear_in_transformer": False,
            "adm_in_channels": None,
        }
    )  # fmt: skip

    @classmethod
    def to_spec(cls, config: Config, options: Options) -> Draft:
        base, factors = config.number("model_channels"), config["channel_mult"]
        widths = [int(factor * base) for factor in factors]
        depths = config.each("transformer_depth", len(widths))
        transformers = bool(config["use_spatial_transformer"] or config["context_dim"] is not None)
        attended = [2**level in config["attention_resolutions"] for level in range(len(widths))]
        crossed = config.each("disable_self_attentions", len(widths))
        levels = [
            _site(config, width, blocks, here, depth if transformers else 0, bool(across))
            for width, blocks, here, depth, across in zip(
                widths, config.each("num_res_blocks", len(widths)), attended, depths, crossed, strict=True
            )
        ]
        middle = config["transformer_depth_middle"]
        way = "block" if config["resblock_updown"] else "convolution" if config["conv_resample"] else "pixels"
        net = Net(
            channels=config.number("in_channels"),
            out_channels=config.number("out_channels"),
            size=(_side(config),) * 2,
            levels=levels,
            mid=_site(
                config,
                widths[-1],
                2,
                True,
                (depths[-1] if middle is None else middle) if transformers else 0,
                bool(config["disable_middle_self_attn"]),
            ),
            time={"dim": base},
            embeddings=_vectors(config),
            context=_context(config) if transformers else None,
            groups=options.groups or 32,
            modulation="scale_shift" if config["use_scale_shift_norm"] else "add",
            dropout=config["dropout"],
            downsample=_DOWN[way],
            upsample=_UP[way],
            by_width=config["num_head_channels"] != -1,
            assumed=_storage(config),
        )
        config.ignore("legacy", "use_linear_in_transformer", "image_size", *_RUN)
        _only(config)
        config.finish()
        return net.draft(options)


class TamingAutoencoder(Target, of="autoencoder.AutoencoderKL"):
    """The autoencoder of latent diffusion: encoder and decoder of taming-transformers."""

    part, targets = "autoencoder", ("autoencoder.AutoencoderKL", "autoencoder.AutoencoderKLInferenceWrapper")
    defaults = MappingProxyType({"embed_dim": None})
    moments: ClassVar[int] = 2  # numbers of the encoder for each of the latent
    halves = MappingProxyType(
        {
            "double_z": True, "dropout": 0.0, "resamp_with_conv": True, "attn_resolutions": [],
            "tanh_out": False, "use_linear_attn": False, "attn_type": "vanilla", "give_pre_end": False,
        }
    )  # fmt: skip

    @classmethod
    def to_spec(cls, config: Config, options: Options) -> Draft:
        inner = config.inside("ddconfig", cls.halves)
        factors, side, kinds = inner["ch_mult"], inner.number("resolution"), ("vanilla", "vanilla-xformers", "none")
        halves = Halves(
            channels=inner.number("in_channels"),
            out_channels=inner.number("out_ch"),
            latent=config["embed_dim"] or inner.number("z_channels"),
            widths=[int(factor * inner.number("ch")) for factor in factors],
            attention=[side // 2**level in inner["attn_resolutions"] for level in range(len(factors))],
            blocks=inner.number("num_res_blocks"),
            middle=inner.among("attn_type", *kinds, why="no such attention here") != "none",
            inside=inner.number("z_channels"),
            moments=cls.moments,
            learned=bool(inner["resamp_with_conv"]),
            groups=options.groups or 32,
            size=side,
        )
        inner.ignore("dropout")  # no published autoencoder has any
        config.ignore("lossconfig", "monitor", "ckpt_path", "ignore_keys", "image_key", "colorize_nlabels")  # training
        inner.among("double_z", cls.moments == 2, why="an encoder of another kind of autoencoder")
        inner.without(
            {
                "tanh_out": (False, "the image is squashed to -1 to 1"),
                "use_linear_attn": (False, "linear attention"),
                "give_pre_end": (False, "the last layers are left out"),
            }
        )
        config.finish()
        return halves.draft(options)


class TamingQuantiser(TamingAutoencoder, of="autoencoder.VQModel"):
    """The same with a codebook between the halves, which is no part of either."""

    targets = ("autoencoder.VQModel", "autoencoder.VQModelInterface")
    moments = 1

    @classmethod
    def to_spec(cls, config: Config, options: Options) -> Draft:
        config.ignore("n_embed", "remap", "sane_index_shape")  # of the codebook
        config.ignore("batch_resize_range", "scheduler_config", "lr_g_factor", "use_ema")  # training
        return super().to_spec(config, options)


def read(parsed: Document, options: Options) -> tuple[Draft, str]:
    """The network of a file, or the `part` of it that is asked for.

    Raises ForeignError NS640 where there is none that is known here, or no such part.
    """
    parsed = replace(parsed, data=_of_yaml_1_1(parsed.data))
    found = dict(_networks(parsed.data, ()))
    name = Path(parsed.source.name).name
    if not found or (options.part and options.part not in found):
        raise ForeignError(_none(parsed, found, options))
    part = options.part or next(iter(found))
    importer, path = found[part]
    config = Config(parsed, path, importer.defaults)
    draft = importer.to_spec(config, options)
    others = [f"`--part {each}` is the {each}" for each in found if each != part]
    assumed = (
        *draft.assumed,
        *([f"the {part} is meant; {' and '.join(others)}"] if others and not options.part else []),
    )
    draft = replace(draft, assumed=assumed, options=draft.options | {"groups", "part"})
    return draft, f"{name} ({importer.program}, {importer.cls.rpartition('.')[2]})"


def _of_yaml_1_1(data: Any) -> Any:
    """Words that these files mean as booleans, which YAML 1.2 takes for text."""
    match data:
        case Mapping():
            return {key: _of_yaml_1_1(value) for key, value in data.items()}
        case list():
            return [_of_yaml_1_1(value) for value in data]
        case str():
            return _BOOLEANS.get(data.lower(), data)
        case _:
            return data


def _networks(data: Any, path: SpecPath) -> Iterator[tuple[str, tuple[type[Target], SpecPath]]]:
    """Every network that is known here: its part of the file, its importer, the place of its settings."""
    if isinstance(data, Mapping):
        target = str(data.get("target", ""))
        for known in importers().values():
            if not issubclass(known, Target) or not isinstance(data.get("params"), Mapping):
                continue
            if target.endswith(tuple(f".{each}" for each in known.targets)):
                yield known.part, (known, (*path, "params"))
        for key, value in data.items():
            yield from _networks(value, (*path, key))


def _none(parsed: Document, found: Mapping[str, Any], options: Options) -> Diagnostic:
    name = parsed.source.name
    if found:
        return Diagnostic("NS640", f"{name} has no part `{options.part}`", help=(f"it has: {', '.join(found)}",))
    known = [f"`target: ….{each.cls}`" for each in importers().values() if issubclass(each, Target)]
    help = f"known are {', '.join(known)}"
    return Diagnostic("NS640", f"{name} describes no network that netspec knows", help=(help,))


def _site(config: Config, width: int, blocks: int, attended: bool, depth: int, crossed: bool) -> Site:
    """A level or the middle; heads by their width where it is given, else by their number."""
    number, head = config["num_heads"], config["num_head_channels"]
    if not attended:
        return Site(width, blocks)
    if head != -1:
        number = width // head if width % head == 0 else 0
    if number < 1 or width % number:
        config.contradict("num_heads" if head == -1 else "num_head_channels", f"{width} channels do not split so")
        number = 1
    return Site(width, blocks, attention=not depth, depth=depth, heads=number, crossed=crossed)


def _side(config: Config) -> int:
    """The latent's side: what the model around the network says, else what the network itself says."""
    around = config.document.data
    for part in config.root[:-2]:
        around = around[part]
        if isinstance(around, Mapping) and isinstance(side := around.get("image_size"), int):
            return side
    return config["image_size"] if isinstance(config["image_size"], int) else USUAL_SIDE


def _context(config: Config) -> int:
    """The context's width; a list repeats it for each block of a transformer."""
    given = config["context_dim"]
    widths = set(given) if isinstance(given, list) else {given}
    if len(widths) != 1 or None in widths:
        config.refuse("context_dim", "transformers that read no context, or several")
        return 1
    return int(widths.pop())


def _vectors(config: Config) -> dict[str, Embedding]:
    kind = config["num_classes"]
    if kind == "sequential":
        width = config.number("adm_in_channels")
        return {
            "vector": Embedding("mlp", {"vector": ["batch", width]}, {"vector": "everything else, embedded outside"})
        }
    config.ignore("adm_in_channels")
    if kind is None:
        return {}
    if not isinstance(kind, int):
        config.refuse("num_classes", "no such embedding here")
        return {}
    return {"y": Embedding({"embed": "label", "classes": kind}, {"y": ["batch"]}, {"y": "class"})}


def _storage(config: Config) -> list[str]:
    """What the settings say about files of weights alone."""
    if not config["use_new_attention_order"]:
        return []
    return ["files of its weights hold q, k and v of all heads one after the other: `--layout adm:qkv=parts_first`"]


def _only(config: Config) -> None:
    """Settings that may have one value alone."""
    if config["num_attention_blocks"] is not None:
        config.refuse("num_attention_blocks", "levels with attention after some of their blocks")
    if config["num_heads_upsample"] not in (-1, config["num_heads"]):
        config.refuse("num_heads_upsample", "a decoder with other heads than the encoder")
    config.without(
        {
            "dims": (2, "sequences, or volumes"),
            "n_embed": (None, "a head that predicts codebook entries"),
        }
    )
