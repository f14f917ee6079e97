"""build(): an ordinary PyTorch module with readable code, reproducible weights and safe half precision."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, fx, nn
from torch.autograd.graph import saved_tensors_hooks

from netspec import document, graph, layers, planner
from netspec import spec as specs
from netspec.errors import UnknownName
from netspec.plan import Plan

SPECS = Path(__file__).parent.parent / "specs"
TINY = ["tiny/unet", "tiny/dit", "tiny/tied_unet"]

tiny = pytest.mark.parametrize("name", TINY)


def plan_of(name: str, *settings: str) -> Plan:
    composed = layers.compose(document.load(SPECS / f"{name}.yaml"), settings=settings)
    return planner.lower(specs.resolve(composed))


def inputs_of(plan: Plan, dtype: torch.dtype = torch.float32, **sizes: int) -> list[Tensor]:
    """Random inputs, `sizes` standing in for those at opt."""
    given = []
    for name, kind in plan.inputs.items():
        env = {symbol: sizes.get(symbol, plan.spec.dims[symbol].opt) for size in kind.shape for symbol in size.words}
        shape = [int(size.evaluate(env)) for size in kind.shape]
        if kind.dtype == "int64":
            given.append(torch.arange(shape[0]) % 10)
        else:
            given.append(torch.rand(shape) * 1000 if name == "t" else torch.randn(shape, dtype=dtype))
    return given


def woken(model: graph.Model) -> graph.Model:
    """The model with every zero moved, so that no branch hides behind its zero initialisation."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(0.05 * noise.to(parameter.dtype))
    return model


# The module


def test_code_reads_like_the_plan() -> None:
    model = graph.build(plan_of("tiny/dit"))
    assert isinstance(model, fx.GraphModule)
    assert type(model).__name__ == "TinyDit"
    lines = [re.sub(r";.*", "", line).strip() for line in model.code.strip().splitlines()]
    assert [line for line in lines if line] == [
        "def forward(self, x, t, y):",
        "patch_embed = self.patch_embed(x)",
        "pos_embed = self.pos_embed(patch_embed)",
        "embed_t = self.embed_t(t)",
        "embed_y = self.embed_y(y)",
        "cond = self.cond(embed_t, embed_y)",
        "block_0 = self.block_0(pos_embed, cond)",
        "block_1 = self.block_1(block_0, cond)",
        "head = self.head(block_1, cond)",
        "unpatchify = self.unpatchify(head, x)",
        "return unpatchify",
    ]


@tiny
def test_modules_and_keys_are_named_after_nodes(name: str) -> None:
    plan = plan_of(name)
    model = graph.build(plan, device="meta")
    assert [child for child, _ in model.named_children()] == [node.name for node in plan]
    assert model.plan is plan
    assert model.spec is plan.spec
    assert {key.partition(".")[0] for key in model.state_dict()} <= {node.name for node in plan}
    assert all(node.meta["origin"] for node in model.graph.nodes if node.op == "call_module")


def test_layers_are_those_that_other_tools_look_for() -> None:
    kinds = {type(module) for module in graph.build(plan_of("tiny/unet"), device="meta").modules()}
    assert {nn.Conv2d, nn.Linear, nn.GroupNorm, nn.LayerNorm, nn.Embedding} <= kinds


@tiny
def test_one_build_runs_every_size_of_the_range(name: str) -> None:
    plan = plan_of(name)
    model = graph.build(plan).eval()
    for batch, height, width in ((1, 8, 8), (3, 24, 12), (4, 32, 24)):
        with torch.no_grad():
            out = model(*inputs_of(plan, batch=batch, height=height, width=width))
        assert list(out.shape) == [batch, plan.spec.outputs["output"].shape[1], height, width]


def test_meta_allocates_nothing() -> None:
    model = graph.build(plan_of("unet/sd15"), device="meta")
    assert all(tensor.is_meta for tensor in graph.tensors(model).values())
    assert sum(p.numel() for p in model.parameters()) == 859_520_964


# Other tools


@tiny
def test_compiles(name: str) -> None:
    """`eager` runs dynamo, which is what a module can break; code generation is PyTorch's own affair."""
    plan = plan_of(name)
    model = woken(graph.build(plan).eval())
    given = inputs_of(plan)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(*given), model(*given))


@tiny
def test_exports(name: str) -> None:
    """One program for every batch; sizes of the picture stay as they were traced."""
    plan = plan_of(name)
    model = woken(graph.build(plan).eval())
    batch = torch.export.Dim("batch", min=2, max=4)
    shapes = tuple({0: batch} for _ in plan.inputs)
    program = torch.export.export(model, tuple(inputs_of(plan)), dynamic_shapes=shapes, strict=False)
    given = inputs_of(plan, batch=3)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(*given), model(*given))


@tiny
def test_saves_and_loads(name: str, tmp_path: Path) -> None:
    plan = plan_of(name)
    first, second = woken(graph.build(plan)).eval(), graph.build(plan, seed=7).eval()
    save_file(first.state_dict(), tmp_path / "weights.safetensors")
    second.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    given = inputs_of(plan)
    with torch.no_grad():
        assert torch.equal(first(*given), second(*given))


@tiny
def test_copies(name: str) -> None:
    plan = plan_of(name)
    model = woken(graph.build(plan)).eval()
    clone = copy.deepcopy(model)
    given = inputs_of(plan)
    with torch.no_grad():
        expected = model(*given)
        assert torch.equal(clone(*given), expected)
        for parameter in clone.parameters():
            parameter.zero_()
        assert torch.equal(model(*given), expected)
    assert clone.plan is model.plan
    assert isinstance(clone, graph.Model)


# Initial weights


def test_a_seed_decides_the_weights_and_nothing_else_does() -> None:
    plan = plan_of("tiny/unet")
    torch.manual_seed(5)
    first = graph.build(plan, seed=3).state_dict()
    torch.manual_seed(6)
    second, other = graph.build(plan, seed=3).state_dict(), graph.build(plan, seed=4).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["stem.weight"], other["stem.weight"])


@pytest.mark.parametrize("seed", [0, 2**31, 2**32 + 1, 2**63])
def test_seeds_may_be_large(seed: int) -> None:
    node = plan_of("tiny/unet").by_name["stem"]
    weight = graph.build_node(node, seed=seed).state_dict()["weight"]
    assert not torch.equal(weight, graph.build_node(node, seed=seed + 1).state_dict()["weight"])


def test_every_node_draws_from_its_own_stream() -> None:
    """Without the first level's attention every other node begins as it did."""
    whole = graph.build(plan_of("tiny/unet")).state_dict()
    less = graph.build(plan_of("tiny/unet", "unet.levels[1].attention=none")).state_dict()
    assert set(whole) - set(less) == {key for key in whole if "_attn_" in key}
    assert all(torch.equal(whole[key], less[key]) for key in less)
    assert not torch.equal(whole["mid_block_0.conv1.weight"], whole["mid_block_1.conv1.weight"])


def test_the_callers_random_numbers_are_left_alone() -> None:
    plan = plan_of("tiny/unet")
    before = torch.get_rng_state()
    graph.build(plan, seed=9)
    assert torch.equal(torch.get_rng_state(), before)


def test_one_node_alone_is_the_same_as_in_the_whole() -> None:
    plan = plan_of("tiny/dit")
    whole = graph.build(plan, seed=2).state_dict()
    for node in plan:
        for key, tensor in graph.build_node(node, seed=2).state_dict().items():
            assert torch.equal(whole[f"{node.name}.{key}"], tensor)


# Precision


@tiny
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_survives_large_activations(name: str, dtype: torch.dtype) -> None:
    """Inputs of 1e4: their squares, sums and logits leave float16, so norms and softmax must not compute in it."""
    plan = plan_of(name)
    model = woken(graph.build(plan).eval())
    kinds = list(plan.inputs.values())
    given = [x * 1e4 if kind.layout == "image" else x for x, kind in zip(inputs_of(plan), kinds, strict=True)]
    half = graph.build(plan, dtype=dtype).eval()
    half.load_state_dict(model.state_dict())
    cast = [x.to(dtype) if kind.dtype == "" else x for x, kind in zip(given, kinds, strict=True)]
    with torch.no_grad():
        expected, out = model(*given), half(*cast)
    assert out.dtype == dtype
    assert out.isfinite().all()
    error = (out.float() - expected).norm() / expected.norm()
    # Relative error of one rounding is eps / 2; some thirty roundings in a row add up like a random walk, times a few.
    assert error < 8 * torch.finfo(dtype).eps


def test_norm_and_softmax_of_huge_halves() -> None:
    """Alone, without a network to hide in: 6e4 is near the end of float16, its square far beyond."""
    from netspec import ops, registry, tensors

    x = (6e4 * torch.randn(1, 8, 4, 4).sign()).half()
    kind = tensors.image(tensors.fixed(1), 8, tensors.fixed(4), tensors.fixed(4))
    for name, settings in (("group", {"groups": 2}), ("layer", {}), ("rms", {}), ("instance", {})):
        norm = registry.named("norm")[name](**settings).build(kind, kind).half()
        out = norm(x).float()
        assert out.isfinite().all(), name
        expected = norm.float()(x.float())
        torch.testing.assert_close(out, expected, atol=2e-3, rtol=2e-3)  # two roundings of float16, eps 1e-3
    q = torch.full((1, 4, 16), 200.0).half()  # logits of 200 * 200 * 16 / 4 = 160,000: beyond float16
    q[:, 1] = -200
    assert ops.attention(q, q, q, 1).isfinite().all()


def test_timesteps_keep_their_precision() -> None:
    """bfloat16 rounds 999 to 1000; the embedding is made before anything is rounded."""
    plan = plan_of("tiny/dit")
    model = graph.build(plan, dtype=torch.bfloat16).eval()
    with torch.no_grad():
        a, b = (model.get_submodule("embed_t")(torch.tensor([t])) for t in (999.0, 1000.0))
    assert not torch.equal(a, b)


# Gradient checkpointing


def gradients(model: graph.Model, given: Iterable[Tensor]) -> tuple[dict[str, Tensor], int]:
    """The gradients, and the bytes that the forward pass kept for the backward pass."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(*given).square().mean()
        held = sum(size for pointer, size in kept.items() if pointer not in parameters)
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}, held


@tiny
def test_checkpointing_gives_the_same_gradients_from_less_memory(name: str) -> None:
    plan = plan_of(name)
    given = inputs_of(plan)
    blocks = [node.name for node in plan if "block" in node.name]
    plain, all_kept = gradients(woken(graph.build(plan)).eval(), given)
    some, some_kept = gradients(woken(graph.build(plan, checkpoint=blocks)).eval(), given)
    every, fewest_kept = gradients(woken(graph.build(plan, checkpoint=True)).eval(), given)
    assert plain.keys() == some.keys() == every.keys()
    assert all(torch.equal(plain[key], some[key]) and torch.equal(plain[key], every[key]) for key in plain)
    assert fewest_kept < some_kept < all_kept
    assert fewest_kept < all_kept / 2


def test_checkpointing_draws_dropout_once() -> None:
    """The second run of a block must drop what the first one dropped."""
    plan = plan_of("tiny/unet", "unet.block.dropout=0.5")
    given = inputs_of(plan)
    found = []
    for checkpoint in (False, True):
        model = woken(graph.build(plan, checkpoint=checkpoint)).train()
        torch.manual_seed(3)
        found.append(gradients(model, given)[0])
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


def test_checkpointing_leaves_names_and_results_alone() -> None:
    plan = plan_of("tiny/unet")
    plain, again = graph.build(plan).eval(), graph.build(plan, checkpoint=["mid_block_0"]).eval()
    assert list(plain.state_dict()) == list(again.state_dict())
    given = inputs_of(plan)
    with torch.no_grad():
        assert torch.equal(plain(*given), again(*given))


def test_checkpointing_an_unknown_node() -> None:
    with pytest.raises(UnknownName) as caught:
        graph.build(plan_of("tiny/unet"), checkpoint={"mid_block_0", "mid_block_9"})
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "NS209"
    assert "`mid_block_9`" in diagnostic.message


# Guidance


@pytest.fixture
def label() -> Callable[[], Any]:
    plan = plan_of("tiny/unet", "conditioning.y.dropout=0.3")
    return lambda: graph.build(plan).get_submodule("embed_y")


def test_training_drops_labels_at_the_stated_rate(label: Callable[[], Any]) -> None:
    module = label().train()
    with torch.no_grad():
        rows = module(torch.full((20_000,), 4))
    null = (rows == module.table.weight[10]).all(dim=1)
    kept = (rows == module.table.weight[4]).all(dim=1)
    assert (null | kept).all()
    assert abs(null.float().mean() - 0.3) < 0.016  # five standard deviations of 20,000 draws


def test_inference_never_drops_labels(label: Callable[[], Any]) -> None:
    module = label().eval()
    with torch.no_grad():
        rows = module(torch.arange(11).repeat(200))
    assert torch.equal(rows, module.table.weight.repeat(200, 1))
