"""Contexts that nobody attends to."""

from __future__ import annotations

from collections.abc import Iterator

from netspec.attention import Transformer
from netspec.lints.rule import Finding, Lint
from netspec.plan import Plan


class IgnoredContext(Lint, code="NS822"):
    """Context that no block attends to

    ## What it does

    Finds inputs that transformers are given as `context` while `attends` leaves it out in all of them. An input that
    reaches no block at all is an error, NS204.

    ## Why it matters

    The input stays in the exported graph, pipelines compute it, and the output does not depend on it: the network
    ignores its prompt. Cross-attention is how a context enters: Rombach et al. 2022, arXiv:2112.10752, Sec. 3.3.

    ## Example

    ```yaml
    unet:
      transformer: {head_dim: 64, context: text, attends: [self]}   # [self, context], or leave `attends` out
    ```

    ## When to ignore

    When the interface has to keep an input that an ablation took the use of.
    """

    def check(self, plan: Plan) -> Iterator[Finding]:
        given = [node for node in plan if isinstance(node.component, Transformer) and node.component.context]
        read = {value.name for node in given if _attends(node.component) for value in node.inputs[1:]}
        for node in given:
            for value in node.inputs[1:]:
                if value.name not in read:
                    yield self.on(
                        node,
                        f"no block attends to `{value.name}`",
                        field="attends",
                        label="leaves the context out",
                        help=("write `attends: [self, context]`, or take `context` out",),
                    )


def _attends(rule: object) -> bool:
    return isinstance(rule, Transformer) and (not rule.attends or "context" in rule.attends)
