"""A flavour: the operators that one runtime is fast at. Which are fastest was measured: docs/onnx-flavours.md."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch

GroupNormForm = Literal["affine", "instance", "operator"]
AttentionForm = Literal["primitive", "operator", "contrib"]
ActivationForm = Literal["decomposed", "operator"]
PrimitiveForm = Literal["primitive", "operator"]
LinearForm = Literal["gemm", "matmul"]


@dataclass(frozen=True, slots=True)
class Flavour:
    """What a target prefers. Every form gives the same numbers; `opset` bounds which operators exist.

    group_norm  "affine": moments, then one x * a + b on the image; "instance": InstanceNormalization over groups;
                "operator": GroupNormalization-21.
    attention   "primitive": MatMul, Softmax, MatMul, both operands scaled before the first; "operator": Attention-23;
                "contrib": com.microsoft.MultiHeadAttention.
    rotary      "operator": RotaryEmbedding-23; "primitive": products of the even and the odd channels.
    rms_norm    "operator": RMSNormalization-23; "primitive": squares, their mean, a division.
    gelu, silu  "operator": Gelu-20, Swish-24; "decomposed": Erf or Tanh form, x * Sigmoid(x).
    linear      of tokens: "gemm" on (N * T, C), weight as stored; "matmul" with the weight transposed in the graph.
    fused_modulation  LayerNorm followed by modulation is one LayerNormalization with per-sample scale and bias.
    """

    name: str
    opset: int
    group_norm: GroupNormForm
    attention: AttentionForm
    gelu: ActivationForm
    silu: ActivationForm
    linear: LinearForm
    rotary: PrimitiveForm = "primitive"
    rms_norm: PrimitiveForm = "primitive"
    fused_modulation: bool = False

    def for_dtypes(self, dtypes: set[torch.dtype]) -> Flavour:
        """This flavour at the lowest opset that can hold `dtypes`: bfloat16 convolutions exist from 22."""
        return replace(self, opset=22) if torch.bfloat16 in dtypes and self.opset < 22 else self


ORT_CPU = Flavour(  # ONNX Runtime has a kernel for Attention-23 from 1.23
    name="ort-cpu",
    opset=23,
    group_norm="instance",
    attention="operator",
    gelu="operator",
    silu="decomposed",
    linear="gemm",
    rotary="operator",
    rms_norm="operator",
)

ORT_CPU_CONTRIB = replace(
    ORT_CPU, name="ort-cpu-contrib", opset=22, attention="contrib", rotary="primitive", rms_norm="primitive"
)

PORTABLE = Flavour(
    name="portable",
    opset=20,
    group_norm="instance",
    attention="primitive",
    gelu="operator",
    silu="decomposed",
    linear="matmul",
)

FLAVOURS = {flavour.name: flavour for flavour in (ORT_CPU, ORT_CPU_CONTRIB, PORTABLE)}
