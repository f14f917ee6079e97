"""Sizes that no network is trained at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from netspec.fields import Param
from netspec.lints.facts import pictured
from netspec.lints.rule import Finding, Lint
from netspec.plan import Plan


class OptSize(Lint, code="NS820"):
    """`opt` size that no network is trained at

    ## What it does

    Finds denoisers whose image has a side, at `opt`, that is no multiple of 8. That is all that a plan can know: which
    multiple a network was trained at its weights do not say, and an `opt` at one end of its range is often meant (a
    batch of one, a text as long as its encoder makes it).

    ## Why it matters

    `opt` is what engines are tuned for, and what the figures of `netspec show` are of. Networks are trained at 32, 64,
    128, 256 or 512 pixels or at latents of an eighth of that, and where sides vary they are multiples of 64 pixels: 8
    of a latent (Podell et al. 2023, arXiv:2307.01952, Sec. 2.3 and App. I). An `opt` beside these is timed and tuned
    for images that nobody makes.

    ## Example

    ```yaml
    dims:
      height: {min: 32, opt: 60, max: 128}   # 64
    ```

    ## When to ignore

    When your images do have that size.
    """

    step: Annotated[int, Param("what sides are multiples of: Podell et al. 2023, App. I, in a latent of factor 8")] = 8

    def check(self, plan: Plan) -> Iterator[Finding]:
        found = pictured(plan)
        if found is None:
            return
        name, image = found
        for size in dict.fromkeys(image.sizes):
            if size.opt % self.step:
                below, above = size.opt // self.step * self.step, -(-size.opt // self.step) * self.step
                path = ("inputs", name) if size.fixed else ("dims", size.words[0], "opt")
                what = f"a side of `{name}`" if size.fixed else f"`{size.words[0]}`"
                yield self.at(
                    path,
                    f"{what} is {size.opt} at `opt`, which no network is trained at",
                    label=f"no multiple of {self.step}",
                    help=(f"nearest: {below} or {above}",),
                )
