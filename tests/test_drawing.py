"""Pictures: nothing overlaps, nothing is clipped, every arrow ends where it should, whatever the network."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from drawn import spec as drawn_spec
from hypothesis import HealthCheck, given, settings

from netspec import api, drawing, shipped
from netspec.drawing import ink, paint, scene, style
from netspec.drawing.geometry import NARROW, WIDE
from netspec.drawing.paint import Shares
from netspec.errors import SpecError, UnknownName, UsageError
from netspec.plan import Plan
from tests.pictured import MEASURES, NAMED, faults, nameless, plan, untold

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def sd15() -> Plan:
    return plan("unet/sd15")


# Layout


@pytest.mark.parametrize("name", shipped.names())
def test_every_shipped_network_is_drawn_without_faults(name: str) -> None:
    for variant in (None, *api.load(name).variants):
        net = plan(name, variant)
        for measure in MEASURES:
            picture = ink.picture(net, "kind", measure)
            assert faults(picture) == [] and untold(picture, net) == []


@pytest.mark.parametrize("color", ["cost", "params", "time"])
@pytest.mark.parametrize("name", NAMED)
def test_shares_are_drawn_without_faults(name: str, color: Any) -> None:
    for measure in MEASURES:
        assert faults(ink.picture(plan(name), color, measure)) == []


def test_random_networks_are_drawn_without_faults() -> None:
    sound: list[Plan] = []

    @settings(max_examples=120, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(drawn_spec())
    def holds(data: dict[str, Any]) -> None:
        try:
            net = api.lower(api.loads(json.dumps(data)))
        except SpecError:
            return
        sound.append(net)
        for each in (net, nameless(net)):
            for measure in MEASURES:
                picture = ink.picture(each, "kind", measure)
                assert faults(picture) == [] and untold(picture, each) == []

    holds()
    assert len(sound) > 20, "most of what is drawn is refused"


@pytest.mark.parametrize("name", [*NAMED, "unet/tied_unet", "tiny/upsampler"])
def test_a_family_that_nobody_knows_is_a_column(name: str) -> None:
    net = nameless(plan(name))
    for measure in MEASURES:
        picture = ink.picture(net, "kind", measure)
        assert faults(picture) == [] and untold(picture, net) == []


DEEP = """
netspec: 1
name: deep
inputs: {x: [1, 3, 4096, 4096], t: [1], low: [1, 3, 4, 4]}
output: [1, 3, 4096, 4096]
conditioning: {t: {embed: sinusoidal, dim: 8}}
unet:
  image: [x, {input: low, resize: bilinear}]
  levels: [8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8]
  blocks_per_level: 40
  block: {norm: {groups: 4}}
  head: {norm: {groups: 4}}
"""


@pytest.mark.parametrize("mid", ["settings", "none"])
@pytest.mark.parametrize("skip", ["concat", "none", "{per: level, merge: add}"])
def test_twelve_levels_of_forty_blocks(mid: str, skip: str) -> None:
    net = api.lower(api.loads(DEEP + f"  skip: {skip}\n" + ("  mid: none\n" if mid == "none" else "")))
    for measure in MEASURES:
        picture = ink.picture(net, "kind", measure)
        assert faults(picture) == [] and untold(picture, net) == []


def test_the_checks_see_what_they_look_for(sd15: Plan) -> None:
    picture = ink.picture(sd15)
    card = picture.card("s3")
    wide = replace(card.texts[0], text=card.texts[0].text * 30)
    for broken in (
        replace(card, rect=replace(card.rect, y=card.rect.y - 60)),
        replace(card, rect=replace(card.rect, x=-9)),
        replace(card, texts=(wide,)),
    ):
        cards = [broken if each is card else each for each in picture.cards]
        assert faults(replace(picture, cards=cards))
    assert untold(replace(picture, cards=picture.cards[1:]), sd15)


# What is seen


def test_a_u(sd15: Plan) -> None:
    picture = ink.picture(sd15)
    down, up = (picture.card(f"s{number}") for number in (2, 10))
    assert (down.box.title, down.box.size) == ("down 0", "320 × 64 × 64")
    assert down.box.words == "2 × (ResNet + Transformer ×1) ↓\u00a0conv"
    assert up.box.title == "up 0" and up.rect.y == down.rect.y and up.rect.x > down.rect.right
    mid = next(card for card in picture.cards if card.box.title == "mid")
    assert mid.rect.middle == WIDE.width / 2 and mid.rect.y == max(card.rect.y for card in picture.cards)
    widths = {card.box.type.channels: card.rect.w for card in picture.cards if card.box.role == "stage"}
    assert widths[320] < widths[640] < widths[1280]


def test_skips_are_those_of_the_plan(sd15: Plan) -> None:
    seen = scene.scene(sd15)
    joins = {(value.node, node.name) for node in sd15 if node.component.name == "concat" for value in node.inputs[1:]}
    assert {pair for edge in seen.edges if edge.kind == "skip" for pair in edge.pairs} == joins
    told = {(seen.boxes[e.source].title, seen.boxes[e.target].title) for e in seen.edges if e.kind == "skip"}
    assert {("stem", "up 0"), ("down 0", "up 0"), ("down 0", "up 1"), ("down 3", "up 3")} <= told


def test_blocks_are_folded_and_fed_where_they_read() -> None:
    seen = scene.scene(plan("dit/pixart_xl_2"))
    boxes = {box.title: box for box in seen.boxes.values()}
    assert boxes["DiT block"].count == 28
    assert boxes["DiT block"].sketch == (("attention",), ("cross-attention",), ("MLP",))
    assert boxes["context"].read == ("text", "text_mask")
    feeds = {
        box: [seen.boxes[id].title for id in seen.feeds(boxes[box].id)] for box in ("embed", "modulation", "context")
    }
    assert feeds == {"embed": ["modulation", "head"], "modulation": ["DiT block"], "context": ["DiT block"]}


def test_streams_stand_under_what_makes_them() -> None:
    picture = ink.picture(plan("dit/flux_dev"))
    cards = {card.box.title: card for card in picture.cards}
    joint, single = cards["joint block"], cards["single-stream block"]
    assert (joint.box.count, single.box.count) == (19, 38)
    assert joint.rect.x == cards["image"].rect.x and joint.rect.right == cards["context"].rect.right
    assert single.rect.w == joint.rect.w


@pytest.mark.parametrize("modulation", ["none", "adaln", "adaln_single"])
@pytest.mark.parametrize("variant", ["cross-attention", "in-context"])
def test_what_is_made_of_the_vectors_is_joined_to_them(variant: str, modulation: str) -> None:
    net = api.lower(api.load("dit/dit_xl_2", variant=variant, set=[f"dit.modulation={modulation}", "expect={}"]))
    for measure in MEASURES:
        picture = ink.picture(net, measure=measure)
        cards = {card.box.id: card for card in picture.cards}
        joined = {(cards[line.source].box.title, cards[line.target].box.title) for line in picture.lines}
        assert {("embed", "context"), ("context", "DiT block")} <= joined and faults(picture) == []


def test_inputs_beside_a_u_keep_their_names() -> None:
    name = "the_hidden_states_of_a_text_encoder"
    text = (ROOT / "specs/tiny/unet.yaml").read_text(encoding="utf-8").replace("context: text", f"context: {name}")
    net = api.lower(api.loads(text.replace("  text: [batch, 7, 24]", f"  {name}: [batch, 1, 24]")))
    for measure in MEASURES:
        picture = ink.picture(net, measure=measure)
        assert faults(picture) == []
        assert [text.text for text in picture.card(f"i-{name}").texts] == [name, "1 token × 24"]


def test_halves_stand_side_by_side_and_alone() -> None:
    both, net = ink.picture(plan("autoencoder/kl_f8")), plan("autoencoder/kl_f8")
    assert [text.text for text in both.texts if text.anchor == "middle"] == ["encoder", "decoder"]
    rows = {(card.box.part, card.box.title): card.rect.y for card in both.cards}
    assert all(rows["encoder", f"down {level}"] == rows["decoder", f"up {level}"] for level in range(4))
    alone = ink.picture(net.only(["decoded"]))
    assert faults(alone) == [] and len({card.rect.middle for card in alone.cards}) == 1
    assert [card.box.title for card in alone.cards][:2] == ["latent", "quant"]


def test_sizes_read_for_their_own_sake_are_no_skips() -> None:
    for name in ("dit/dit_xl_2", "dit/sd3_medium", "tiny/dit"):
        assert not [edge for edge in scene.scene(plan(name)).edges if edge.kind == "skip"]


# Colours


def test_shares_add_up_and_are_told(sd15: Plan) -> None:
    shares = ink.paint(scene.scene(sd15), "cost").shares
    assert sum(shares.values()) == pytest.approx(1)
    text = drawing.svg(sd15, color="cost")
    largest = max(shares.values())
    assert f"{100 * largest:.0f} %" in text and "share of all GFLOPs" in text
    assert text.count('class="card stage ramp-4"') >= 1


def test_measured_times_are_painted(sd15: Plan) -> None:
    rows = [{"node": "mid_block_0", "ms": 3.0}, {"node": "head", "ms": 1.0}, {"node": "(Transpose)", "ms": 9.0}]
    found = drawing.measured(sd15, {"nodes": [{"backend": "onnx", "rows": rows}]})
    assert found == Shares({"mid_block_0": 3.0, "head": 1.0}, "time measured with onnx")
    assert "75 %" in drawing.svg(sd15, color=found)
    with pytest.raises(UsageError, match="NS946"):
        drawing.measured(sd15, {"nodes": [{"backend": "onnx", "rows": rows[2:]}]})


TYPED = """targets:
  half: {exporter: tensorrt, precision: {default: fp16, fp32: [up_0_*]}}
  few: {exporter: openvino, precision: int8}
"""


def test_precisions_follow_roles_and_the_spec() -> None:
    text = (ROOT / "specs" / "tiny" / "unet.yaml").read_text(encoding="utf-8")
    net = api.lower(api.loads(text.partition("\ntargets:")[0] + "\n" + TYPED))
    half, few = drawing.precisions(net, "half").of, drawing.precisions(net, "few").of
    assert (half["head"], half["embed_t"], half["down_0_block_0"], half["up_0_block_0"]) == (
        "fp32",
        "fp32",
        "fp16",
        "fp32",
    )
    assert (few["head"], few["stem"], few["down_0_block_0"]) == ("fp32", "float", "int8")
    legend = paint.paint(scene.scene(net), drawing.precisions(net, "few")).legend
    assert legend == (("fp32", "fp32"), ("other", "the target's float"), ("few", "int8"))
    assert drawing.precisions(net) == drawing.precisions(net, "half")
    assert 'class="cell fp16"' in drawing.svg(net, color="precision")
    assert faults(ink.picture(net, "precision", NARROW)) == []
    with pytest.raises(UnknownName, match="NS212"):
        drawing.precisions(net, "halv")


def light(color: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: str, b: str) -> float:
    high, low = sorted((light(a), light(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [style.LIGHT, style.DARK], ids=["light", "dark"])
def test_text_can_be_read_and_colours_told_apart(palette: dict[str, str]) -> None:
    for surface in ("paper", "card", "wash"):
        for text in ("ink", "muted", "accent", "good", "warn", "bad"):
            assert contrast(palette[surface], palette[text]) >= 4.5, (surface, text)
        assert contrast(palette[surface], palette["flow"]) >= 3
        assert contrast(palette[surface], palette["skip"]) >= 3
    for step in range(5):
        assert contrast(palette[f"ramp-{step}"], palette["ink"]) >= 4.5
    kinds = [palette[name] for name in ("conv", "attention", "resample", "embed", "ends")]
    assert min(contrast(a, b) for a, b in combinations(kinds, 2)) >= 1.15, "in grey print"
