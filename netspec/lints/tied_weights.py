"""Weights that serve twice."""

from __future__ import annotations

from collections.abc import Iterator

from netspec.lints.facts import denoising_unet
from netspec.lints.rule import Finding, Lint
from netspec.plan import Plan


class TiedWeights(Lint, code="NS818"):
    """Decoder that uses the encoder's weights

    ## What it does

    Finds denoising U-Nets with `tie`, for images of 32x32 and larger.

    ## Why it matters

    Tying halves the weights and not the work, and asks one set of filters for two jobs: to see, and to paint. It comes
    from autoencoders that were trained layer by layer (Masci et al. 2011, doi:10.1007/978-3-642-21735-7_7), where the
    decoder is thrown away afterwards. In a denoiser the decoder makes the result: Ho et al. 2020, arXiv:2006.11239, and
    all that follow give it weights of its own, and more of them than the encoder. No comparison of the two in a
    denoiser is known to us: expect a loss, and measure it.

    ## Example

    ```yaml
    unet:
      tie: transposed   # `soft` keeps a free part; fewer `levels` tie the deep ones alone
    ```

    ## When to ignore

    When the size of the file is the limit, and when tying is what is studied.
    """

    def check(self, plan: Plan) -> Iterator[Finding]:
        found = denoising_unet(plan)
        if found is not None and found[0].tie is not None:
            yield self.at(
                ("unet", "tie"),
                "the decoder of a denoiser uses the encoder's weights",
                label="fewer weights, as much work",
                help=("take `tie` out, or tie the deepest levels alone",),
            )
