"""Parity can fail: what counts as equal, what is tried, what a budget leaves out, and outputs that prove nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from exporters.onnx.runtime import Runner
from netspec import api, compiler, graph, parity
from netspec.bundle import Manifest, file_entries
from netspec.compiler import Options
from netspec.errors import ParityError
from netspec.planner.points import multiples, points
from netspec.precision import FLOATS, assign
from netspec.spec import Precision
from netspec.verification import verify
from netspec.weights import store
from netspec.weights.aligned import AlignedWriter, load_tensors, read_layout
from netspec.weights.probe import write_probe

SPECS = Path(__file__).parents[2] / "specs" / "tiny"
ONES = np.ones((2, 3))


def passed(got: np.ndarray, wanted: np.ndarray = ONES, tolerance: float = parity.FP32_TOLERANCE) -> bool:
    return parity.difference(wanted, got)[1] <= tolerance


@pytest.mark.parametrize("tolerance", [1e-4, 2e-2])
def test_the_tolerance_is_where_it_says(tolerance: float) -> None:
    assert passed(ONES, tolerance=tolerance)
    assert passed(ONES + 0.99 * tolerance, tolerance=tolerance)
    assert not passed(ONES + 1.01 * tolerance, tolerance=tolerance)
    shifted = 1000 * ONES
    shifted[0, 0] += 1.01e3 * tolerance  # relative to the largest value; one number is enough
    assert not passed(shifted, 1000 * ONES, tolerance)


def test_tolerances_follow_from_the_roundings_of_all_parts() -> None:
    plan = api.lower(api.load(SPECS / "unet.yaml"))
    model = graph.build(plan, device="meta")

    def of(default: str, **overrides: tuple[str, ...]) -> float:
        base = default if default in FLOATS else "fp32"
        return parity.tolerance_of(assign(model, Precision(default, overrides), base))

    assert of("fp32") == parity.tolerance_of(None) == parity.FP32_TOLERANCE
    assert of("fp32") < of("fp16") < of("bf16") < 1
    assert of("bf16") == pytest.approx(8 * of("fp16"), rel=0.05), "three binary digits fewer"
    assert 2**-12 < of("fp16", fp32=("*",)) < of("fp16") / 10, "what remains is the rounding of the output"


def test_what_never_passes() -> None:
    for bad in (np.nan, np.inf, -np.inf):
        assert not passed(np.full((2, 3), bad))
        assert not passed(np.full((2, 3), bad), np.full((2, 3), bad)), "equal, and still no output"
    assert not passed(ONES[:1]), "broadcasts, and still another shape"
    assert not passed(np.zeros((2, 3)))
    assert not passed(ONES, np.zeros((2, 3)))
    assert parity.difference(ONES, ONES[:1])[0] == float("inf")


@pytest.mark.parametrize("name", ["unet", "dit"])
def test_the_odd_point_is_odd(name: str) -> None:
    plan = api.lower(api.load(SPECS / f"{name}.yaml"))
    found = {point.name: point.sizes for point in points(plan)}
    assert list(found) == ["min", "opt", "max", "odd"]
    odd, steps = found["odd"], multiples(plan)
    assert steps == {"unet": {"batch": 1, "height": 4, "width": 4}, "dit": {"batch": 1, "height": 2, "width": 2}}[name]
    assert odd["height"] != odd["width"]
    for word, dim in plan.spec.dims.items():
        assert dim.min < odd[word] < dim.max and odd[word] != dim.opt
        assert odd[word] % steps[word] == 0 and odd[word] // steps[word] % 2 == 1


def test_points_of_narrow_ranges() -> None:
    def at(**dims: Any) -> list[tuple[str, tuple[int, ...]]]:
        plan = api.lower(api.load(SPECS / "dit.yaml", set={"dims": dims, "expect": {}}))
        return [(point.name, tuple(point.sizes.values())) for point in points(plan)]

    assert at(batch=1, height=16, width=16) == [("min", (1, 16, 16))]
    two = {"min": 8, "opt": 8, "max": 10}
    assert at(batch=1, height=two, width=two) == [("min", (1, 8, 8)), ("max", (1, 10, 10))]


def test_points_ask_nothing_of_expect() -> None:
    free = {"dit.pos_embed": "sincos", "expect": {"frozen": 8192}}  # a table as large as the largest image
    assert len(points(api.lower(api.load(SPECS / "dit.yaml", set=free)))) == 4


def test_a_budget_leaves_points_out_and_says_which(bundles: dict[str, Path]) -> None:
    plan = api.lower(api.load(SPECS / "dit.yaml"))
    model = graph.build(plan).eval()
    store.fill(model, bundles["dit"] / "model.safetensors")
    runner = Runner(bundles["dit"] / "model.onnx")
    outcome = parity.verify(plan, model, runner, budget_macs=0)
    assert [row.sizes for row in outcome.rows] == [{"batch": 1, "height": 8, "width": 8}]
    assert outcome.skipped == (
        "opt (batch 2, height 16, width 12)",
        "odd (batch 3, height 14, width 10)",
        "max (batch 4, height 32, width 24)",
    )
    assert len(parity.verify(plan, model, runner).rows) == 7


def test_threads_do_not_change_what_is_measured(bundles: dict[str, Path]) -> None:
    plan = api.lower(api.load(SPECS / "unet.yaml"))
    model = graph.build(plan).eval()
    store.fill(model, bundles["unet"] / "model.safetensors")
    runner = Runner(bundles["unet"] / "model.onnx")
    found = []
    for count in (1, 2):
        torch.set_num_threads(count)
        found.append(parity.verify(plan, model, runner).rows)
        assert torch.get_num_threads() == count
    torch.set_num_threads(1)
    assert found[0] == found[1]


def test_weights_that_blank_the_output_are_probed(bundles: dict[str, Path], tmp_path: Path) -> None:
    source, blank = bundles["dit"] / "model.safetensors", tmp_path / "blank.safetensors"
    with AlignedWriter(blank, read_layout(source)) as writer:
        for key, tensor in load_tensors(source):
            writer.write(key, torch.zeros_like(tensor) if key.startswith("head") else tensor)
    out = shutil.copytree(bundles["dit"], tmp_path / "out")
    result = compiler.bind(out, blank)
    assert all(row.max_abs > 0 for row in result.manifest.parity), "zeros would differ by nothing at all"
    assert (out / "model.safetensors").read_bytes() == blank.read_bytes(), "the probe is not what is written"


def test_parity_off_is_said(tmp_path: Path) -> None:
    result = compiler.compile(api.load(SPECS / "dit.yaml"), tmp_path / "out", Options(parity=False))
    assert result.skipped == ("all: parity is off",) and result.manifest.parity == ()


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A U-Net in float16, whose weights hide nothing."""
    folder = tmp_path_factory.mktemp("half")
    target = {"exporter": "onnx", "precision": "fp16", "flavour": "portable"}
    spec = api.load(SPECS / "unet.yaml", set={"targets": {"half": target}})
    out, full = folder / "out", folder / "full.safetensors"
    source = compiler.compile(spec, folder / "fresh", Options(parity=False)).folder / "model.safetensors"
    write_probe(graph.build(api.lower(spec), device="meta"), source, full)
    rows = compiler.compile(spec, out, Options(weights=str(full))).manifest.parity
    for row in rows:
        assert row.max_rel < row.tolerance / 2, "a tolerance that nothing chances upon"
        assert row.tolerance < 30 * row.max_rel, "and that means something"
    return out


def rewritten(path: Path, change: Callable[[str, torch.Tensor], torch.Tensor]) -> None:
    tensors, layout = dict(load_tensors(path)), read_layout(path)
    tensors = {key: tensor.clone() for key, tensor in tensors.items()}
    with AlignedWriter(path, layout) as writer:
        for key, tensor in tensors.items():
            writer.write(key, change(key, tensor))


def wrong_sign(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    next(node for node in model.graph.node if node.op_type == "Add" and "up_1" in node.name).op_type = "Sub"
    onnx.save(model, folder / "model.onnx")


def wrong_scale(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    scale = next(each for each in model.graph.initializer if each.name == "f16[0.707106781]")
    scale.raw_data = np.float16(1).tobytes()
    onnx.save(model, folder / "model.onnx")


def swapped_weights(folder: Path) -> None:
    first, second = "down_1_attn_0.q.weight", "down_1_attn_0.k.weight"
    tensors = {key: tensor.clone() for key, tensor in load_tensors(folder / "model.safetensors")}
    swapped = {first: tensors[second], second: tensors[first]}
    rewritten(folder / "model.safetensors", lambda key, tensor: swapped.get(key, tensor))


def lost_bias(folder: Path) -> None:
    rewritten(folder / "model.safetensors", lambda key, tensor: 0 * tensor if key == "head.conv.bias" else tensor)


@pytest.mark.parametrize(
    ("spoil", "node"),
    [(wrong_sign, "up_1_block_0"), (wrong_scale, "down_1_attn_0"), (swapped_weights, "down_1_attn_0"),
     (lost_bias, "head")],
)  # fmt: skip
def test_one_fault_in_a_float16_file_is_found_and_named(
    half: Path, tmp_path: Path, spoil: Callable[[Path], None], node: str
) -> None:
    out = Path(shutil.copytree(half, tmp_path / "out"))
    spoil(out / "half")
    replace(Manifest.read(out), files=file_entries(out)).write(out)
    with pytest.raises(ParityError) as caught:
        verify(out)
    (found,) = caught.value.diagnostics
    assert found.code == "NS701" and f"from `{node}` on" in found.message
    assert any(note.startswith(node) for note in found.notes), "the table of errors"
