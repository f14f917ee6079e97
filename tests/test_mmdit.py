"""Networks of two streams as modules: sizes, precisions, masks, tools; and what rotary positions must satisfy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from twins import difference, images, network, randomise

from netspec import api, compiler, graph, ops, planner
from netspec.graph import Model
from netspec.plan import Plan

SPECS = Path(__file__).parent.parent / "specs" / "tiny"
SIZES = {
    "mmdit": [
        {"batch": 1, "height": 8, "width": 24, "tokens": 1},
        {"batch": 3, "height": 14, "width": 10, "tokens": 5},
    ],
    "parallel_dit": [
        {"batch": 1, "tokens": 4, "length": 1},
        {"batch": 3, "tokens": 35, "length": 7},
    ],
}

tiny = pytest.mark.parametrize("name", SIZES)


def plan_of(name: str) -> Plan:
    return planner.lower(api.load(SPECS / f"{name}.yaml"))


def model_of(name: str, dtype: torch.dtype = torch.float32, **options: Any) -> Model:
    model = graph.build(plan_of(name), dtype=dtype, **options).eval()
    randomise(model)
    return model


def inputs_of(plan: Plan, sizes: dict[str, int], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Random inputs; those of a type of their own have it."""
    shapes = [[int(size.evaluate(sizes)) for size in kind.shape] for kind in plan.inputs.values()]
    kinds = [getattr(torch, kind.dtype) if kind.dtype else dtype for kind in plan.inputs.values()]
    return [images(*shape).to(kind) for shape, kind in zip(shapes, kinds, strict=True)]


@tiny
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_close_to_double(name: str, dtype: torch.dtype) -> None:
    """Coordinates stay in float32, and so do the angles that are made of them."""
    plan, half = plan_of(name), model_of(name, dtype)
    exact = model_of(name, torch.float64)
    exact.load_state_dict(half.state_dict())
    for sizes in SIZES[name]:
        given = inputs_of(plan, sizes, dtype)
        with torch.no_grad():
            made, wanted = half(*given), exact(*[x.double() for x in given])
        assert made.dtype == dtype
        assert difference(made.double(), wanted) <= (0.01 if dtype == torch.float16 else 0.08)  # 11 and 8 bits


def test_coordinates_keep_their_precision_in_half_networks() -> None:
    """The 4096th place and the next differ in bfloat16 no more than in float32."""
    types = plan_of("parallel_dit").inputs
    assert (types["img_ids"].dtype, types["txt_ids"].dtype, types["img"].dtype) == ("float32", "float32", "")
    places = torch.tensor([[[4096.0], [4097.0]]])
    tables = [ops.rotary_table(places, like, (16,), 1e4) for like in (torch.ones(1).bfloat16(), torch.ones(1))]
    assert torch.equal(tables[0], tables[1])
    x = torch.ones(1, 2, 32, dtype=torch.bfloat16)
    assert ops.rotate(x, tables[0], 2).dtype == torch.bfloat16
    assert torch.equal(ops.rotate(x, tables[0], 2), ops.rotate(x.float(), tables[0], 2).bfloat16())


@tiny
def test_exports_with_every_size_dynamic(name: str) -> None:
    plan, model = plan_of(name), model_of(name)
    words = {word for kind in plan.inputs.values() for size in kind.shape for word in size.words}
    named = dict.fromkeys(words, torch.export.Dim.AUTO)
    shapes = tuple(
        {axis: named[size.words[0]] for axis, size in enumerate(kind.shape) if size.words}
        for kind in plan.inputs.values()
    )
    traced = {"batch": 2, "height": 16, "width": 12, "tokens": 6, "length": 5}
    program = torch.export.export(model, tuple(inputs_of(plan, traced)), dynamic_shapes=shapes, strict=False)
    given = inputs_of(plan, SIZES[name][1])
    with torch.no_grad():
        torch.testing.assert_close(program.module()(*given), model(*given))


def test_compiles_with_every_size_dynamic() -> None:
    """`eager` runs dynamo, which is what a module can break; code generation is PyTorch's own affair."""
    plan, model = plan_of("parallel_dit"), model_of("parallel_dit")
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=True)
    for sizes in SIZES["parallel_dit"]:
        given = inputs_of(plan, sizes)
        with torch.no_grad():
            torch.testing.assert_close(compiled(*given), model(*given))


@tiny
def test_checkpointing_gives_the_same_gradients(name: str) -> None:
    plan = plan_of(name)
    found = []
    for checkpoint in (False, {"block_0", plan.nodes[-3].name}):
        model = model_of(name, checkpoint=checkpoint)
        model(*inputs_of(plan, SIZES[name][1])).square().mean().backward()
        found.append({key: p.grad for key, p in model.named_parameters()})
    assert all(
        one is other is None or (one is not None and other is not None and torch.equal(one, other))
        for one, other in zip(found[0].values(), found[1].values(), strict=True)
    )
    unused = {key for key, gradient in found[0].items() if gradient is None}
    last = "block_2.context.attn."  # what published files hold for a context that nothing reads any more
    assert unused == ({f"{last}q.weight", f"{last}q.bias", f"{last}norm_q.weight"} if name == "mmdit" else set())


@tiny
def test_blocks_begin_as_identity(name: str) -> None:
    """adaLN-Zero: what comes in goes out, whatever the weights of attention and MLP."""
    plan = plan_of(name)
    model = graph.build(plan).eval()
    for node in plan:
        if node.name.startswith(("block", "single")):
            sizes = {"batch": 2, "height": 8, "width": 8, "tokens": 4, "length": 3}
            shapes = [[int(size.evaluate(sizes)) for size in kind.shape] for kind in node.types]
            x, *sides = [images(*shape).float() for shape in shapes]
            with torch.no_grad():
                made = model.get_submodule(node.name)(x, *sides)
            assert torch.equal(made, x[:, x.shape[1] - made.shape[1] :])


# Masks

MASKED = """
netspec: 1
name: masked
inputs: {{x: [batch, 4, 8, 12], t: [batch], text: [batch, length, 24], seen: [batch, length]}}
output: [batch, 4, 8, 12]
dims: {{batch: {{min: 1, opt: 2, max: 4}}, length: {{min: 1, opt: 7, max: 9}}}}
conditioning: {{t: {{embed: sinusoidal, dim: 32}}}}
dit:
  patch_size: 2
  hidden_size: 32
  depth: 2
  single_depth: {single}
  num_heads: 2
  qk_norm: rms
  dual_attention: 1
  context: {{input: text, attention: joint, mask: seen, update_last: {update}}}
  pos_embed: {positions}
"""


@pytest.mark.parametrize(
    ("single", "update", "positions"),
    [(0, "false", "sincos"), (1, "true", "{type: rope, axes: [4, 6, 6]}"), (2, "true", "none")],
)
def test_padding_of_a_context_is_as_if_it_were_not_there(single: int, update: str, positions: str) -> None:
    model = network(MASKED.format(single=single, update=update, positions=positions))
    randomise(model)
    x, t, text = images(2, 4, 8, 12), torch.tensor([1.0, 500.0]), images(2, 7, 24)
    seen = torch.tensor([[1, 1, 1, 1, 0, 0, 0]] * 2)
    with torch.no_grad():
        padded, whole = model(x, t, text, seen), model(x, t, text, torch.ones_like(seen))
        short = model(x, t, text[:, :4], seen[:, :4])
    assert difference(padded, short) <= 1e-12
    assert difference(whole, short) > 1e-4


# Rotary positions

ROTARY = """
netspec: 1
name: rotary
inputs: {{x: [batch, tokens, 16], ids: [batch, tokens, 2], t: [batch]{text}}}
output: [batch, tokens, 16]
dims: {{batch: {{min: 1, opt: 2, max: 4}}, tokens: {{min: 4, opt: 24, max: 64}}}}
conditioning: {{t: {{embed: sinusoidal, dim: 32}}}}
dit:
  patch_size: none
  hidden_size: 32
  depth: 2
  num_heads: 2
  pos_embed: {{type: rope, axes: [6, 10], theta: 100, ids: ids}}
{context}
"""
TEXT = ", text: [batch, 5, 24]"
FORMS = {
    "alone": ("", ""),
    "in_context": (TEXT, "  context: {input: text, attention: in_context}"),
    "cross": (TEXT, "  context: {input: text}"),
    "joint": (TEXT, "  context: {input: text, attention: joint}\n  single_depth: 1"),
}


@pytest.mark.parametrize("form", FORMS)
def test_attention_depends_on_distances_alone(form: str) -> None:
    """Su et al. 2021, arXiv:2104.09864, Eq. 11; tokens of a context stand at zero and see an image that moves."""
    text, context = FORMS[form]
    model = network(ROTARY.format(text=text, context=context))
    randomise(model)
    x, t, ids = images(2, 12, 16), torch.tensor([1.0, 500.0]), images(2, 12, 2) * 9
    sides = [images(2, 5, 24)] if text else []
    with torch.no_grad():
        here, elsewhere = model(x, ids, t, *sides), model(x, ids + 7, t, *sides)
        apart = model(x, ids * 1.1, t, *sides)
    assert difference(apart, here) > 1e-4
    assert (difference(elsewhere, here) <= 1e-12) == (form in ("alone", "cross"))


GRID = """
netspec: 1
name: grid
inputs: {x: [batch, 4, height, width], t: [batch], text: [batch, length, 24]}
output: [batch, 4, height, width]
dims:
  batch: {min: 1, opt: 2, max: 3}
  height: {min: 8, opt: 12, max: 20}
  width: {min: 8, opt: 16, max: 20}
  length: {min: 1, opt: 4, max: 7}
conditioning: {t: {embed: sinusoidal, dim: 32}}
dit:
  patch_size: 2
  hidden_size: 32
  depth: 2
  single_depth: 1
  num_heads: 2
  qk_norm: rms
  dual_attention: [1]
  context: {input: text, attention: joint}
  pos_embed: {type: rope, axes: [4, 6, 6]}
targets:
  onnx: {exporter: onnx}
  portable: {exporter: onnx, flavour: portable}
  half: {exporter: onnx, precision: fp16}
  fixed: {exporter: onnx, flavour: portable, dims: {height: 12, width: 8}}
"""


def test_joined_sequences_are_exported(tmp_path: Path) -> None:
    """Their widths side by side, and norms of queries and keys with gains and biases, in half precision as well."""
    text = (SPECS / "parallel_dit.yaml").read_text(encoding="utf-8").partition("expect:")[0]
    text = text.replace("txt:      [", "known: [batch, tokens, 8]\n  txt: [").replace("qk_norm: rms", "qk_norm: layer")
    text = text.replace("dit:\n", "targets: {half: {exporter: onnx, precision: fp16}}\ndit:\n  image: [img, known]\n")
    result = compiler.compile(api.loads(text), tmp_path / "out", compiler.Options())
    rows = json.loads((result.folder / "manifest.json").read_text(encoding="utf-8"))["parity"]
    assert rows
    assert all(row["passed"] for row in rows)


def test_places_of_patches_are_computed_in_the_exported_graph(tmp_path: Path) -> None:
    """At four sizes, odd and not square, in every form that a target has for rotary positions, and as a constant."""
    result = compiler.compile(api.loads(GRID), tmp_path / "out", compiler.Options())
    rows = json.loads((result.folder / "manifest.json").read_text(encoding="utf-8"))["parity"]
    assert all(row["passed"] for row in rows)
    assert len({tuple(row["sizes"].items()) for row in rows if len(row["sizes"]) == 4}) >= 4
