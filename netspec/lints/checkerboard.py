"""Transposed convolutions that leave a pattern."""

from __future__ import annotations

from collections.abc import Iterator

from netspec.lints.rule import Finding, Lint
from netspec.plan import Plan
from netspec.resample.up_conv_transpose import TransposedConv


class Checkerboard(Lint, code="NS801"):
    """Transposed convolution whose kernel is no multiple of its stride

    ## What it does

    Finds `conv_transpose` upsampling whose kernel its stride does not divide, such as 3 with stride 2.

    ## Why it matters

    Some output pixels then add up more inputs than their neighbours, in a regular pattern. A network has to unlearn it,
    and seldom does wholly: a checkerboard stays in the image. Odena et al. 2016, Distill, doi:10.23915/distill.00003.

    ## Example

    ```yaml
    unet:
      upsample: {type: conv_transpose, kernel: 3}   # 4 or 2 overlap evenly; `nearest` has no overlap at all
    ```

    ## When to ignore

    When weights exist that were trained so.
    """

    def check(self, plan: Plan) -> Iterator[Finding]:
        for node in plan:
            rule = node.component
            if isinstance(rule, TransposedConv) and rule.kernel % rule.stride:
                yield self.on(
                    node,
                    f"a {rule.kernel}x{rule.kernel} kernel of stride {rule.stride} leaves a checkerboard",
                    field="kernel",
                    label=f"no multiple of {rule.stride}",
                    help=(f"write {rule.kernel + 1}, or `upsample: nearest`",),
                )
