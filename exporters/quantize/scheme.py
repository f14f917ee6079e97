"""A scheme: the types and forms of quantised layers that one runtime has kernels for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

Activations = Literal["uint8", "int8", "float8", "none"]
Weights = Literal["int8", "float8", "blocks"]


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a layer in few bits is written.

    activations  "uint8": with a zero point; "int8", "float8" (E4M3): without; "none": they stay in float.
    weights      "int8": a scale for each output channel; "float8": one for the tensor; "blocks": one for each stretch
                 of a row, in as many bits as the layer's precision says.
    outputs      a convolution's output is quantised as well: what a runtime asks for that has no other kernel.
    whole_bias   biases are int32 multiples of both scales, which the kernels add before they leave whole numbers.
    operator     blocks are com.microsoft.MatMulNBits; else DequantizeLinear-21, which is standard.
    """

    name: str
    activations: Activations
    weights: Weights
    outputs: bool = False
    whole_bias: bool = False
    operator: bool = False

    @property
    def operators(self) -> frozenset[str]:
        """The operators that can be quantised."""
        return frozenset({"Gemm", "MatMul"} if self.weights == "blocks" else {"Conv", "Gemm", "MatMul"})


# ONNX Runtime's kernels for convolutions take quantised outputs only, those for products give float (measured:
# docs/performance/few-bits.md). Their activations may have a zero point, worth most of a bit after SiLU, at no cost.
SCHEMES: Mapping[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme("ort-int8", "uint8", "int8", outputs=True, whole_bias=True),
        Scheme("ort-blocks", "none", "blocks", operator=True),
        Scheme("blocks", "none", "blocks"),
        # TensorRT knows no zero points, quantises weights when it builds, and adds biases in float.
        Scheme("trt-int8", "int8", "int8"),
        Scheme("trt-fp8", "float8", "float8"),
    )
}

STORED: Mapping[str, torch.dtype] = {
    "uint8": torch.uint8, "int8": torch.int8, "float8": torch.float8_e4m3fn,
}  # fmt: skip
