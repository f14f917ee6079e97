"""Leaf to lowering, all of it in one place.

A lowering takes the builder and then what the leaf takes: a function its own arguments, a method the tensor first,
a module the module and then its inputs. It returns a value (or values, sizes, numbers). A plugin adds its own leaf
with `register`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import nn

from exporters.lowering import (
    activations,
    arithmetic,
    attention,
    convolutions,
    leaves,
    linear,
    norms,
    positions,
    rotary,
    shapes,
)
from netspec.errors import Diagnostic, RegistrationError
from netspec.ops import LEAVES

Lowering: TypeAlias = Callable[..., Any]
OPS = {leaf.__name__: leaf for leaf in LEAVES}
Leaf: TypeAlias = "type[nn.Module] | Callable[..., Any] | str"

sigmoid, tanh, relu = (activations.elementwise(op_type) for op_type in ("Sigmoid", "Tanh", "Relu"))
exp, sqrt, sin, cos = (activations.elementwise(op_type) for op_type in ("Exp", "Sqrt", "Sin", "Cos"))
add = arithmetic.binary("Add", operator.add)
subtract = arithmetic.binary("Sub", operator.sub)
multiply = arithmetic.lower_multiply
divide = arithmetic.binary("Div", operator.truediv)
floor_divide = arithmetic.binary("Div", operator.floordiv)
of_module = activations.without_module

MODULES: dict[type[nn.Module], Lowering] = {
    nn.Conv2d: convolutions.conv2d,
    nn.ConvTranspose2d: convolutions.conv_transpose2d,
    nn.AvgPool2d: convolutions.avg_pool_module,
    nn.MaxPool2d: convolutions.max_pool_module,
    nn.PixelShuffle: convolutions.pixel_shuffle_module,
    nn.PixelUnshuffle: convolutions.pixel_unshuffle_module,
    nn.Linear: linear.linear_module,
    nn.Embedding: linear.embedding,
    nn.GroupNorm: norms.group_norm_module,
    nn.LayerNorm: norms.layer_norm_module,
    nn.RMSNorm: norms.rms_norm_module,
    nn.BatchNorm2d: norms.batch_norm,
    nn.InstanceNorm2d: norms.instance_norm,
    nn.SiLU: of_module(activations.silu),
    nn.ReLU: of_module(relu),
    nn.Sigmoid: of_module(sigmoid),
    nn.Tanh: of_module(tanh),
    nn.GELU: activations.gelu_module,
    nn.LeakyReLU: activations.leaky_relu_module,
    nn.Softmax: activations.softmax_module,
    nn.Dropout: of_module(activations.identity),
    nn.Dropout2d: of_module(activations.identity),
    nn.Identity: of_module(activations.identity),
    nn.ZeroPad2d: shapes.pad_module,
    nn.Flatten: shapes.flatten_module,
    nn.Upsample: leaves.upsample_module,
}

FUNCTIONS: dict[Callable[..., Any], Lowering] = {
    # netspec.ops
    OPS["attention"]: attention.attention,
    OPS["blur"]: leaves.blur,
    OPS["cast_like"]: leaves.cast_like,
    OPS["crop_like"]: leaves.crop_like,
    OPS["crop_positions"]: leaves.crop_positions,
    OPS["fourier_embedding"]: leaves.fourier_embedding,
    OPS["from_tokens"]: leaves.from_tokens,
    OPS["grid_positions"]: rotary.grid_positions,
    OPS["keep_tokens"]: leaves.keep_tokens,
    OPS["modulate"]: leaves.modulate,
    OPS["modulate_channels"]: leaves.modulate_channels,
    OPS["pad_like"]: leaves.pad_like,
    OPS["origin_positions"]: rotary.origin_positions,
    OPS["resize_like"]: leaves.resize_like,
    OPS["rotary_table"]: rotary.rotary_table,
    OPS["rotate"]: rotary.rotate,
    OPS["sincos_positions"]: positions.sincos_positions,
    OPS["skip_tokens"]: leaves.skip_tokens,
    OPS["timestep_embedding"]: leaves.timestep_embedding,
    OPS["to_tokens"]: leaves.to_tokens,
    OPS["unpatchify"]: leaves.unpatchify,
    OPS["upsample_bilinear"]: leaves.upsample_bilinear,
    OPS["upsample_nearest"]: leaves.upsample_nearest,
    # torch.nn.functional
    F.silu: activations.silu,
    F.gelu: activations.gelu,
    F.relu: relu,
    F.leaky_relu: activations.leaky_relu,
    F.sigmoid: sigmoid,
    F.tanh: tanh,
    F.softmax: activations.softmax,
    F.dropout: activations.identity,
    F.pad: shapes.pad,
    F.linear: linear.linear,
    F.group_norm: norms.group_norm,
    F.layer_norm: norms.layer_norm,
    F.rms_norm: norms.rms_norm,
    F.avg_pool2d: convolutions.avg_pool2d,
    F.max_pool2d: convolutions.max_pool2d,
    F.conv_transpose2d: convolutions.conv_transpose,
    F.pixel_shuffle: convolutions.pixel_shuffle,
    F.pixel_unshuffle: convolutions.pixel_unshuffle,
    # torch
    torch.sigmoid: sigmoid,
    torch.tanh: tanh,
    torch.relu: relu,
    torch.exp: exp,
    torch.sqrt: sqrt,
    torch.sin: sin,
    torch.cos: cos,
    torch.softmax: activations.softmax,
    torch.add: add,
    torch.sub: subtract,
    torch.mul: multiply,
    torch.div: divide,
    torch.mean: arithmetic.mean,
    torch.cat: shapes.cat,
    torch.concat: shapes.cat,
    torch.chunk: shapes.chunk,
    torch.split: shapes.split,
    torch.flatten: shapes.flatten,
    torch.reshape: shapes.reshape,
    torch.transpose: shapes.transpose,
    torch.permute: shapes.permute,
    torch.movedim: shapes.movedim,
    torch.unsqueeze: shapes.unsqueeze,
    torch.squeeze: shapes.squeeze,
    # Python
    operator.add: add,
    operator.sub: subtract,
    operator.mul: multiply,
    operator.truediv: divide,
    operator.floordiv: floor_divide,
    operator.neg: arithmetic.negative,
    operator.pow: arithmetic.power,
    operator.getitem: shapes.getitem,
    getattr: shapes.attribute,
}

METHODS: dict[str, Lowering] = {
    "add": add,
    "sub": subtract,
    "mul": multiply,
    "div": divide,
    "mean": arithmetic.mean,
    "pow": arithmetic.power,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "relu": relu,
    "exp": exp,
    "sqrt": sqrt,
    "softmax": activations.softmax,
    "contiguous": activations.identity,
    "detach": activations.identity,
    "clone": activations.identity,
    "chunk": shapes.chunk,
    "split": shapes.split,
    "reshape": shapes.reshape,
    "view": shapes.reshape,
    "flatten": shapes.flatten,
    "unflatten": shapes.unflatten,
    "transpose": shapes.transpose,
    "permute": shapes.permute,
    "movedim": shapes.movedim,
    "unsqueeze": shapes.unsqueeze,
    "squeeze": shapes.squeeze,
    "expand": shapes.expand,
    "size": shapes.size,
    "to": shapes.to,
    "type_as": shapes.type_as,
    "float": shapes.cast_to(torch.float32),
    "double": shapes.cast_to(torch.float64),
    "half": shapes.cast_to(torch.float16),
    "bfloat16": shapes.cast_to(torch.bfloat16),
    "long": shapes.cast_to(torch.int64),
}


# What these take keeps its precision: coordinates, times and angles lose their meaning in half of it.
KEEPS_TYPES = frozenset(
    {
        leaves.cast_like,
        leaves.fourier_embedding,
        leaves.timestep_embedding,
        rotary.grid_positions,
        rotary.origin_positions,
        rotary.rotary_table,
        rotary.rotate,
        shapes.attribute,
        shapes.getitem,
    }
)


def of_class(cls: type[nn.Module]) -> Lowering | None:
    """The lowering of a module class; a subclass shares its base's unless it has a forward of its own."""
    bases = (base for base in cls.__mro__ if base in MODULES)
    return next((MODULES[base] for base in bases if base.forward is cls.forward), None)


def register(leaf: Leaf, lowering: Lowering) -> None:
    """Add the lowering of a plugin's own leaf: a module class, a function, or the name of a tensor method.

    Raises RegistrationError where the leaf has one already.
    """
    table: dict[Any, Lowering] = METHODS if isinstance(leaf, str) else MODULES if isinstance(leaf, type) else FUNCTIONS
    if leaf in table:
        raise RegistrationError(
            Diagnostic(
                code="NS951",
                message=f"the leaf {leaf!r} has two lowerings",
                notes=tuple(f"{owner.__module__}.{owner.__qualname__}" for owner in (table[leaf], lowering)),
            )
        )
    table[leaf] = lowering
