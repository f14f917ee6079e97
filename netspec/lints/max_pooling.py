"""Max pooling where images are made."""

from __future__ import annotations

from collections.abc import Iterator

from netspec.lints.facts import generates
from netspec.lints.rule import Finding, Lint
from netspec.plan import Plan
from netspec.resample.down_maxpool import MaxPool


class MaxPooling(Lint, code="NS802"):
    """Max pooling in a generative network

    ## What it does

    Finds `downsample: maxpool` in networks that denoise or decode. Networks without conditioning, as for segmentation,
    are left alone.

    ## Why it matters

    Max pooling keeps the largest of four numbers and forgets the rest; of a noisy image that is mostly the noise. It is
    not linear, and aliases: Zhang 2019, arXiv:1904.11486, Sec. 3. Radford et al. 2015, arXiv:1511.06434, Sec. 3,
    replaced it by strided convolutions in generative networks, and denoisers since Ho et al. 2020, arXiv:2006.11239,
    have those or an average.

    ## Example

    ```yaml
    unet:
      downsample: maxpool   # conv, avgpool, resnet
    ```

    ## When to ignore

    When a segmentation U-Net is denoising as it is, to compare or to reuse its weights.
    """

    def check(self, plan: Plan) -> Iterator[Finding]:
        if not generates(plan):
            return
        for node in plan:
            if isinstance(node.component, MaxPool):
                yield self.on(
                    node,
                    "max pooling in a network that makes images",
                    label="keeps one of four",
                    help=("write `downsample: conv`, or `avgpool`",),
                )
