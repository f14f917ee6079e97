"""Attention over too many positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from netspec import costs
from netspec.analysis.tables import amount
from netspec.attention import Scores
from netspec.fields import Param
from netspec.lints.facts import grid, scores
from netspec.lints.rule import Finding, Lint
from netspec.plan import Node, Plan


class LargeAttention(Lint, code="NS804"):
    """Full attention over many positions

    ## What it does

    Finds images of more than 64x64 positions that attend to themselves, and attentions of any kind whose scores would
    take more than 2 GiB a sample, at the `opt` sizes, and says what they cost.

    ## Why it matters

    Attention computes a number for each pair of positions: twice the side is sixteen times the work. Dhariwal & Nichol
    2021, arXiv:2105.05233, Sec. 3, attend at 32x32, 16x16 and 8x8; latent diffusion up to 64x64 (Rombach et al. 2022,
    arXiv:2112.10752). Kernels that never store the scores (Dao et al. 2022, arXiv:2205.14135) save the memory and not
    the work; TensorRT, OpenVINO and ONNX Runtime store them wherever no such kernel fits.

    ## Example

    ```yaml
    unet:
      levels:
        - {channels: 128, attention: full}   # of an image of 128x128: 268 million pairs
        - {channels: 256}
    ```

    ## When to ignore

    When the deployment has fused kernels and the time is worth it: transformers on large latents do nothing else.
    """

    positions: Annotated[int, Param("positions of an image that may attend to itself: 64x64, Rombach et al. 2022")] = (
        64 * 64
    )
    max_bytes: Annotated[int, Param("of the scores of one sample: what one tensor of a protobuf file may have")] = 2**31
    number: Annotated[int, Param("bytes of one score: half precision")] = 2

    def check(self, plan: Plan) -> Iterator[Finding]:
        for node, each in scores(plan):
            image = each.own and node.out.layout == "image"
            if (image and each.keys > self.positions) or each.elements * self.number > self.max_bytes:
                yield self._finding(plan, node, each)

    def _finding(self, plan: Plan, node: Node, each: Scores) -> Finding:
        what = grid(node.out) if node.out.layout == "image" else "tokens"
        own = costs.attention(each.queries, each.keys, each.heads * each.head_dim, batch=node.out.batch.opt)
        stored = amount(each.elements * self.number)
        return self.on(
            node,
            f"attention over {each.keys:,} positions",
            field="" if node.out.layout == "image" else "patch_size",
            label=what,
            notes=(
                f"{each.heads} x {each.queries:,} x {each.keys:,} scores: {stored} a sample in half precision, "
                "where no kernel avoids storing them",
                f"each such attention is {own.gflops:,.1f} of the network's {plan.cost.gflops:,.1f} GFLOPs",
            ),
            help=("attend at a deeper level, or with larger patches",),
        )
