"""Run an IR on the CPU as exactly as it can be, with any inner value as an extra output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import openvino as ov

ACCURATE = {"EXECUTION_MODE_HINT": "ACCURACY"}


class IRRunner:
    """Runs one IR, compiled once; what `netspec.target.Runner` asks for. `properties` decide speed and accuracy."""

    def __init__(self, path: Path, properties: Mapping[str, object] = ACCURATE) -> None:
        self.path, self.properties = path, dict(properties)
        self._compiled = self._compile(ov.Core().read_model(path))

    def __call__(self, inputs: Mapping[str, np.ndarray], extra_outputs: Sequence[str] = ()) -> Mapping[str, np.ndarray]:
        """Outputs by name. Values that the IR does not have are left out."""
        if not extra_outputs:
            return run(self._compiled, inputs)
        model = ov.Core().read_model(self.path)
        expose(model, extra_outputs)
        return run(self._compile(model), inputs)

    def _compile(self, model: ov.Model) -> ov.CompiledModel:
        return ov.Core().compile_model(model, "CPU", self.properties)


def expose(model: ov.Model, names: Sequence[str]) -> None:
    """Make values of the model outputs too, where it has them."""
    taken = {name for value in model.outputs for name in value.names}
    known = {name for node in model.get_ordered_ops() for value in node.outputs() for name in value.names}
    model.add_outputs([name for name in names if name in known - taken])


def run(compiled: ov.CompiledModel, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every output by each of its names; numbers are given in the types that the model declares."""
    declared = {value.any_name: value.element_type.to_dtype() for value in compiled.inputs}
    results = compiled({name: inputs[name].astype(dtype, copy=False) for name, dtype in declared.items()})
    return {name: results[value] for value in compiled.outputs for name in value.names}
