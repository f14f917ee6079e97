"""split(): doubling an image by nearest neighbour and convolving it, without computing on the doubled image.

Every output pixel of an even row and column sees the same few input pixels: three taps on two equal pixels and their
neighbour are two taps, whose weights are sums. So a 3x3 convolution of the doubled image is four 2x2 convolutions of
the small one, one for each parity of row and column, with 16 products per input pixel instead of 36 (Shi et al. 2016,
arXiv:1609.07009, has the identity for sub-pixel convolutions).
"""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import opset13 as ops

# Parity of a row → which of three taps add up to each of two; the pixel before the first tap is left out of odd rows.
_SUMS = {0: ((0,), (1, 2)), 1: ((0, 1), (2,))}


def split(model: ov.Model) -> None:
    """Rewrite every doubling by nearest neighbour that only a 3x3 convolution reads."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Interpolate" and _doubles(node):
            readers = node.output(0).get_target_inputs()
            convolution = next(iter(readers)).get_node()
            if len(readers) == 1 and _keeps_size(convolution):
                _rewrite(node.input_value(0), convolution)


def _doubles(node: ov.Node) -> bool:
    has = node.get_attributes()
    wanted = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
    if any(has[key] != value for key, value in wanted.items()) or has["shape_calculation_mode"] != "scales":
        return False
    scales = _constant(node.input_value(1))
    return scales is not None and scales.tolist() in ([2.0, 2.0], [1.0, 1.0, 2.0, 2.0])


def _keeps_size(node: ov.Node) -> bool:
    """Whether it is a plain 3x3 convolution that pads by one."""
    if node.get_type_name() != "Convolution":
        return False
    has = node.get_attributes()
    wanted = {"strides": 1, "dilations": 1, "pads_begin": 1, "pads_end": 1}
    if any(list(has[key]) != [value] * 2 for key, value in wanted.items()):
        return False
    weight = _constant(node.input_value(1))
    return weight is not None and weight.shape[2:] == (3, 3)


def _rewrite(image: ov.Output, convolution: ov.Node) -> None:
    weight = _constant(convolution.input_value(1))
    assert weight is not None  # _keeps_size has seen it
    last, name = convolution, convolution.friendly_name
    bias = _bias(convolution)
    if bias is not None:
        last = next(iter(convolution.output(0).get_target_inputs())).get_node()
        name = last.friendly_name
    phases = []
    for row in (0, 1):
        for column in (0, 1):
            kernel = ops.constant(_taps(weight, row, column))
            made = ops.convolution(image, kernel, [1, 1], [1 - row, 1 - column], [row, column], [1, 1])
            made.friendly_name = f"{name}/phase_{row}{column}"
            kernel.friendly_name = f"{made.friendly_name}/weight"
            phases.append(made if bias is None else ops.add(made, ops.constant(bias)))
    joined = ops.concat(phases, 1)  # (N, 4 * C, H, W)
    grown = ops.depth_to_space(joined, "blocks_first", 2)  # (N, C, 2 * H, 2 * W)
    grown.friendly_name = name
    last.output(0).replace(grown.output(0))


def _taps(weight: np.ndarray, row: int, column: int) -> np.ndarray:
    """(O, I, 3, 3) to (O, I, 2, 2)."""
    rows = np.stack([weight[:, :, list(taps)].sum(2) for taps in _SUMS[row]], axis=2)
    return np.stack([rows[:, :, :, list(taps)].sum(3) for taps in _SUMS[column]], axis=3)


def _bias(convolution: ov.Node) -> np.ndarray | None:
    """What is added to each channel right after, if that is all that reads it."""
    readers = convolution.output(0).get_target_inputs()
    reader = next(iter(readers)).get_node()
    if len(readers) != 1 or reader.get_type_name() != "Add":
        return None
    values = [_constant(reader.input_value(index)) for index in (0, 1)]
    bias = next((value for value in values if value is not None), None)
    return bias if bias is not None and bias.ndim == 4 and bias.size == bias.shape[1] else None


def _constant(value: ov.Output) -> np.ndarray | None:
    node = value.get_node()
    return np.asarray(node.data) if node.get_type_name() == "Constant" else None
