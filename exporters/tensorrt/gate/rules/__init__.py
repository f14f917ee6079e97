"""Every rule, one file each, in the order in which findings are told: the file, operators, types, sizes, advice."""

from exporters.tensorrt.gate.rules import (
    attributes,
    constants,
    dynamic,
    ends,
    external_data,
    heads,
    integers,
    memory,
    operators,
    opset,
    opset_types,
    overflow,
    profiles,
    quantization,
    ranks,
    scalars,
    sizes,
    strong_typing,
    structure,
    types,
    unknown,
)
from exporters.tensorrt.gate.rules.case import Case, Rule

RULES: tuple[Rule, ...] = (
    structure.check,
    operators.check,
    opset.check,
    opset_types.check,
    types.check,
    strong_typing.check,
    attributes.check,
    constants.check,
    ranks.check,
    ends.check,
    heads.check,
    quantization.check,
    external_data.check,
    unknown.check,
    scalars.check,
    profiles.check,
    sizes.check,
    memory.check,
    dynamic.check,
    integers.check,
    overflow.check,
)

__all__ = ["RULES", "Case", "Rule"]
