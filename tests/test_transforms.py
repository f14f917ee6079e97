"""Transforms of a target: the same numbers in float64, the same weights by name, through ONNX Runtime, and what is
wrong told where the spec has it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, fx, nn

from exporters.lowering import FLAVOURS, emit
from exporters.lowering.packing import layout_of, slots_of
from exporters.transforms.attention_per_head import AttentionPerHead
from exporters.transforms.chunked_attention import ChunkedAttention
from exporters.transforms.linear_as_conv import LinearAsConv, from_columns, to_columns
from exporters.transforms.static_group_norm import StaticGroupNorm
from netspec import api, compiler, graph, parity, planner, transform
from netspec.deployment import Deployment, deployments
from netspec.errors import ExportError, NetspecError, ParityError, UnknownName
from netspec.graph import Model
from netspec.plan import Plan
from netspec.planner.points import Point, pinned, points
from netspec.spec import Spec
from netspec.transform import Transform
from netspec.weights.aligned import load_tensors

TINY = sorted((Path(__file__).parent.parent / "specs" / "tiny").glob("*.yaml"), key=lambda path: path.stem)
UNET = next(path for path in TINY if path.stem == "unet")
DIT = next(path for path in TINY if path.stem == "dit")
FIXED = {"batch": 1, "height": 16, "width": 24}

ATTENTIVE = {"full", "spatial", "dit_block", "joint_block", "parallel_block"}  # components that attend
TRANSFORMS: Mapping[str, Transform] = {
    each.name: each for each in (LinearAsConv(), ChunkedAttention(5), AttentionPerHead(), StaticGroupNorm())
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The networks are small: more threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def moved(plan: Plan) -> Model:
    """The network in float64 with every parameter moved: a gate of zero would hide what it multiplies."""
    model = graph.build(plan, dtype=torch.float64).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model


def outputs(model: nn.Module, inputs: list[Tensor]) -> list[Tensor]:
    with torch.no_grad():
        made = model(*inputs)
    return list(made) if isinstance(made, tuple) else [made]


def at(plan: Plan, point: Point) -> list[Tensor]:
    made = (torch.from_numpy(array) for array in parity.inputs_at(plan, point.sizes, 2).values())
    return [x.double() if x.is_floating_point() else x for x in made]


@dataclass(frozen=True)
class Trial:
    """A network, and what it makes at min, opt and odd sizes."""

    plan: Plan
    model: Model
    runs: Mapping[str, tuple[Plan, list[Tensor], list[Tensor]]]


@pytest.fixture(scope="module", params=TINY, ids=lambda path: path.stem)
def tiny(request: pytest.FixtureRequest) -> Trial:
    plan = planner.lower(api.load(request.param))
    model = moved(plan)
    runs = {}
    for point in points(plan):
        if point.name != "max":
            inputs = at(plan, point)
            runs[point.name] = planner.lower(pinned(plan.spec, point.sizes)), inputs, outputs(model, inputs)
    return Trial(plan, model, runs)


def transformed(names: Sequence[str], plan: Plan, weights: nn.Module) -> tuple[Model, list[str]]:
    """The network after transforms, with the weights of another, and which of them found something."""
    model, done = graph.build(plan, device="meta").eval(), []
    for name in names:
        try:
            TRANSFORMS[name].apply(model, plan)
        except ExportError as error:
            assert [each.code for each in error.diagnostics] == ["NS242"]
        else:
            done.append(name)
    assert list(model.state_dict()) == list(weights.state_dict())
    model.load_state_dict(weights.state_dict(), assign=True)
    return model, done


def compare(model: Model, inputs: list[Tensor], wanted: list[Tensor]) -> None:
    for ours, theirs in zip(outputs(model, inputs), wanted, strict=True):
        assert ours.dtype == torch.float64
        assert theirs.std() > 1e-3, "a constant output proves nothing"
        assert float((ours - theirs).abs().max()) <= 1e-12 * float(theirs.abs().max())


def attends(tiny: Trial) -> bool:
    return any(node.component.name in ATTENTIVE for node in tiny.plan)


@pytest.mark.parametrize("name", ["linear_as_conv", "attention_per_head"])
def test_computes_the_same_at_sizes_that_vary(name: str, tiny: Trial) -> None:
    model, done = transformed([name], tiny.plan, tiny.model)
    for _, inputs, wanted in tiny.runs.values():
        compare(model, inputs, wanted)
    single = name == "attention_per_head" and tiny.plan.spec.name == "tiny-autoencoder"
    assert bool(done) == (attends(tiny) and not single)


@pytest.mark.parametrize("name", ["chunked_attention", "static_group_norm"])
def test_computes_the_same_at_fixed_sizes(name: str, tiny: Trial) -> None:
    norms = any(isinstance(part, nn.GroupNorm) for part in tiny.model.modules())
    there = attends(tiny) if name == "chunked_attention" else norms
    for point in ("opt", "odd") if there else ("opt",):
        plan, inputs, wanted = tiny.runs[point]
        model, done = transformed([name], plan, tiny.model)
        assert bool(done) == there
        compare(model, inputs, wanted)


def test_computes_the_same_one_after_another(tiny: Trial) -> None:
    """All four, at the smallest sizes."""
    plan, inputs, wanted = tiny.runs["min"]
    compare(transformed(list(TRANSFORMS), plan, tiny.model)[0], inputs, wanted)


def spec(path: Path, *names: Any, dims: Mapping[str, Any] = FIXED, **edge: Any) -> Spec:
    target = {"exporter": "onnx", "flavour": "portable", "dims": dict(dims), "transforms": list(names)} | edge
    return api.load(path, set={"targets": {"edge": target}})


def deployed(path: Path, *names: Any, **edge: Any) -> Deployment:
    return deployments(planner.lower(spec(path, *names, **edge)), ["edge"])[0]


def emitted(path: Path, *names: Any, **edge: Any) -> ir.Model:
    """The graph, whose weights are nowhere yet."""
    deployment = deployed(path, *names, **edge)
    return emit(deployment.request, FLAVOURS["portable"], slots_of(layout_of(deployment.request)))


def operators(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph)


def largest(model: ir.Model) -> int:
    """Numbers in the largest value."""
    return max(math.prod(value.shape.numpy()) for node in model.graph for value in node.outputs if value.shape)


def test_linear_layers_become_convolutions() -> None:
    """Of the products only those of attention stay; a weight is read as it lies in the file; the hidden layer of an
    MLP never becomes tokens."""
    plain, made = operators(emitted(DIT)), emitted(DIT, "linear_as_conv")
    layers = 2 * (4 + 2) + 1
    assert operators(made)["Conv"] == plain["Conv"] + layers
    assert operators(made)["MatMul"] == plain["MatMul"] - layers
    convolutions = [node for node in made.graph if node.op_type == "Conv"]
    weights = {str(node.inputs[1].name): node.inputs[1] for node in convolutions}
    assert list(weights["block_0.mlp_in.weight"].shape.numpy()) == [128, 32, 1, 1]
    assert all(isinstance(weight.const_value, ir.ExternalTensor) for weight in weights.values())
    by_name = {node.name: node for node in made.graph}
    between, after = by_name["block_0/mlp_act"], by_name["block_0/mlp_out"]
    assert between.inputs[0].producer() is by_name["block_0/mlp_in"]
    assert after.inputs[0].producer() is between
    assert operators(made)["Transpose"] < plain["Transpose"] - layers + 2 * layers  # of the weights; in and out


def test_attention_comes_in_pieces() -> None:
    """Sixteen by twenty-four pixels are 96 tokens at the first level with attention; the scores shrink with them."""
    plain = emitted(UNET)
    chunked = emitted(UNET, {"chunked_attention": {"queries": 40}})
    single = emitted(UNET, "attention_per_head")
    both = emitted(UNET, "attention_per_head", {"chunked_attention": {"queries": 40}})
    scores = [
        max(math.prod(node.outputs[0].shape.numpy()) for node in made.graph if node.op_type == "Softmax")
        for made in (plain, chunked, single, both)
    ]
    assert scores == [4 * 96 * 96, 4 * 32 * 96, 96 * 96, 32 * 96]
    assert operators(single)["Softmax"] == 4 * operators(plain)["Softmax"]
    assert largest(both) <= largest(plain)


def test_group_norms_are_means() -> None:
    plain, made = emitted(UNET), emitted(UNET, "static_group_norm")
    count = operators(plain)["InstanceNormalization"]
    assert count and not operators(made)["InstanceNormalization"]
    assert operators(made)["ReduceMean"] == operators(plain)["ReduceMean"] + 2 * count
    assert max(len(value.shape) for node in made.graph for value in node.outputs) <= 4


@pytest.mark.parametrize("path", TINY, ids=lambda path: path.stem)
def test_fixed_sizes_leave_nothing_to_compute(path: Path) -> None:
    """Where every size is a number, no size is read at run time and every value has its own."""
    request = deployed(path, dims={word: dim.opt for word, dim in api.load(path).dims.items()}).request
    for flavour in ("portable", "ort-cpu"):
        made = emit(request, FLAVOURS[flavour], slots_of(layout_of(request)))
        assert not operators(made).keys() & {"Shape", "Size", "NonZero", "Loop", "If", "Scan"}
        assert all(isinstance(size, int) for node in made.graph for value in node.outputs for size in value.shape or ())


def test_builds_with_parity(tmp_path: Path) -> None:
    """Two targets of one network, the second in halves, through ONNX Runtime; PyTorch's side is the network as it was
    written. The weights lie in the target's file under the names that they have in the bundle's."""
    edge = {"exporter": "onnx", "flavour": "portable", "dims": FIXED}
    chunks = {"chunked_attention": {"queries": 40}}
    loaded = api.load(
        UNET,
        set={
            "targets": {
                "edge": edge | {"transforms": ["linear_as_conv", chunks, "static_group_norm"]},
                "half": edge | {"transforms": ["attention_per_head", chunks, "linear_as_conv"], "precision": "fp16"},
            }
        },
    )
    out = compiler.compile(loaded, tmp_path / "out", compiler.Options()).folder
    rows = compiler.Manifest.read(out).parity
    assert {row.target for row in rows} == {"edge", "half"} and all(row.passed for row in rows)
    assert max(row.max_rel for row in rows if row.target == "edge") < 1e-5
    whole, own = (dict(load_tensors(folder / "model.safetensors")) for folder in (out, out / "edge"))
    assert whole.keys() == own.keys() and all(torch.equal(own[key], tensor) for key, tensor in whole.items())
    onnx.checker.check_model(out / "edge" / "model.onnx", full_check=True)
    assert api.load(out / "edge" / "model.onnx") == api.load(out / "spec.yaml")


class Wrong(Transform):
    """Computes something else: the second norm of a block in the first one's place."""

    name = "wrong"

    def apply(self, network: fx.GraphModule, plan: Plan) -> None:
        call = next(node for node in network.graph.nodes if node.target == "mid_block_0")
        network.get_submodule("mid_block_0").norm1.eps = 0.5
        assert call


class Lossy(Transform):
    """Gives a layer another shape."""

    name = "lossy"

    def apply(self, network: fx.GraphModule, plan: Plan) -> None:
        network.head.conv = nn.Conv2d(16, 4, 1, device="meta")


def test_a_wrong_transform_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netspec.rewrites.find", lambda name, span: {"static_group_norm": Wrong}[name])
    with pytest.raises(ParityError, match="mid_block_0"):
        compiler.compile(spec(UNET, "static_group_norm"), tmp_path / "out", compiler.Options())
    assert not any(tmp_path.iterdir())


def test_a_transform_that_changes_weights_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netspec.rewrites.find", lambda name, span: Lossy)
    with pytest.raises(NetspecError, match=r"NS244.*head\.conv\.weight"):
        deployed(UNET, "static_group_norm")


@pytest.mark.parametrize(
    ("names", "dims", "words"),
    [
        ([{"chunked_attention": {"query": 4}}], FIXED, ("NS241", "has no option `query`", "queries")),
        ([{"chunked_attention": {"queries": 0}}], FIXED, ("NS241", "`queries: 0`", "at least 1")),
        ([{"chunked_attention": {"queries": True}}], FIXED, ("NS241", "`queries: True`", "a number")),
        ([{"chunked_attention": {"queries": 96}}], FIXED, ("NS242", "no attention with more queries", "")),
        ([{"chunked_attention": {"queries": 4}}], {}, ("NS243", "queries of `down_1_attn", "dims")),
        (["static_group_norm"], {"batch": 1}, ("NS243", "sizes at `norm1` of `down_0_block", "dims")),
        (["static_group_norm", "static_group_norm_"], FIXED, ("NS240", "static_group_norm_", "did you")),
    ],
)
def test_what_a_transform_refuses(names: list[Any], dims: Mapping[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(NetspecError) as caught:
        deployed(UNET, *names, dims=dims)
    (found,) = caught.value.diagnostics
    assert (found.code, found.path.startswith("targets.edge.transforms")) == (words[0], True)
    assert words[1] in found.message
    assert words[2] in " ".join((found.label, *found.help))
    assert found.span is not None


def test_names_are_those_of_the_entry_points() -> None:
    assert set(TRANSFORMS) <= set(transform.names())
    assert all(transform.find(name).name == name and transform.find(name).__doc__ for name in TRANSFORMS)
    with pytest.raises(UnknownName, match="NS240"):
        transform.find("quantise")


def test_layouts_undo_each_other() -> None:
    x = torch.arange(24.0).reshape(2, 3, 4)
    assert to_columns(x).shape == (2, 4, 1, 3)
    assert torch.equal(from_columns(to_columns(x)), x)
