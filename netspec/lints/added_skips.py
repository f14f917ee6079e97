"""Skips that are summed."""

from __future__ import annotations

from collections.abc import Iterator

from netspec.lints.facts import denoising_unet
from netspec.lints.rule import Finding, Lint
from netspec.plan import Plan
from netspec.wiring.join import Add


class AddedSkips(Lint, code="NS817"):
    """Skips that are added rather than concatenated

    ## What it does

    Finds denoising U-Nets with `skip: {merge: add}`, for images of 32x32 and larger.

    ## Why it matters

    A sum mixes what the encoder saw with what the decoder knows, and no later layer can tell them apart. Bao et al.
    2023, arXiv:2209.12152, Sec. 3.1, compared both in a denoiser: concatenation is best, and a plain sum no better than
    no skip at all. The U-Nets of Ho et al. 2020, arXiv:2006.11239, Rombach et al. 2022, arXiv:2112.10752, and Podell et
    al. 2023, arXiv:2307.01952, concatenate.

    ## Example

    ```yaml
    unet:
      skip: add   # concat
    ```

    ## When to ignore

    When memory or weights count more: the decoder's first convolutions are half as large (Chaurasia & Culurciello 2017,
    arXiv:1707.03718, add for that reason). The comparison above is one of transformers.
    """

    def check(self, plan: Plan) -> Iterator[Finding]:
        for node in plan if denoising_unet(plan) else ():
            if isinstance(node.component, Add):
                yield self.on(
                    node,
                    "skips are added to the decoder",
                    field="merge",
                    label="mixes both for good",
                    help=("write `merge: concat`",),
                )
