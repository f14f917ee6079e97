"""adaLN without a gate."""

from __future__ import annotations

from collections.abc import Iterator

from netspec.families.dit import DiT
from netspec.lints.rule import Finding, Lint
from netspec.plan import Plan


class Gateless(Lint, code="NS816"):
    """adaLN without gates that start at zero

    ## What it does

    Finds transformers whose modulation shifts and scales, and has no gate.

    ## Why it matters

    With a gate that starts at zero every block begins as the identity, and a deep stack trains from the start. Peebles
    & Xie 2023, arXiv:2212.09748, Sec. 3.2 and Fig. 5, compare four conditionings: adaLN-Zero is clearly better than
    adaLN, for a few more weights and hardly more work.

    ## Example

    ```yaml
    dit:
      modulation: adaln   # adaln_zero, or adaln_single for fewer weights
    ```

    ## When to ignore

    To repeat that comparison, or for shallow stacks.
    """

    def check(self, plan: Plan) -> Iterator[Finding]:
        family = plan.spec.family
        if isinstance(family, DiT) and family.modulation.modulated and not family.modulation.gated:
            yield self.at(
                ("dit", "modulation"),
                f"`{family.modulation.name}` has no gates that start at zero",
                label="trains worse than adaln_zero",
                help=("write `modulation: adaln_zero`, or `adaln_single`",),
            )
