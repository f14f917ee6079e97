"""Parts that half precision would spoil."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Annotated

from netspec.fields import Param
from netspec.lints.rule import Finding, Lint
from netspec.plan import Node, Plan
from netspec.roles import FEW_BITS, QUANTISABLE_ROLES, Role, matches
from netspec.spec import Precision


class HalfExceptions(Lint, code="NS819"):
    """Half precision where float32 is needed

    ## What it does

    Finds targets whose `precision` names parts for `fp16`, `bf16` or fewer bits that are kept in float32 by their role:
    embeddings of timesteps and labels, positions, the last layer. Softmax and the statistics of norms need no lint:
    they are float32 in every half precision, whatever a spec says.

    ## Why it matters

    Around a timestep of 999 numbers of bf16 are 4 apart and those of fp16 one half, so that steps become one, or their
    sines random; and nothing averages the rounding of the last layer. Micikevicius et al. 2018, arXiv:1710.03740, Sec.
    3, keep in float32 what is small and what everything depends on; the released code of Peebles & Xie 2023,
    arXiv:2212.09748, and of Dhariwal & Nichol 2021, arXiv:2105.05233, computes embeddings in float32.

    ## Example

    ```yaml
    targets:
      gpu: {exporter: tensorrt, precision: {default: fp16, fp16: [embed_t]}}   # `precision: fp16`
    ```

    ## When to ignore

    When an accelerator has no float32 at all, and the difference was measured.
    """

    exact: Annotated[tuple[str, ...], Param("roles that stay in float32: netspec's own precision by role")] = (
        "embedding", "position", "head",
    )  # fmt: skip

    def check(self, plan: Plan) -> Iterator[Finding]:
        kept = {node.name: role for node in plan if (role := _role(node)) in self.exact}
        for target, choice in plan.spec.targets.items():
            for precision, patterns in choice.precision.overrides.items():
                takes = [name for name, role in kept.items() if _takes(choice.precision, precision, name, role)]
                for index, pattern in enumerate(patterns if precision != "fp32" else ()):
                    if hit := [name for name in takes if _names(pattern, name)]:
                        yield self.at(
                            ("targets", target, "precision", precision, index),
                            f"{hit[0]} in {precision}",
                            label="everything depends on it, or nothing averages its rounding",
                            notes=(f"likewise {', '.join(hit[1:])}",) if hit[1:] else (),
                            help=("leave it out: its role keeps it in float32",),
                        )


def _role(node: Node) -> Role:
    """What a node is for; what makes a vector and says nothing embeds, as in netspec.precision."""
    role = node.component.role
    return "embedding" if role == "other" and node.out.layout == "vector" else role


def _takes(chosen: Precision, precision: str, name: str, role: Role) -> bool:
    """Whether a part computes in what an entry says: few bits are for layers alone, and a later fp32 wins."""
    entries = list(chosen.overrides)
    later = chosen.overrides["fp32"] if "fp32" in entries[entries.index(precision) :] else ()
    possible = precision not in FEW_BITS or role in QUANTISABLE_ROLES
    return possible and not any(matches(pattern, name) for pattern in later)


def _names(pattern: str, name: str) -> bool:
    """Whether a pattern names a node or something inside it."""
    return fnmatchcase(name, pattern) or pattern.startswith(f"{name}.")
