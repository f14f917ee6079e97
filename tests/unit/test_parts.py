"""Networks of several outputs: parts of them, sizes that follow from others, targets of a part, parity of every one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from exporters.lowering.packing import layout_of
from netspec import api, compiler, graph, parity, tensors
from netspec import spec as specs
from netspec.bundle import Manifest
from netspec.compiler import Options
from netspec.deployment import deployments
from netspec.errors import NetspecError, ParityError, UnknownName
from netspec.parity import inputs_at
from netspec.plan import Plan
from netspec.planner.points import multiples, points
from netspec.weights.load import load_weights, save_weights

TINY = Path(__file__).parents[2] / "specs" / "tiny" / "autoencoder.yaml"
HALVES = TINY.read_text(encoding="utf-8").replace("  both:    {exporter: onnx}\n", "")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return api.lower(api.load(TINY))


# Parts of a plan


def test_a_part_has_what_it_needs_and_no_more(plan: Plan) -> None:
    encoder, decoder = plan.only(["moments"]), plan.only(["decoded"])
    assert [*encoder.inputs] == ["image"]
    assert [*decoder.inputs] == ["latent"]
    assert encoder.nodes + decoder.nodes == plan.nodes
    assert encoder.cost + decoder.cost == plan.cost
    assert encoder.whole is decoder.whole is plan
    assert decoder.only(["decoded"]).whole is plan
    assert plan.whole is None


def test_a_part_of_everything_is_everything_in_the_order_asked_for(plan: Plan) -> None:
    both = plan.only(["decoded", "moments"])
    assert both.nodes == plan.nodes
    assert both.inputs == plan.inputs
    assert [*both.outputs] == ["decoded", "moments"]
    assert [*plan.outputs] == ["moments", "decoded"]


def test_an_unknown_output(plan: Plan) -> None:
    with pytest.raises(UnknownName, match="NS216") as caught:
        api.build(plan, outputs=["decode"])
    assert caught.value.diagnostics[0].help == ("did you mean `decoded`?", "outputs: moments, decoded")


def test_a_part_computes_what_the_whole_does(plan: Plan) -> None:
    whole = api.build(plan).eval()
    decoder, encoder = (api.build(plan, outputs=[name]).eval() for name in ("decoded", "moments"))
    image, latent = torch.randn(1, 3, 8, 12), torch.randn(1, 4, 3, 5)
    with torch.no_grad():
        moments, decoded = whole(image, latent)
        assert torch.equal(encoder(image), moments), "a node's first weights do not depend on the others"
        assert torch.equal(decoder(latent), decoded)
        swapped = api.build(plan, outputs=["decoded", "moments"]).eval()(image, latent)
    assert torch.equal(swapped[0], decoded)
    assert encoder.state_dict().keys() | decoder.state_dict().keys() == whole.state_dict().keys()


def test_a_part_loads_files_of_the_whole_and_its_own(plan: Plan, tmp_path: Path) -> None:
    whole = api.build(plan, seed=7)
    save_weights(whole, tmp_path / "whole.safetensors")
    part = api.build(plan, outputs=["decoded"])
    load_weights(part, tmp_path / "whole.safetensors")
    for name, tensor in part.state_dict().items():
        assert torch.equal(tensor, whole.state_dict()[name])
    save_weights(part, tmp_path / "part.safetensors")
    again = api.build(plan, outputs=["decoded"], seed=8)
    load_weights(again, tmp_path / "part.safetensors")
    assert torch.equal(again.state_dict()["decoder_head.conv.weight"], part.state_dict()["decoder_head.conv.weight"])


def test_a_part_is_tried_at_its_own_sizes(plan: Plan) -> None:
    encoder, decoder = plan.only(["moments"]), plan.only(["decoded"])
    assert [[*point.sizes] for point in points(encoder)] == [["batch", "height", "width"]] * 4
    odd = points(decoder)[-1]
    assert odd.name == "odd"
    assert odd.sizes["rows"] % 2 == odd.sizes["columns"] % 2 == 1, "a decoder takes latents of any size"
    assert odd.macs < points(plan)[-1].macs
    assert (multiples(encoder)["height"], multiples(decoder)["rows"]) == (4, 1)


# Sizes that follow from others


@pytest.mark.parametrize(
    ("text", "word", "factor"),
    [
        ("rows", "rows", 1),
        ("8*rows", "rows", 8),
        ("height/8", "height", Fraction(1, 8)),
        ("3*w/2", "w", Fraction(3, 2)),
    ],
)
def test_expressions(text: str, word: str, factor: Fraction) -> None:
    assert tensors.factored(text) == (word, factor)
    spec = api.loads(f"{MINIMAL}dims: {{batch: 1, {word}: {{min: 16, opt: 32, max: 48}}}}\n".replace("WORD", word))
    size = spec.size(text)
    assert str(size) == text
    assert size.values == (16 * factor, 32 * factor, 48 * factor)


MINIMAL = """\
netspec: 1
name: net
inputs: {x: [batch, 4, WORD, WORD]}
output: [batch, 4, WORD, WORD]
unet: {levels: [32], block: {modulation: none}}
"""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8",
        "8*",
        "*rows",
        "rows*8",
        "0*rows",
        "rows/0",
        "08*rows",
        "8*rows+1",
        "a/b",
        "8 * rows",
        "-rows",
        "2*3*rows",
    ],
)
def test_what_is_no_expression(text: str) -> None:
    assert tensors.factored(text) is None


def test_expressions_in_other_words_are_the_same_size() -> None:
    text = MINIMAL.replace("output: [batch, 4, WORD,", "output: [batch, 4, 2*WORD/2,").replace("WORD", "w")
    spec = api.loads(f"{text}dims: {{batch: 1, w: {{min: 8, opt: 8, max: 16}}}}\n")
    assert str(spec.size("2*w/2")) == "w"
    assert str(api.lower(spec).outputs["output"].type) == "(batch, 4, w, w)"
    assert api.loads(specs.text(spec)) == spec, "as it was written"


def test_ports_say_the_expression_or_its_value() -> None:
    text = HALVES.replace("outputs: [moments]", "outputs: [moments], dims: {batch: 1, height: 16}")
    text = text.replace("outputs: [decoded]", "outputs: [decoded], dims: {batch: 1, rows: {min: 4, opt: 4, max: 4}}")
    encoder, decoder = deployments(api.lower(api.loads(text)))
    assert [port.shape for port in (*encoder.request.inputs, *encoder.request.outputs)] == [
        (1, 3, 16, "width"),
        (1, 8, 4, "width/4"),
    ]
    assert [port.shape for port in (*decoder.request.inputs, *decoder.request.outputs)] == [
        (1, 4, 4, "columns"),
        (1, 3, 16, "4*columns"),
    ]


# Targets


def test_targets_of_halves_have_their_own_weights(plan: Plan) -> None:
    both, encoder, decoder = deployments(plan)
    whole, *halves = ({*layout_of(each.request).infos} for each in (both, encoder, decoder))
    assert halves[0] < whole and halves[1] < whole and whole == halves[0] | halves[1]
    assert {*encoder.model.state_dict()} == halves[0]
    assert [each.file for each in (both, encoder, decoder)] == [
        "both/model.onnx", "encoder/model.onnx", "decoder/model.onnx",
    ]  # fmt: skip


def test_a_bundle_of_halves(tmp_path: Path) -> None:
    spec = api.loads(HALVES)
    out = compiler.compile(spec, tmp_path / "out", Options()).folder
    manifest = Manifest.read(out)
    assert [port.name for port in (*manifest.inputs, *manifest.outputs)] == ["image", "latent", "moments", "decoded"]
    assert manifest.outputs[1].shape == ("batch", 3, "4*rows", "4*columns")
    assert [row.output for row in manifest.parity] == ["moments"] * 4 + ["decoded"] * 4
    assert all(set(row.sizes) == {"batch", "height", "width"} for row in manifest.parity[:4])
    other = tmp_path / "other.safetensors"
    save_weights(api.build(spec, seed=3), other)
    compiler.bind(out, other)
    assert [row.output for row in Manifest.read(out).parity] == ["moments"] * 4 + ["decoded"] * 4
    assert Manifest.read(out).files["encoder/model.onnx"] == manifest.files["encoder/model.onnx"]


class Spoiled:
    """What PyTorch computes, but for one number of one output."""

    def __init__(self, model: graph.Model, output: str) -> None:
        self.model, self.output = model, output

    def __call__(self, inputs: Mapping[str, np.ndarray], extra_outputs: Sequence[str] = ()) -> Mapping[str, np.ndarray]:
        with torch.no_grad():
            made = self.model(*(torch.from_numpy(array) for array in inputs.values()))
        arrays = {name: value.numpy() for name, value in zip(self.model.plan.outputs, made, strict=True)}
        if self.output:
            arrays[self.output] = arrays[self.output] + 0.1
        return arrays


@pytest.mark.parametrize("output", ["moments", "decoded"])
def test_parity_looks_at_every_output(plan: Plan, output: str) -> None:
    model = api.build(plan).eval()
    assert {row.output for row in parity.verify(plan, model, Spoiled(model, "")).rows} == {"moments", "decoded"}
    with pytest.raises(ParityError):
        parity.verify(plan, model, Spoiled(model, output))


def test_one_blank_output_is_blank(plan: Plan) -> None:
    model = api.build(plan).eval()
    assert not parity.is_blank(plan, model)
    with torch.no_grad():
        model.get_submodule("decoder_head.conv").weight.zero_()
        model.get_submodule("decoder_head.conv").bias.zero_()
    assert parity.is_blank(plan, model)
    assert not parity.is_blank(plan.only(["moments"]), api.build(plan, outputs=["moments"]).eval())


def test_inputs_of_a_part_are_its_own(plan: Plan) -> None:
    made = inputs_at(plan.only(["decoded"]), {"batch": 1, "rows": 3, "columns": 5})
    assert {name: array.shape for name, array in made.items()} == {"latent": (1, 4, 3, 5)}


# The family


def test_widths_on_both_sides_of_quant() -> None:
    settings = ["autoencoder.encoder.channels=12", "autoencoder.decoder.channels=6", "expect.params=256965"]
    found = api.lower(api.load(TINY, set=settings))
    assert found.by_name["encoder_quant"].cost.params == 12 * 8 + 8
    assert found.by_name["decoder_quant"].cost.params == 4 * 6 + 6
    assert [str(value.type) for value in found.outputs.values()] == [
        "(batch, 8, height/4, width/4)",
        "(batch, 3, 4*rows, 4*columns)",
    ]


def test_a_conditioned_half_is_told_once() -> None:
    """Blocks of both halves read one vector, whatever it is the sum of."""
    text = HALVES.replace("outputs:\n", "  t: [batch]\n  s: [batch]\noutputs:\n", 1)
    text = text.replace(
        "autoencoder:\n",
        "conditioning: {t: {embed: sinusoidal, dim: 16}, s: {embed: sinusoidal, dim: 16}}\n\nautoencoder:\n",
    )
    text = text.replace("block: {norm", "block: {modulation: add, norm").partition("expect:")[0]
    found = api.lower(api.loads(text))
    assert [node.name for node in found][:3] == ["embed_t", "embed_s", "cond"]
    assert [*found.only(["decoded"]).inputs] == ["latent", "t", "s"]
    with pytest.raises(NetspecError, match="NS204"):
        api.lower(api.loads(text.replace("modulation: add", "modulation: none")))
