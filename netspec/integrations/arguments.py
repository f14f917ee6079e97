"""Which argument of a diffusers model is which input of a spec, found by what the input means to the network.

    argument                                        input of the spec
    sample, hidden_states                           the image, latent or tokens (several: split along the channels)
    timestep, then guidance                         an embedding of a number: `sinusoidal`, `fourier`, `learned`
    class_labels                                    `embed: label`
    pooled_projections, added_cond_kwargs.text_embeds   a vector that an `mlp` embeds
    added_cond_kwargs.time_ids                      numbers that become `sinusoids` of a vector
    added_cond_kwargs.resolution, .aspect_ratio     numbers that are embedded each alone: `embed: numbers`
    encoder_hidden_states, encoder_attention_mask   the tokens that a `context` names, and its `mask`
    img_ids, txt_ids                                the coordinates that `pos_embed.ids` and `context.ids` name

An input of an argument's own name is that argument. What the table cannot tell is said by the caller.

Conventions of diffusers that are met here, once:
    a number or a tensor without the batch axis holds for the whole batch (unet_2d_condition.py `get_time_embed`;
    ids of shape [tokens, axes] in transformer_flux.py `forward`);
    a mask that masks nothing says nothing (PixArtAlphaPipeline always passes one), nor do coordinates that are zero
    (FluxPipeline's for text);
    times in [0, 1] are the network's business: FluxPipeline divides by 1000 and transformer_flux.py multiplies again,
    as `scale: 1000` of a spec's embedding does.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from netspec.embeds.fourier import Fourier
from netspec.embeds.label import Label
from netspec.embeds.learned import Learned
from netspec.embeds.mlp import Mlp
from netspec.embeds.numbers import Numbers
from netspec.embeds.sinusoidal import Sinusoidal
from netspec.errors import Diagnostic, UsageError
from netspec.plan import Plan
from netspec.registry import Record, declared

Assignment = Mapping[str, tuple[str, ...]]  # an argument → the inputs that it fills, along the channels

# Role → arguments that play it, in the order in which a spec's inputs of that role take them.
_ROLES: Mapping[str, tuple[str, ...]] = {
    "image": ("sample", "hidden_states"),
    "number": ("timestep", "guidance"),
    "label": ("class_labels",),
    "vector": ("pooled_projections", "added_cond_kwargs.text_embeds"),
    "numbers": ("added_cond_kwargs.time_ids",),
    "sizes": ("added_cond_kwargs.resolution", "added_cond_kwargs.aspect_ratio"),
    "tokens": ("encoder_hidden_states",),
    "mask": ("encoder_attention_mask",),
    "image places": ("img_ids",),
    "token places": ("txt_ids",),
}
_ROLE_OF_FIELD = {
    "context.mask": "mask",
    "context.ids": "token places",
    "pos_embed.ids": "image places",
}
_GROUPS = ("added_cond_kwargs",)  # arguments that are mappings of arguments
_MASKS = ("attention_mask", "encoder_attention_mask")
_PLACES = ("img_ids", "txt_ids")


def assign(plan: Plan, signature: inspect.Signature, given: Mapping[str, str]) -> Assignment:
    """The inputs that each argument fills. `given` overrides: argument → input.

    Raises UsageError (NS932) where an input is left without an argument, or a name is none.
    """
    chosen: dict[str, tuple[str, ...]] = {}
    roles = list(_roles(plan))
    for argument, name in given.items():
        if name not in plan.inputs or not _takes(signature, argument):
            what = f"no input `{name}`" if name not in plan.inputs else f"no argument `{argument}`"
            raise _unassigned(f"there is {what}", plan, signature)
        chosen[argument] = (name,)
    for name in plan.inputs:
        own = next((each for each in _arguments(signature) if each.rpartition(".")[2] == name), None)
        if own and own not in chosen and name not in _taken(chosen):
            chosen[own] = (name,)
    images = tuple(name for role, name in roles if role == "image" and name not in _taken(chosen))
    main = next((each for each in _ROLES["image"] if _takes(signature, each) and each not in chosen), None)
    if images and main:
        chosen[main] = images
    for role, name in roles:
        free = [each for each in _ROLES[role] if _takes(signature, each) and each not in chosen]
        if name not in _taken(chosen) and free:
            chosen[free[0]] = (name,)
    if missing := [name for name in plan.inputs if name not in _taken(chosen)]:
        raise _unassigned(f"no argument was found for {', '.join(f'`{name}`' for name in missing)}", plan, signature)
    return chosen


def _taken(chosen: Assignment) -> set[str]:
    return {name for names in chosen.values() for name in names}


def _takes(signature: inspect.Signature, argument: str) -> bool:
    return argument.partition(".")[0] in signature.parameters


def _arguments(signature: inspect.Signature) -> Iterator[str]:
    """The arguments that the table knows and the model takes."""
    yield from (each for names in _ROLES.values() for each in names if _takes(signature, each))


def _roles(plan: Plan) -> Iterator[tuple[str, str]]:
    """(role, input) for every input whose meaning the spec tells."""
    spec = plan.spec
    for name in spec.family.mains(spec, plan.inputs):
        yield "image", name
    for key, rule in spec.conditioning.items():
        match rule:
            case Sinusoidal() | Fourier() | Learned():
                yield "number", key
            case Label():
                yield "label", key
            case Numbers():
                yield from (("sizes", name) for name in rule.sources(key))
            case Mlp(of=()):
                yield "vector", key
            case Mlp(of=parts):
                yield from (("vector" if part.sinusoids is None else "numbers", part.input) for part in parts)
    for path, name in _references(spec.family, ()):
        if name in plan.inputs:
            yield _ROLE_OF_FIELD.get(".".join(path[-2:]), "tokens"), name


def _references(record: Record, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """(path, input) for every input that a family's choices name."""
    for field in declared(type(record)).values():
        value = getattr(record, field.name)
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Record):
                yield from _references(inner, (*path, field.name))
            elif field.param.refers == "input" and isinstance(inner, str):
                yield (*path, field.name), inner


def _unassigned(what: str, plan: Plan, signature: inspect.Signature) -> UsageError:
    known = ", ".join(name for name in signature.parameters if name not in ("self", "return_dict"))
    notes = (f"inputs of {plan.spec.name}: {', '.join(plan.inputs)}", f"arguments: {known}")
    help = ('say which is which: stand_in(…, inputs={"encoder_hidden_states": "text"})',)
    return UsageError(Diagnostic("NS932", what, notes=notes, help=help))


def flat(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by name, those inside a mapping as `added_cond_kwargs.text_embeds`."""
    found: dict[str, Any] = {}
    for name, value in arguments.items():
        if name in _GROUPS and isinstance(value, Mapping):
            found |= {f"{name}.{key}": item for key, item in value.items()}
        else:
            found[name] = value
    return found


def meant(name: str, value: Any, usual: Any) -> bool:
    """Whether an argument asks for something: not where it is its default, empty, a mask that masks nothing, or
    coordinates that are zero."""
    if value is None or value is usual or (isinstance(value, Mapping | Sequence) and not value):
        return False
    if name in _MASKS and isinstance(value, Tensor):
        return not bool((value == 1).all())
    if name in _PLACES and isinstance(value, Tensor):
        return bool(value.any())
    return not (isinstance(value, bool) and value == usual)
