"""rewrite(): a target's network after the transforms that its spec names, with everything that forbids one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from torch import nn

from netspec.errors import Diagnostic, ExportError, SpecPath, UnknownName, path_text
from netspec.graph import Model
from netspec.plan import Plan
from netspec.spec import Spec
from netspec.transform import Transform, find


def rewrite(network: Model, plan: Plan, target: str) -> None:
    """Apply the target's transforms to a network on `meta`, in place and in the spec's order.

    plan: at the target's sizes. Raises UnknownName (NS240, NS241) or ExportError (NS242, NS243, NS244), which point at
    the transform in the spec.
    """
    before = _tensors(network)
    for index, (name, options) in enumerate(plan.spec.targets[target].transforms.items()):
        path: SpecPath = ("targets", target, "transforms", index)
        place = plan.spec.place(path).value
        transform = _made(plan.spec, path, name, options)
        try:
            transform.apply(network, plan)
        except ExportError as error:
            raise ExportError(
                *(
                    replace(each, message=f"target `{target}`: {each.message}", span=place, path=path_text(path))
                    for each in error.diagnostics
                )
            ) from error
        if changed := sorted(dict(before.items() ^ _tensors(network).items())):
            message = f"transform `{name}` changes the weights of the network: {', '.join(changed[:5])}"
            help = ("a transform keeps every parameter and buffer under its name: this is a fault of the transform",)
            raise ExportError(Diagnostic("NS244", message, place, help=help, path=path_text(path)))


def _made(spec: Spec, path: SpecPath, name: str, options: Mapping[str, Any]) -> Transform:
    """The transform with the options that the spec gives it."""
    cls = find(name, spec.place(path).value)
    known = cls.options()
    if unknown := [option for option in options if option not in known]:
        close = get_close_matches(unknown[0], known, n=1)
        raise UnknownName(
            Diagnostic(
                "NS241",
                f"transform `{name}` has no option `{unknown[0]}`",
                spec.place((*path, name, unknown[0])).key,
                f"did you mean `{close[0]}`?" if close else "",
                help=(f"options: {', '.join(f'`{each}`' for each in known) or 'none'}",),
                path=path_text((*path, name, unknown[0])),
            )
        )
    made = cls(**options)
    for option, why in made.refusals():
        raise UnknownName(
            Diagnostic(
                "NS241",
                f"transform `{name}`: `{option}: {options[option]}` means nothing",
                spec.place((*path, name, option)).value,
                why,
                path=path_text((*path, name, option)),
            )
        )
    return made


def _tensors(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
