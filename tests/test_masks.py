"""Masks of captions and positions that stretch, down to the exported graph in every form that targets have for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from netspec import api, compiler, ops, planner
from netspec.errors import ShapeError
from netspec.parity import inputs_at

SPEC = Path(__file__).parent.parent / "specs" / "tiny" / "cross_dit.yaml"
BOOLEAN = {"inputs.text_mask": {"shape": ["batch", "tokens"], "dtype": "bool"}}
TARGETS: dict[str, dict[str, Any]] = {
    "half": {"exporter": "onnx", "precision": "fp16"},
    "portable": {"exporter": "onnx", "flavour": "portable", "precision": "fp16"},
    "fixed": {"exporter": "onnx", "flavour": "portable", "dims": {"height": 12, "width": 16}},
}


def parity(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["parity"]
    return rows


@pytest.mark.parametrize(
    "settings",
    [
        {"targets": TARGETS},
        BOOLEAN
        | {
            "dit.context.attention": "in_context",
            "dit.context.norm": "layer",
            "targets": {name: TARGETS[name] for name in ("half", "fixed")},
        },
    ],
    ids=["attended", "appended"],
)
def test_every_form_of_a_masked_network_exports(settings: dict[str, Any], tmp_path: Path) -> None:
    """Parity holds at all sizes, odd and not square, for as many targets as there are."""
    result = compiler.compile(api.load(SPEC, set=settings), tmp_path / "out", compiler.Options())
    rows = parity(result.folder)
    assert all(row["passed"] for row in rows)
    assert {row["dtype"] for row in rows} == {"fp32", "fp16"}
    assert len({tuple(row["sizes"].items()) for row in rows}) >= 4


@pytest.mark.parametrize(("dtype", "settings"), [(np.int64, {}), (np.bool_, BOOLEAN)])
def test_inputs_of_a_parity_run_show_every_sample_some_token_and_hide_some(
    dtype: type, settings: dict[str, Any]
) -> None:
    plan = planner.lower(api.load(SPEC, set=settings))
    mask = inputs_at(plan, {"batch": 4, "height": 8, "width": 8, "tokens": 9})["text_mask"]
    assert mask.shape == (4, 9)
    assert mask.dtype == dtype
    assert mask.astype(bool).any(axis=1).all()
    assert not mask.astype(bool).all()
    assert (np.sort(mask)[:, ::-1] == mask).all(), "padding comes last"
    assert inputs_at(plan, {"batch": 4, "height": 8, "width": 8, "tokens": 1})["text_mask"].all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_attention_without_any_token_to_see_stays_finite(dtype: torch.dtype) -> None:
    q, k = torch.randn(2, 5, 8, dtype=dtype), torch.randn(2, 3, 8, dtype=dtype)
    out = ops.attention(q, k, k, 2, mask=torch.tensor([[0, 0, 0], [1, 0, 1]]))
    assert out.isfinite().all()
    alone = ops.attention(q[1:], k[1:, [0, 2]], k[1:, [0, 2]], 2)
    assert torch.allclose(out[1:], alone, rtol=1e-2 if dtype.itemsize == 2 else 1e-5, atol=1e-2)


@pytest.mark.parametrize("shape", [["batch", 7], ["batch", "height"], ["batch"], ["batch", "tokens", 1]])
def test_a_mask_has_one_number_for_each_token(shape: list[Any]) -> None:
    with pytest.raises(ShapeError, match="NS319"):
        planner.lower(api.load(SPEC, set={"inputs.text_mask": shape}))
