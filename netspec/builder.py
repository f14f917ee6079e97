"""What a family writes its nodes into: names in order, types inferred, every problem kept with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netspec.errors import Diagnostic, ShapeError, SpecPath
from netspec.plan import Node, Origin, Value
from netspec.problems import Problem
from netspec.registry import Component
from netspec.tensors import TensorType
from netspec.wiring.join import Sum

if TYPE_CHECKING:
    from netspec.spec import Spec

MAX_NODES = 4096  # so that no spec, however hostile, takes long to refuse


@dataclass(frozen=True, slots=True)
class Placed:
    """A problem, the component's path in the spec, and the path of the row that made it matter."""

    problem: Problem
    at: SpecPath
    near: SpecPath | None


@dataclass
class Builder:
    """Collects the nodes of one plan. Problems never stop it: a spec's violations are reported together."""

    spec: Spec
    inputs: Mapping[str, TensorType]
    nodes: list[Node] = field(default_factory=list)
    problems: list[Placed] = field(default_factory=list)
    embedded: dict[int, list[Value]] = field(default_factory=dict)  # the vectors of `embeds`, by width
    summed: dict[int, Value] = field(default_factory=dict)  # their sums

    def add(
        self,
        name: str,
        component: Component,
        *inputs: Value,
        channels: int | None = None,
        at: SpecPath,
        near: SpecPath | None = None,
        stage: str,
    ) -> Value:
        """Append one node and return its output. `at` is the component's path in the spec, `near` the row that the
        node belongs to (for the second span of an error); `channels` is the width where the wiring decides it."""
        types = tuple(value.type for value in inputs)
        width = {} if channels is None else {"channels": channels}
        self.problems += [Placed(problem, at, near) for problem in component.check(*types, **width)]
        out = component.infer(*types, **width)
        node = Node(name, component, inputs, out, self._origin(near or at, at), stage)
        self.nodes.append(node)
        if len(self.nodes) > MAX_NODES:
            raise ShapeError(self._too_large())
        return node.value

    def vector(self, width: int) -> Value | None:
        """The conditioning vector: every embedding, summed. None where the spec has no conditioning."""
        parts = self.embeds(width)
        if len(parts) < 2:
            return parts[0] if parts else None
        if width not in self.summed:
            self.summed[width] = self.add("cond", Sum(), *parts, at=("conditioning",), stage="embed")
        return self.summed[width]

    def embeds(self, width: int) -> list[Value]:
        """One vector of `width` channels for each entry of `conditioning`; the same nodes whoever asks."""
        if width not in self.embedded:
            self.embedded[width] = [
                self.add(
                    f"embed_{name}", rule, *map(self.input, rule.sources(name)), channels=width,
                    at=("conditioning", name), stage="embed",
                )
                for name, rule in self.spec.conditioning.items()
            ]  # fmt: skip
        return self.embedded[width]

    def natural_width(self) -> int | None:
        """The width that the embeddings ask for: four times the sinusoids of the first that has any."""
        widths = (rule.natural_width for rule in self.spec.conditioning.values())
        return next((width for width in widths if width is not None), None)

    def input(self, name: str) -> Value:
        """An input by its name; its existence was checked when names were resolved."""
        return Value(name, self.inputs[name])

    def channels(self, output: str) -> int:
        """The channels that the spec gives an output."""
        shape = self.spec.outputs[output].shape
        channels = shape[1 if len(shape) > 3 else -1]
        assert isinstance(channels, int)  # the planner refuses a word
        return channels

    def context(self, name: str, at: SpecPath) -> Value:
        """The input that a `context` names."""
        value = self.input(name)
        if value.type.layout != "tokens":
            self.problem(
                Problem(
                    "NS312",
                    f"context `{name}` is not a token sequence",
                    label=f"`{name}` is {self.spec.inputs[name]}",
                    help=(f"write the input as [batch, tokens, width], such as `{name}: [batch, 77, 768]`",),
                ),
                at,
            )
        return value

    def mask(self, name: str, tokens: Value, at: SpecPath) -> Value:
        """The input that a `mask` names: which of the tokens attention sees."""
        value = self.input(name)
        if value.type.layout != "mask" or value.type.sizes != tokens.type.sizes:
            given, wanted = self.spec.inputs[name], ", ".join(map(str, tokens.type.shape[:2]))
            self.problem(
                Problem(
                    "NS319",
                    f"mask `{name}` is {given}, the tokens that it is for are {tokens.type}",
                    label="one number for each token",
                    help=(f"write `{name}: [{wanted}]`",),
                ),
                at,
            )
        return value

    def problem(self, problem: Problem, at: SpecPath) -> None:
        """Report something that no single component can see."""
        self.problems.append(Placed(problem, at, None))

    def lacks_conditioning(self, key: str, value: str, at: SpecPath) -> None:
        """A choice that uses the conditioning in a spec that has none."""
        self.problem(
            Problem(
                "NS306",
                f"{key} is `{value}`, but the spec has no conditioning",
                label="nothing to condition on",
                help=(f"add `conditioning:` with a timestep or a label, or write `{key}: none`",),
            ),
            at,
        )

    def _too_large(self) -> Diagnostic:
        family = self.spec.family.name
        return Diagnostic(
            "NS316",
            f"the network has more than {MAX_NODES:,} nodes",
            self.spec.place((family,)).key,
            "lowering stopped here",
            help=("the largest published ones have a few hundred: are depth and blocks as meant?",),
            path=family,
        )

    def _origin(self, path: SpecPath, at: SpecPath) -> Origin:
        span = self.spec.place(path).value
        return Origin(path, span.source.name, span.line, at)
