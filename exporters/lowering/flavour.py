"""A flavour: the operators that one runtime is fast at. Which are fastest was measured: docs/performance/."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch

GroupNormForm = Literal["affine", "instance", "operator"]
AttentionForm = Literal["primitive", "operator", "native", "contrib"]
ActivationForm = Literal["decomposed", "operator"]
PrimitiveForm = Literal["primitive", "operator"]
LinearForm = Literal["gemm", "matmul"]
ConvForm = Literal["direct", "winograd"]
Layout = Literal["channels_first", "channels_last"]


@dataclass(frozen=True, slots=True)
class Flavour:
    """What a target prefers. Every form gives the same numbers; `opset` bounds which operators exist.

    group_norm  "affine": moments, then one x * a + b on the image; "instance": InstanceNormalization over groups;
                "operator": GroupNormalization-21.
    attention   "primitive": MatMul, Softmax, MatMul, both operands scaled before the first; "operator": Attention-23;
                "native": the same on heads that were split before, which TensorRT asks for;
                "contrib": com.microsoft.MultiHeadAttention.
    rotary      "operator": RotaryEmbedding-23; "primitive": products of the even and the odd channels.
    rms_norm    "operator": RMSNormalization-23; "primitive": squares, their mean, a division.
    gelu, silu  "operator": Gelu-20, Swish-24; "decomposed": Erf or Tanh form, x * Sigmoid(x).
    linear      of tokens: "gemm" on (N * T, C), weight as stored; "matmul" with the weight transposed in the graph.
    conv        of 3x3: "direct": Conv; "winograd": tiles with fewer products, where that pays (winograd.py).
    layout      of images: "channels_last": com.microsoft's NhwcConv and GroupNorm (with SiLU), few transposes between
                them, and the fusions of ONNX Runtime's CUDA provider.
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
    conv: ConvForm = "direct"
    layout: Layout = "channels_first"
    fused_modulation: bool = False

    def for_dtypes(self, dtypes: set[torch.dtype]) -> Flavour:
        """This flavour as far as it goes for `dtypes`, at the lowest opset that can hold them."""
        found = self
        if dtypes & {torch.float16, torch.bfloat16} and found.conv == "winograd":
            found = replace(found, conv="direct")  # the digits that tiles cost are few of float32's only
        if torch.bfloat16 in dtypes:  # whose convolutions exist from opset 22, and no kernels with channels last
            attention: AttentionForm = "primitive" if found.attention == "contrib" else found.attention
            opset = max(found.opset, 22)
            found = replace(found, opset=opset, layout="channels_first", attention=attention)
        return found


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
    conv="winograd",
)

ORT_CPU_CONTRIB = replace(
    ORT_CPU, name="ort-cpu-contrib", opset=22, attention="contrib", rotary="primitive", rms_norm="primitive"
)

ORT_CUDA = Flavour(  # the kernels of ONNX Runtime's CUDA provider, some of which no other has
    name="ort-cuda",
    opset=20,
    group_norm="instance",
    attention="contrib",
    gelu="operator",
    silu="decomposed",
    linear="matmul",
    layout="channels_last",
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

# GroupNormalization of one scale for each channel is read from TensorRT 10.15, and its newer operators from there as
# well: what 10.3 reads is what the portable flavour has.
TENSORRT = replace(PORTABLE, name="tensorrt")
TENSORRT_NATIVE = replace(TENSORRT, name="tensorrt-native", opset=23, attention="native")  # TensorRT 10.14

OPENVINO = Flavour(  # whole operators, which OpenVINO takes apart as the machine it runs on wants: docs/performance/
    name="openvino",
    opset=24,
    group_norm="instance",
    attention="operator",
    gelu="operator",
    silu="operator",
    linear="matmul",
)

_ALL = (ORT_CPU, ORT_CPU_CONTRIB, ORT_CUDA, PORTABLE, TENSORRT, TENSORRT_NATIVE, OPENVINO)
FLAVOURS = {flavour.name: flavour for flavour in _ALL}
