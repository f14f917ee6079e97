"""Weights that two nodes share: one parameter, one key, one initializer, and every tool still finds its way."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor

from exporters.onnx.runtime import Runner
from netspec import api, compiler, graph, parity, tensors
from netspec.compiler import Options
from netspec.errors import ParityError, WeightsError
from netspec.graph import Model
from netspec.plan import Plan
from netspec.planner.points import points
from netspec.resample.down_conv import StridedConv
from netspec.resample.up_conv_transpose import TransposedConv
from netspec.weights.aligned import read_layout
from netspec.weights.layouts import find
from netspec.weights.load import load_weights, save_weights
from netspec.wiring.tied import TiedTransposedConv

TIED = Path(__file__).parent.parent / "specs" / "tiny" / "tied_unet.yaml"


def planned(tie: Any, **settings: Any) -> Plan:
    return api.lower(api.load(TIED, set={"unet.tie": tie, "expect": {}, **settings}))


def inputs(plan: Plan) -> list[Tensor]:
    sizes = {name: dim.opt for name, dim in plan.spec.dims.items()}
    return [torch.from_numpy(array) for array in parity.inputs_at(plan, sizes, 2).values()]


def shared(plan: Plan) -> Counter[str]:
    """How often each weight is an input of some node."""
    return Counter(value.name for node in plan for value in node.inputs if value.type.layout == "weight")


@pytest.mark.parametrize("tie", ["transposed", "soft"])
def test_a_shared_weight_is_there_once(tie: str) -> None:
    plan, free = planned(tie), planned("none")
    model = graph.build(plan)
    weights = shared(plan)
    assert len(weights) == 8 and set(weights.values()) == {1}  # two blocks of three levels, two changes of size
    assert len(dict(model.named_parameters(remove_duplicate=False))) == len(list(model.parameters()))
    assert sum(p.numel() for p in model.parameters()) == plan.cost.params
    assert weights.keys() <= model.state_dict().keys()
    numbers = sum(model.state_dict()[name].numel() for name in weights)
    assert plan.cost.params == free.cost.params + (len(weights) if tie == "soft" else -numbers)
    assert plan.cost.macs == free.cost.macs
    assert plan.peak_elements == free.peak_elements


@pytest.mark.parametrize("kernel", [2, 3, 4, 5])
@pytest.mark.parametrize("tied", [False, True])
def test_upsampling_is_the_adjoint_of_the_strided_convolution(kernel: int, tied: bool) -> None:
    """<conv x, y> = <x, up y> for equal weights, which is what transposed means; the size doubles for every kernel."""
    up, down = TransposedConv(kernel=kernel), StridedConv(kernel=kernel)
    small, large = (tensors.image(tensors.fixed(2), 3, *map(tensors.fixed, size)) for size in ((4, 5), (8, 10)))
    strided = down.build(large, out=small).double()
    weight = strided.conv.weight
    rule = TiedTransposedConv(upsample=up) if tied else up
    shared = [tensors.weight(3, 3, kernel, kernel)] if tied else []
    model = rule.build(small, *shared, out=rule.infer(small, *shared)).double()
    if not tied:
        model.conv.weight.data = weight.data
    x, y = torch.randn(2, 3, 8, 10, dtype=torch.float64), torch.randn(2, 3, 4, 5, dtype=torch.float64)
    bias = (model if tied else model.conv).bias.reshape(1, -1, 1, 1)
    made = model(y, *[weight] if tied else []) - bias
    there = ((strided(x) - strided.conv.bias.reshape(1, -1, 1, 1)) * y).sum()
    assert made.shape == x.shape
    assert torch.allclose((x * made).sum(), there, rtol=1e-12, atol=0)


def test_only_the_named_levels_are_tied() -> None:
    tied = {name.partition(".")[0] for name in shared(planned({"levels": [1]}))}
    assert tied == {"down_1_block_0", "down_1_block_1", "down_1_downsample"}
    other = planned({"levels": [1]}, **{"unet.upsample": "nearest"})
    assert {name.partition(".")[0] for name in shared(other)} == {"down_1_block_0", "down_1_block_1"}


@pytest.mark.parametrize("tie", ["transposed", "soft"])
def test_a_file_holds_a_shared_weight_once(tie: str, tmp_path: Path) -> None:
    """In the graph two operators read one initializer, whose bytes lie once in the file of weights."""
    spec = api.load(TIED, set={"unet.tie": tie, "expect": {}})
    result = compiler.compile(spec, tmp_path / "out", Options(parity=False))
    written = onnx.load(tmp_path / "out" / "model.onnx", load_external_data=False).graph
    names = Counter(tensor.name for tensor in written.initializer)
    assert max(names.values()) == 1
    readers = Counter(name for node in written.node for name in node.input)
    for weight in shared(result.plan):
        assert (names[weight], readers[weight]) == (1, 2)
    places = read_layout(tmp_path / "out" / "model.safetensors").places
    assert places.keys() == graph.build(result.plan, device="meta").state_dict().keys()
    assert sum(length for _, length in places.values()) == 4 * result.plan.cost.params


def test_gradients_of_both_uses_are_summed() -> None:
    """Against the untied network with the decoder's weights copied from the encoder's."""
    plan = planned("transposed")
    tied, free = graph.build(plan).eval(), graph.build(planned("none")).eval()
    state = free.state_dict() | tied.state_dict()
    pairs = {}
    for node in plan:
        for value in node.inputs:
            if value.type.layout == "weight":
                own, turned = tied.state_dict()[value.name], "downsample" not in value.name
                state[f"{node.name}.conv.weight"] = own.transpose(0, 1).flip(2, 3) if turned else own
                state[f"{node.name}.conv.bias"] = state.pop(f"{node.name}.bias")
                pairs[value.name] = (f"{node.name}.conv.weight", turned)
    free.load_state_dict(state)
    for model in (tied, free):
        torch.nn.init.normal_(model.get_parameter("head.conv.weight"), generator=torch.Generator().manual_seed(0))
        model(*inputs(plan)).square().mean().backward()
    for encoder, (decoder, turned) in pairs.items():
        first, second = (free.get_parameter(name).grad for name in (encoder, decoder))
        assert first is not None and second is not None
        assert second.abs().max() > 1e-4, "a gradient of nothing would prove nothing"
        whole = first + (second.transpose(0, 1).flip(2, 3) if turned else second)
        found = tied.get_parameter(encoder).grad
        torch.testing.assert_close(found, whole, rtol=1e-3, atol=1e-6 * float(whole.abs().max()) + 1e-7)


def test_the_soft_mix_reaches_from_the_free_weight_to_the_tied_one() -> None:
    plan = planned("soft")
    soft, hard = graph.build(plan).eval(), graph.build(planned("transposed")).eval()
    ends = []
    for value in (-50.0, 0.0, 50.0):
        with torch.no_grad():
            for name, parameter in soft.named_parameters():
                parameter.fill_(value) if name.endswith("mix") else None
            soft.get_parameter("head.conv.weight").fill_(0.1)
            ends.append(soft(*inputs(plan)))
    hard.load_state_dict({key: soft.state_dict()[key] for key in hard.state_dict()})
    with torch.no_grad():
        torch.testing.assert_close(hard(*inputs(plan)), ends[2])
    assert not torch.allclose(ends[0], ends[2], atol=1e-3)
    assert not torch.allclose(ends[1], ends[2], atol=1e-3)


def test_a_copy_shares_within_itself_alone() -> None:
    plan = planned("transposed")
    model = graph.build(plan).eval()
    torch.nn.init.ones_(model.get_parameter("head.conv.weight"))
    clone, given, name = copy.deepcopy(model), inputs(plan), "down_2_block_1.conv.weight"
    with torch.no_grad():
        before, after = model(*given), clone(*given)
        assert torch.equal(before, after)
        clone.get_parameter(name).zero_()
        assert torch.equal(model(*given), before)
        block = clone.get_submodule("up_2_block_0")
        assert torch.equal(clone.get_parameter(name), torch.zeros_like(clone.get_parameter(name)))
        assert not any(parameter is clone.get_parameter(name) for parameter in block.parameters())


def test_weights_travel_through_a_file(tmp_path: Path) -> None:
    plan = planned({"mode": "soft", "levels": [0, 2]})
    first, second = graph.build(plan, seed=1).eval(), graph.build(plan, seed=2).eval()
    save_weights(first, tmp_path / "w.safetensors")
    load_weights(second, tmp_path / "w.safetensors")
    with torch.no_grad():
        assert torch.equal(first(*inputs(plan)), second(*inputs(plan)))


@pytest.mark.parametrize("layout", ["diffusers", "ldm", "double_conv"])
def test_a_layout_without_a_place_for_it_says_so(layout: str) -> None:
    with pytest.raises(WeightsError, match="NS609"):
        find(layout).entries(planned("transposed"))


@pytest.mark.parametrize("tie", ["transposed", "soft"])
def test_half_precision_on_onnx(tie: str, tmp_path: Path) -> None:
    settings = {"unet.tie": tie, "expect": {}, "targets": {"half": {"exporter": "onnx", "precision": "fp16"}}}
    result = compiler.compile(api.load(TIED, set=settings), tmp_path / "out", Options())
    assert {row.dtype for row in result.manifest.parity} == {"fp16"}


def altered(model: Model) -> None:
    with torch.no_grad():
        model.get_parameter("up_1_block_1.norm.bias").add_(1.0)


def test_the_first_node_that_differs_is_found_behind_a_shared_weight(tmp_path: Path) -> None:
    spec = api.load(TIED, set={"unet.tie": "transposed", "expect": {}, "unet.head.zero_init": False})
    plan = compiler.compile(spec, tmp_path / "out", Options()).plan
    model = graph.build(plan).eval()
    load_weights(model, tmp_path / "out" / "model.safetensors")
    runner = Runner(tmp_path / "out" / "model.onnx")
    assert len(parity.verify(plan, model, runner).rows) >= len(points(plan))
    altered(model)
    with pytest.raises(ParityError, match="from `up_1_block_1` on"):
        parity.verify(plan, model, runner)
