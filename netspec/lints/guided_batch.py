"""Batches that guidance doubles."""

from __future__ import annotations

from collections.abc import Iterator

from netspec.embeds.label import Label
from netspec.lints.facts import denoises
from netspec.lints.rule import Finding, Lint
from netspec.plan import Plan
from netspec.spec import Dim


class GuidedBatch(Lint, code="NS821"):
    """Batch range that guidance does not fit

    ## What it does

    Finds denoisers with a text or a droppable class whose range of batch sizes has no even number, or ends at an odd
    one.

    ## Why it matters

    Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598) runs every image twice, with and without its
    condition, and pipelines put both into one batch: n images need a batch of 2n. A range without an even number cannot
    run them so at all, and the largest batch is never used where it is odd.

    ## Example

    ```yaml
    dims:
      batch: {min: 1, opt: 2, max: 7}   # 8
    ```

    ## When to ignore

    When the two halves run one after the other, as on a machine with little memory, and for networks distilled from
    their guidance (Meng et al. 2023, arXiv:2210.03142).
    """

    def check(self, plan: Plan) -> Iterator[Finding]:
        if not _guided(plan):
            return
        for word in dict.fromkeys(word for type_ in plan.inputs.values() for word in type_.batch.words):
            if why := _why(plan.spec.dims[word]):
                yield self.at(
                    ("dims", word, "max"),
                    f"guidance doubles `{word}`, and {why}",
                    label="odd",
                    help=("end the range at an even number",),
                )


def _guided(plan: Plan) -> bool:
    """Whether there is a condition that can be left out: tokens beside the image, or a class with a row for none."""
    if not denoises(plan):
        return False
    droppable = any(isinstance(rule, Label) and rule.dropout for rule in plan.spec.conditioning.values())
    main = plan.spec.family.mains(plan.spec, plan.inputs)
    return droppable or any(type_.layout == "tokens" for name, type_ in plan.inputs.items() if name not in main)


def _why(dim: Dim) -> str:
    if dim.min == dim.max and dim.max % 2:
        return f"a batch of {dim.max} is no pair"
    return f"a batch of {dim.max} is never full" if dim.max % 2 else ""
