"""Which part computes in what: roles of every shipped network, what follows from them, and what a spec overrides."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

import netspec
from netspec import api, compiler, graph
from netspec.compiler import Options
from netspec.errors import NetspecError
from netspec.graph import Model
from netspec.precision import PrecisionPlan, assign, unmatched
from netspec.spec import Precision
from netspec.weights.aligned import read_layout

ROOT = Path(__file__).parents[2] / "specs"
TINY = sorted((ROOT / "tiny").glob("*.yaml"))


def model_of(path: Path) -> Model:
    return graph.build(api.lower(api.load(path)), device="meta")


def plan_of(path: Path, default: str, base: str | None = None, **overrides: tuple[str, ...]) -> PrecisionPlan:
    return assign(model_of(path), Precision(default, overrides), base or default)


@pytest.mark.parametrize("path", TINY, ids=lambda path: path.stem)
def test_every_layer_has_a_role(path: Path) -> None:
    model = model_of(path)
    plan = assign(model, Precision("fp16"), "fp16")
    for name, module in model.named_modules(remove_duplicate=False):
        part = plan.parts[name]
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            assert part.role not in ("other", "norm"), name
        if isinstance(module, (nn.GroupNorm, nn.LayerNorm)):
            assert part.role in ("norm", "head", "modulation", "embedding"), name
    assert any(part.role == "head" for part in plan.parts.values())


def test_roles_of_a_unet() -> None:
    plan = plan_of(ROOT / "tiny" / "unet.yaml", "fp16")
    roles = {path: part.role for path, part in plan.parts.items()}
    assert roles["stem"] == "stem" and roles["head.norm"] == roles["head.conv"] == "head"
    assert roles["embed_t.linear1"] == "embedding"
    assert roles["down_0_block_0.conv1"] == "conv" and roles["down_0_block_0.norm1"] == "norm"
    assert roles["down_0_block_0.linear_c"] == "modulation"
    assert {path: plan.at(path) for path in ("head.conv", "embed_t.linear2", "stem", "down_0_block_0.conv1")} == {
        "head.conv": "fp32", "embed_t.linear2": "fp32", "stem": "fp16", "down_0_block_0.conv1": "fp16",
    }  # fmt: skip


def test_modulation_is_exact_only_where_it_is_cheap() -> None:
    few = plan_of(ROOT / "unet" / "sd15.yaml", "fp16").parts["down_0_block_0.linear_c"]
    many = plan_of(ROOT / "dit" / "dit_xl_2.yaml", "fp16").parts["block_0.modulation.linear"]
    assert (few.role, few.dtype) == ("modulation", "fp32")
    assert (many.role, many.dtype) == ("modulation", "fp16"), "a third of the weights"


def test_eight_bits_are_for_the_bulk() -> None:
    plan = plan_of(ROOT / "tiny" / "unet.yaml", "int8", "fp16")
    assert plan.quantised and all(plan.parts[path].role in ("conv", "linear") for path in plan.quantised)
    assert plan.at("stem") == "fp16" and plan.at("head.conv") == "fp32"
    assert plan.float_at("down_0_block_0.conv1") == torch.float16


def test_overrides_win_and_the_last_one_most() -> None:
    overrides = {"fp32": ("*.norm*", "mid_*"), "fp16": ("mid_block_0.conv1",)}
    plan = plan_of(ROOT / "tiny" / "unet.yaml", "bf16", **overrides)
    assert plan.at("down_0_block_0.norm1") == "fp32" and "the spec" in plan.parts["down_0_block_0.norm1"].why
    assert plan.at("mid_block_0.conv2") == "fp32" and plan.at("mid_block_0.conv1") == "fp16"
    assert plan.at("down_0_block_0.conv1") == "bf16"


def test_a_pattern_that_names_nothing_is_found() -> None:
    wanted = Precision("fp16", {"fp32": ("head", "heat")})
    assert unmatched(model_of(ROOT / "tiny" / "unet.yaml"), wanted) == [("fp32", "heat")]


def test_the_table_counts_every_weight() -> None:
    plan = plan_of(ROOT / "tiny" / "dit.yaml", "fp16")
    total = sum(p.numel() for p in model_of(ROOT / "tiny" / "dit.yaml").parameters())
    assert sum(weights for *_, weights, _ in plan.rows()) == total


def test_a_mixed_graph_is_typed_as_planned(tmp_path: Path) -> None:
    """Strict inference refuses mixed operands; the stored types are the plan's."""
    wanted = {"exporter": "onnx", "precision": {"default": "fp16", "fp32": ["*.norm*", "mid_block_0"]}}
    spec = api.load(ROOT / "tiny" / "unet.yaml", set={"targets": {"mixed": wanted}})
    out = compiler.compile(spec, tmp_path / "out", Options()).folder / "mixed"
    onnx.checker.check_model(out / "model.onnx", full_check=True)
    kinds = {info.name: info.dtype for info in read_layout(out / "model.safetensors").tensors}
    assert kinds["down_0_block_0.norm1.weight"] == kinds["mid_block_0.conv1.weight"] == "F32"
    assert kinds["down_0_block_0.conv1.weight"] == "F16"
    stored = {t.name: t.data_type for t in onnx.load(out / "model.onnx", load_external_data=False).graph.initializer}
    assert stored["mid_block_0.conv1.weight"] == onnx.TensorProto.FLOAT
    assert stored["down_0_block_0.conv1.weight"] == onnx.TensorProto.FLOAT16


def test_what_lacks_weights_or_software_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exporters.onnx import OnnxExporter

    spec = api.load(ROOT / "tiny" / "dit.yaml")
    monkeypatch.setattr(OnnxExporter, "needs_weights", True)
    monkeypatch.setattr(OnnxExporter, "modules", ("no_such_package",))
    monkeypatch.setattr(OnnxExporter, "extra", "nothing")
    with pytest.raises(NetspecError) as caught:
        compiler.compile(spec, tmp_path / "out", Options(weights="none"))
    assert [each.code for each in caught.value.diagnostics] == ["NS510", "NS511"]
    assert "pip install 'netspec[nothing]'" in caught.value.diagnostics[0].message
    assert not any(tmp_path.iterdir())


def test_a_variance_beyond_float16_survives(tmp_path: Path) -> None:
    """Images of 0 to 255 give a batch norm variances that float16 has no numbers for."""
    half = {"targets": {"half": {"exporter": "onnx", "precision": "fp16"}}}
    spec = api.load(ROOT / "tiny" / "padded_unet.yaml", set=half)
    model = graph.build(api.lower(spec))
    with torch.no_grad():
        model.get_buffer("down_0_block_0.norm.running_var").fill_(1e6)
    netspec.save_weights(model, tmp_path / "wide.safetensors")
    result = compiler.compile(spec, tmp_path / "out", Options(weights=str(tmp_path / "wide.safetensors")))
    assert result.manifest.parity and all(row.passed for row in result.manifest.parity)
    kinds = {info.name: info.dtype for info in read_layout(tmp_path / "out" / "half" / "model.safetensors").tensors}
    assert kinds["down_0_block_0.norm.running_var"] == "F32" and kinds["down_0_block_0.conv.weight"] == "F16"


def test_a_half_target_whose_parts_are_all_exact_rounds_its_output(tmp_path: Path) -> None:
    wanted = {"exporter": "onnx", "precision": {"default": "fp16", "fp32": ["*"]}}
    spec = api.load(ROOT / "tiny" / "dit.yaml", set={"targets": {"half": wanted}})
    rows = compiler.compile(spec, tmp_path / "out", Options()).manifest.parity
    assert all(1e-5 < row.max_rel < row.tolerance < 5e-3 for row in rows)
