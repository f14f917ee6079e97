"""program(): the network of a request as a `torch.export` program, its sizes as free as the spec leaves them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram

from exporters.torch_export.seam import seam
from exporters.torch_export.typed import typed
from netspec.plan import Plan
from netspec.precision import PrecisionPlan
from netspec.target import ExportRequest
from netspec.tensors import Size
from netspec.weights.aligned import load_tensors

# What PyTorch notes at nodes and no reader of a program needs: line numbers of installed files, addresses of objects.
_PRIVATE = ("from_node", "stack_trace")


def program(request: ExportRequest) -> ExportedProgram:
    """The network with its weights, in the precision that the request has for each part.

    Its state dict has the network's own keys. A size with a range is a `torch.export.Dim` of that range, in steps of
    what it is divisible by. The request must have a plan, a precision and a source. Raises ExportError.
    """
    plan, precision = _known(request)
    model: fx.GraphModule = copy.deepcopy(request.model)  # type: ignore[assignment]  # a netspec model is one
    model.load_state_dict(weights(request), assign=True)
    examples = tuple(_examples(request, plan))
    if precision.uses != {"fp32"}:
        model = typed(model, precision, examples)
    with torch.no_grad(), seam("tracing the network with torch.export"):
        made = torch.export.export(model.eval(), examples, dynamic_shapes=_free_sizes(request, plan))
    for part in made.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, fx.GraphModule) else ():
            for key in _PRIVATE:
                node.meta.pop(key, None)
    return made


def refill(made: ExportedProgram, request: ExportRequest) -> ExportedProgram:
    """The same program with the weights of `request`: its graph does not depend on their numbers."""
    for key, tensor in weights(request).items():
        known = made.state_dict[key]
        is_parameter = isinstance(known, nn.Parameter)
        made.state_dict[key] = nn.Parameter(tensor, known.requires_grad) if is_parameter else tensor
    return made


def weights(request: ExportRequest) -> dict[str, Tensor]:
    """The network's tensors from the request's source, each in the type that it is stored in; what stays float32 is
    mapped, not read."""
    _, precision = _known(request)
    assert request.source is not None  # the exporters here need weights
    own = request.model.state_dict().keys()
    return {key: tensor.to(precision.stored(key, tensor)) for key, tensor in load_tensors(request.source) if key in own}


def _known(request: ExportRequest) -> tuple[Plan, PrecisionPlan]:
    assert request.plan is not None  # a deployment's request has both
    assert request.precision is not None
    return request.plan, request.precision


def _examples(request: ExportRequest, plan: Plan) -> list[Tensor]:
    """Inputs to trace with: as large as they may be, since PyTorch takes a size of 1 for one that never varies."""
    env = {word: dim.max // step * step for word, (dim, step) in _ranges(request, plan).items()}
    return [
        torch.ones([int(size.evaluate(env)) for size in plan.inputs[port.name].shape], dtype=port.dtype)
        for port in request.inputs
    ]


def _ranges(request: ExportRequest, plan: Plan) -> dict[str, tuple[Any, int]]:
    return {word: (dim, request.multiples.get(word, 1)) for word, dim in plan.spec.dims.items()}


def _free_sizes(request: ExportRequest, plan: Plan) -> tuple[dict[int, Any], ...]:
    """For each input: axis → how it may vary."""
    roots: dict[str, Any] = {}
    for word, (dim, step) in _ranges(request, plan).items():
        low, high = -(-dim.min // step), dim.max // step
        if low < high:
            roots[word] = Dim(word if step == 1 else f"{word}_by_{step}", min=low, max=high)
    return tuple(
        {
            axis: free
            for axis, size in enumerate(plan.inputs[port.name].shape)
            if (free := _free(size, roots, request.multiples)) is not None
        }
        for port in request.inputs
    )


def _free(size: Size, roots: Mapping[str, Any], multiples: Mapping[str, int]) -> Any:
    """A multiple of the step that its word varies in; None for a fixed size."""
    if size.linear is None or size.linear[0] not in roots:
        return None
    word, factor = size.linear
    count = Fraction(factor) * multiples.get(word, 1)
    scaled = roots[word] if count == 1 else int(count) * roots[word]
    return scaled + int(size.offset) if size.offset else scaled
