"""Inputs as a session wants them, without what only writing files needs: timing starts from here as well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

_NUMPY: Mapping[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}


def accepted(runner: onnxruntime.InferenceSession, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs that a graph has, in the types that it declares."""
    declared = {value.name: _NUMPY[value.type] for value in runner.get_inputs()}
    return {name: array.astype(declared[name], copy=False) for name, array in inputs.items() if name in declared}
