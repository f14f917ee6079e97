"""Batch norm where images are made."""

from __future__ import annotations

from collections.abc import Iterator

from netspec.lints.facts import generates, holding
from netspec.lints.rule import Finding, Lint
from netspec.norms.batch import BatchNorm as Norm
from netspec.plan import Plan


class BatchNorm(Lint, code="NS803"):
    """Batch norm in a generative network

    ## What it does

    Finds batch norms in networks that denoise or decode.

    ## Why it matters

    A batch norm computes with the statistics of the batch when it is trained, and with an average over training when it
    is used. In a denoiser these differ: a batch in training mixes all noise levels, one in sampling has a single one.
    Where batches are small the statistics are noise as well: Wu & He 2018, arXiv:1803.08494, Sec. 1; Ioffe 2017,
    arXiv:1702.03275. Denoisers since Ho et al. 2020, arXiv:2006.11239, App. B, have group norms.

    ## Example

    ```yaml
    unet:
      block: {norm: batch}   # group
    ```

    ## When to ignore

    On small machines, where a batch norm costs nothing because it is folded into the convolution before it; the
    networks' quality then has to be measured.
    """

    def check(self, plan: Plan) -> Iterator[Finding]:
        if not generates(plan):
            return
        for node, field, _ in holding(plan, Norm):
            yield self.on(
                node,
                "batch norm in a network that makes images",
                field=field,
                label="averages over noise levels",
                help=("write `norm: group`",),
            )
