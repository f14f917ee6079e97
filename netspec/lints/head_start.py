"""How the last layer starts."""

from __future__ import annotations

from collections.abc import Iterator

from netspec.lints.facts import denoises
from netspec.lints.rule import Finding, Lint
from netspec.plan import Plan
from netspec.wiring.head import HeadConv


class HeadStart(Lint, code="NS815"):
    """Last layer that does not start at zero

    ## What it does

    Finds denoising U-Nets with `zero_init: false` in `head`.

    ## Why it matters

    A denoiser that starts at zero predicts the mean at once, and its first steps go into learning rather than into
    shrinking a random output. Ho et al. 2020, arXiv:2006.11239, start the last convolution at zero in the released
    code, as do Dhariwal & Nichol 2021, arXiv:2105.05233, and Peebles & Xie 2023, arXiv:2212.09748, Sec. 3.2. It only
    matters for training from scratch.

    ## Example

    ```yaml
    unet:
      head: {zero_init: false}   # leave it out
    ```

    ## When to ignore

    When weights are loaded, or when a loss on other scales wants an output of unit variance from the start (Karras et
    al. 2024, arXiv:2312.02696, keep magnitudes everywhere and learn a gain that starts at zero instead).
    """

    def check(self, plan: Plan) -> Iterator[Finding]:
        for node in plan if denoises(plan) else ():
            if isinstance(node.component, HeadConv) and not node.component.zero_init:
                yield self.on(
                    node,
                    "the last layer of a denoiser does not start at zero",
                    field="zero_init",
                    label="predicts noise of its own",
                    help=("take it out, or write `zero_init: true`",),
                )
