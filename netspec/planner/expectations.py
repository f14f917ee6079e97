"""What a spec asserts about itself, checked."""

from __future__ import annotations

from collections.abc import Iterator

from netspec.errors import Diagnostic, SpecPath, path_text
from netspec.plan import Plan

_HELP = "`netspec diff SPEC` tells what changed since the last commit; undo it, or update the number"


def unmet(plan: Plan) -> Iterator[Diagnostic]:
    """NS401 … NS404 for every entry of `expect` that does not hold."""
    spec, expect = plan.spec, plan.spec.expect
    for code, key, words, actual in (
        ("NS401", "params", "parameters", plan.cost.params),
        ("NS402", "frozen", "frozen numbers", plan.cost.frozen),
    ):
        wanted = getattr(expect, key)
        if wanted is not None and wanted != actual:
            yield Diagnostic(
                code,
                f"the network has {actual:,} {words}, the spec expects {wanted:,}",
                spec.place(("expect", key)).value,
                f"off by {actual - wanted:+,}",
                help=(_HELP,),
                path=f"expect.{key}",
            )
    gflops = plan.cost.gflops
    if expect.gflops is not None and abs(gflops - expect.gflops) > 0.005 * expect.gflops:
        yield Diagnostic(
            "NS403",
            f"the network takes {gflops:.4g} GFLOPs, the spec expects {expect.gflops:g}",
            spec.place(("expect", "gflops")).value,
            f"off by {gflops - expect.gflops:+.4g}",
            help=(_HELP,),
            path="expect.gflops",
        )
    yield from _outputs(plan)


def _outputs(plan: Plan) -> Iterator[Diagnostic]:
    """NS404 for every output that has other sizes; a list alone is that of the only output."""
    wanted, spec = plan.spec.expect.output, plan.spec
    if isinstance(wanted, tuple):
        if len(plan.outputs) > 1:
            yield Diagnostic(
                "NS404",
                f"the network has {len(plan.outputs)} outputs, the spec expects the sizes of one",
                spec.place(("expect", "output")).value,
                "whose?",
                help=(f"write them by name: `output: {{{next(iter(plan.outputs))}: {list(wanted)}}}`",),
                path="expect.output",
            )
            return
        wanted = dict.fromkeys(plan.outputs, wanted)
    for name, sizes in (wanted or {}).items():
        shape = tuple(size.opt for size in plan.outputs[name].type.shape)
        at: SpecPath = ("expect", "output", name) if len(plan.outputs) > 1 else ("expect", "output")
        if sizes != shape:
            yield Diagnostic(
                "NS404",
                f"{plan.called(name)} is {list(shape)} at opt, the spec expects {list(sizes)}",
                spec.place(at).value,
                _difference(sizes, shape),
                help=("update the sizes, or those of `output`",),
                path=path_text(at),
            )


def _difference(wanted: tuple[int, ...], actual: tuple[int, ...]) -> str:
    """The first size that differs, in words."""
    if len(wanted) != len(actual):
        return f"{len(wanted)} sizes instead of {len(actual)}"
    index = next(i for i, (a, b) in enumerate(zip(wanted, actual, strict=True)) if a != b)
    return f"size {index} is {actual[index]}, not {wanted[index]}"
