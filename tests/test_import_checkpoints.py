"""Bare checkpoints: every shipped spec, written in every layout that holds it, is found again from names and shapes."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch

from netspec import api, planner, shipped
from netspec.errors import ForeignError, WeightsError
from netspec.families.levels import Levelled
from netspec.importers import Options
from netspec.importers.comparing import differences
from netspec.importers.drafts import lowered
from netspec.importers.reading import import_file, read
from netspec.plan import Plan
from netspec.positions.rope import Rope
from netspec.weights import layouts
from netspec.weights.layouts import Layout
from netspec.weights.layouts.diffusers import Diffusers

LAYOUTS = ("ldm", "diffusers", "dit", "pixart", "sd3", "flux", "kl")

# What names and shapes cannot tell.
OTHERWISE = {
    *(
        "unet/adm@64-to-256",
        "unet/adm@128-to-512",
        "unet/improved_diffusion@64-to-256",
    ),  # images joined before or inside
    *("unet/sdxl ldm", "unet/sdxl@refiner ldm"),  # the parts of a vector, which stand outside of such a file
    *("unet/ddpm_256 ldm", "unet/ddpm_cifar10 ldm"),  # DDPM's numerics under names that nobody stored them by
    *("unet/teaching_unet",),  # a network of nobody
    # the original code always has two blocks and a transformer in the middle, and one depth for both halves of a level
    *("unet/sdxl@ssd-1b ldm", "unet/sdxl@vega ldm"),
    # diffusers has heads of one width, and as many sinusoids as the stem has channels
    *("unet/adm@cond-128 diffusers", "unet/adm@cond-512 diffusers", "unet/improved_diffusion@imagenet64 diffusers"),
    *("unet/improved_diffusion@imagenet64-cond diffusers", "unet/ldm@churches diffusers"),
    *("unet/ldm@inpainting diffusers",),
}


CLASSIC = {  # no layout holds them, or none of a network that denoises
    *("unet/light_unet", "unet/same_padding_unet", "unet/simple_unet", "unet/tied_unet", "unet/unet_2015"),
}


def every() -> list[str]:
    """Every shipped spec and variant; `tiny` ones are of no program."""
    found = []
    for name in shipped.names():
        variants = api.load(shipped.folder() / f"{name}.yaml").variants if not name.startswith("tiny/") else ()
        found += [name, *(f"{name}@{variant}" for variant in variants)]
    return [name for name in found if not name.startswith("tiny/")]


@pytest.mark.parametrize("name", every())
def test_a_shipped_spec_is_found_again(name: str, tmp_path: Path) -> None:
    plan, tried = plan_of(name), []
    for layout in LAYOUTS:
        vector = "class_embedding" if "unclip" in name else "add_embedding"
        rules: Layout = Diffusers(vector=vector) if layout == "diffusers" else layouts.find(layout)
        try:
            shapes = foreign(plan, rules)
        except WeightsError:
            continue  # it has no place for this network
        tried.append(layout)
        if OTHERWISE & {name, f"{name} {layout}"}:
            continue
        draft, origin = read(header(tmp_path / f"{layout}.safetensors", shapes), answers(plan))
        found = lowered(draft, origin)
        assert not list(differences(plan, found)), layout
        assert found.cost.params == plan.cost.params
    assert tried or name.partition("@")[0] in CLASSIC or name.endswith("@cross-attention")


def plan_of(name: str, **changes: Any) -> Plan:
    path, _, variant = name.partition("@")
    return planner.lower(api.load(shipped.folder() / f"{path}.yaml", variant=variant or None, set=changes))


def foreign(plan: Plan, rules: Layout) -> dict[str, tuple[int, ...]]:
    entries = rules.entries(plan)
    return {key: shape for entry in entries for key, shape in zip(entry.foreign, entry.foreign_shapes, strict=True)}


def header(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Path:
    """A safetensors file of these shapes; its data is a hole that nobody reads."""
    told, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * prod(shape)
        told[name] = {"dtype": "F16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(told).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return path


def answers(plan: Plan) -> Options:
    """What a person who knows the network would answer."""
    family: Any = plan.spec.family
    said: dict[str, Any] = {}
    if isinstance(family, Levelled):
        rows = [
            each for row in (*family.levels, family.mid) if row for each in (row.attention, row.transformer) if each
        ]
        first = rows[0] if rows else None
    else:
        first = family
        image = next(plan.inputs[name] for name in family.mains(plan.spec, plan.inputs))
        said["size"] = image.sizes[0].opt
        if isinstance(family.pos_embed, Rope):
            said = {"axes": family.pos_embed.axes}
    if first is not None:
        said |= {"heads": first.num_heads} if first.num_heads else {"head_dim": first.head_dim}
    if plan.spec.convention == "ldm" and not isinstance(family, Levelled):
        return Options(**said)
    return Options(**said, convention=plan.spec.convention)


# What files around a network look like

SD1 = "unet/sd15"


def refusal(path: Path, **options: Any) -> ForeignError:
    with pytest.raises(ForeignError) as caught:
        read(path, Options(**options))
    return caught.value


def test_a_whole_model_and_its_average(tmp_path: Path) -> None:
    """The first file of Stable Diffusion: the network, its average, the autoencoder, the text encoder."""
    network, coder = (
        foreign(plan_of(SD1), layouts.find("ldm")),
        foreign(plan_of("autoencoder/kl_f8"), layouts.find("kl")),
    )
    shapes = {f"model.diffusion_model.{name}": shape for name, shape in network.items()}
    shapes |= {f"model_ema.diffusion_model{name.replace('.', '')}": shape for name, shape in network.items()}
    shapes |= {f"first_stage_model.{name}": shape for name, shape in coder.items()}
    shapes |= {"first_stage_model.loss.logvar": (1,), "cond_stage_model.x": (3, 4), "betas": (1000,)}
    path = header(tmp_path / "v1-5.safetensors", shapes)
    found = import_file(path)
    assert found.plan.cost.params == 859_520_964
    assert not list(differences(plan_of(SD1), found.plan))
    assert found.assumed == (
        "num_heads is 8, as in Stable Diffusion 1",
        "the side of the image or latent is 64, as in most latents",
        "the unet is meant; `--part autoencoder` is the autoencoder",
    )
    assert import_file(path, Options(part="autoencoder")).plan.cost.params == 83_653_863
    error = refusal(path, part="text")
    assert error.diagnostics[0].code == "NS640"
    assert error.diagnostics[0].help == ("it has: unet, autoencoder",)


def test_a_pickle_is_read_as_tensors_and_no_more(tmp_path: Path) -> None:
    plan = plan_of("dit/dit_xl_2@s-8")
    shapes = foreign(plan, layouts.find("dit"))
    state = {f"module.{name}": torch.empty(shape, device="meta") for name, shape in shapes.items()}
    torch.save(
        {"state_dict": {name: torch.empty(1).expand(value.shape) for name, value in state.items()}}, tmp_path / "s.pt"
    )
    found = import_file(tmp_path / "s.pt")
    assert not list(differences(plan, found.plan))
    (tmp_path / "not.ckpt").write_bytes(b"\x80\x02 no")
    with pytest.raises(WeightsError):
        import_file(tmp_path / "not.ckpt")


# What files do not tell


def test_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    path = header(tmp_path / "adm.safetensors", foreign(plan_of("unet/adm"), layouts.find("ldm")))
    (found,) = refusal(path).diagnostics
    assert found.code == "NS644"
    assert found.message == "the shapes of a checkpoint do not tell everything about its network"
    assert found.help == ("add --heads N or --head-dim N: how attention splits its width into heads",)
    told = {"img_in.weight": (64, 16), "double_blocks.0.img_attn.norm.query_norm.scale": (16,)}
    flux = foreign(plan_of("dit/flux_dev"), layouts.find("flux")) | told
    axes = refusal(header(tmp_path / "flux.safetensors", flux)).diagnostics[0].help
    assert axes == ("add --axes N: channels of a head that each coordinate turns, such as 16,56,56",)


def test_an_option_that_says_nothing_is_remarked(tmp_path: Path) -> None:
    path = header(tmp_path / "vae.safetensors", foreign(plan_of("autoencoder/kl_f8"), layouts.find("kl")))
    found = import_file(path, Options(heads=4, size=512))
    assert (found.assumed, found.idle) == ((), ("heads",))
    folder = import_file(tmp_path, Options(heads=4, size=512))  # with weights and without a config.json
    assert folder.plan.spec.family == found.plan.spec.family


@pytest.mark.parametrize("layout", ["kl", "diffusers"])
def test_a_codebook_stands_between_the_halves(layout: str, tmp_path: Path) -> None:
    plan = plan_of("autoencoder/kl_f4@vq")
    shapes = foreign(plan, layouts.find(layout)) | {"quantize.embedding.weight": (8192, 3)}
    found = import_file(header(tmp_path / "vq.safetensors", shapes), Options())
    assert not list(differences(plan, found.plan))


def test_sizes_that_change_without_weights(tmp_path: Path) -> None:
    plan = plan_of("autoencoder/kl_f4@vq", **WITHOUT_WEIGHTS)
    shapes = foreign(plan, layouts.find("kl"))
    found = import_file(header(tmp_path / "vq.safetensors", shapes), Options())
    assert not list(differences(plan, found.plan))


WITHOUT_WEIGHTS = {
    "autoencoder.downsample": "avgpool",
    "autoencoder.upsample": {"type": "nearest", "kernel": "none"},
    "expect": {},
}


def test_other_groups_are_said(tmp_path: Path) -> None:
    plan = plan_of("tiny/autoencoder")
    path = header(tmp_path / "vae.safetensors", foreign(plan, layouts.find("diffusers")))
    (found,) = refusal(path).diagnostics
    assert found.code == "NS643"
    assert "16 channels do not split into 32 groups" in found.message
    draft, origin = read(path, Options(groups=8))
    assert not list(differences(plan, lowered(draft, origin)))


def test_numerics_are_said(tmp_path: Path) -> None:
    plan = plan_of("unet/ddpm_cifar10")
    path = header(tmp_path / "unet.safetensors", foreign(plan, Diffusers()))
    found = import_file(path, Options(size=32))
    assert not list(differences(plan, found.plan))
    assert found.assumed == (
        "numerics are those of DDPM (`--convention ldm` for latent diffusion's)",
        "num_heads is 1, as in DDPM",
    )
    changed = {each.path[-1] for each in differences(plan, import_file(path, Options(convention="ldm")).plan)}
    assert changed == {"eps", "padding", "order", "freq_shift"}


def test_heads_that_the_class_does_not_have_are_not_taken(tmp_path: Path) -> None:
    path = header(tmp_path / "unet.safetensors", foreign(plan_of("unet/ldm@inpainting"), Diffusers()))
    assert refusal(path, heads=8).diagnostics[0].help == ("add --head-dim N: heads of this class have one width",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks.3.extra.weight": (7, 5)}, "but it holds 33,148,195 numbers, such a network has 33,142,016"),
        ({"pos_embed": (1024,)}, "but its tensors have shapes of another kind"),
        ({"final_layer.linear.weight": None}, "but there is no `final_layer.linear.weight`"),
    ],
)
def test_a_file_that_is_nearly_one(change: Mapping[str, Any], message: str, tmp_path: Path) -> None:
    shapes = foreign(plan_of("dit/dit_xl_2@s-8"), layouts.find("dit")) | dict(change)
    path = header(tmp_path / "x.safetensors", {name: shape for name, shape in shapes.items() if shape})
    (found,) = refusal(path).diagnostics
    assert found.code == "NS645"
    assert found.message == f"{path} looks like a DiT of its authors, {message}"


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (found,) = refusal(header(tmp_path / "x.safetensors", {"weight": (3, 4)})).diagnostics
    assert found.code == "NS640"
    assert found.message.endswith("x.safetensors holds no network that netspec knows")
    assert "a FLUX.1 of its authors" in found.help[0]
