"""Checks of the shapes that a spec states, before anything is wired: ranks, batch sizes, numbers where numbers go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from netspec.errors import Diagnostic, Label, Span, SpecPath, path_text
from netspec.families import Denoiser
from netspec.registry import references
from netspec.spec import Input, Spec
from netspec.tensors import Layout


@dataclass(frozen=True)
class Form:
    """What a family works on, in words, and how its shape is written."""

    noun: str
    article: str
    sizes: tuple[str, ...]
    joined: str  # the size along which several become one
    example: str
    help: tuple[str, ...] = ()  # what else an input of this form may be

    def __str__(self) -> str:
        return f"[{', '.join(self.sizes)}]"

    @property
    def one(self) -> str:
        return f"{self.article} {self.noun}"


FORMS: Mapping[Layout, Form] = MappingProxyType(
    {
        "image": Form("image", "an", ("batch", "channels", "height", "width"), "channels", "[batch, 3, height, width]"),
        "tokens": Form(
            "token sequence", "a", ("batch", "tokens", "width"), "width", "[batch, tokens, 64]",
            ("say what the others are: coordinates are the `ids` of `pos_embed` or `context`, text is the `context`",),
        ),
    }
)  # fmt: skip


def problems(spec: Spec) -> Iterator[Diagnostic]:
    """NS314 for shapes that the family cannot take, NS317 for inputs that disagree about the batch."""
    yield from _ranks(spec)
    if any(len(value.shape) == 4 for value in spec.inputs.values()):  # else the image is missing, or its channels
        yield from _words(spec)
    yield from _batches(spec)


def _ranks(spec: Spec) -> Iterator[Diagnostic]:
    family, form = spec.family.name, FORMS[takes(spec)]
    if isinstance(spec.family, Denoiser) and len(spec.outputs) > 1:
        second = list(spec.outputs)[1]
        yield Diagnostic("NS314", f"`{family}` has one output", spec.place(("outputs", second)).key)
    videos = [(at, value) for at, value in _shapes(spec) if len(value.shape) > 4]
    if videos:
        (at, value), *others = videos
        yield Diagnostic(
            "NS314",
            f"`{family}` takes images, not yet video or volumes",
            spec.place(at).value,
            f"{len(value.shape) - 2} sizes after batch and channels",
            labels=tuple(Label(spec.place(each).value, "here too") for each, _ in others[:1]),
            help=(f"write {FORMS['image']}; frames can be joined along the batch or the channels",),
            path=path_text(at),
        )
    for name, value in spec.outputs.items():
        if len(value.shape) != len(form.sizes) and len(value.shape) < 5:
            yield _no_image(spec, _output(spec, name), value, f"the output of `{family}` is {form.one}")


def no_image(spec: Spec, name: str) -> Diagnostic:
    """NS314 for an input that the family takes as an image, and that is none."""
    message = f"`{spec.family.name}` takes `{name}` as {FORMS[takes(spec)].one}"
    return _no_image(spec, ("inputs", name), spec.inputs[name], message)


def _no_image(spec: Spec, at: SpecPath, value: Input, message: str) -> Diagnostic:
    return Diagnostic(
        "NS314",
        message,
        spec.place(at).value,
        f"{len(value.shape)} size{'s' if len(value.shape) > 1 else ''}",
        help=(f"write {FORMS[takes(spec)]}",),
        path=path_text(at),
    )


def takes(spec: Spec) -> Layout:
    """What the family takes as its image."""
    return spec.family.takes if isinstance(spec.family, Denoiser) else "image"


def _words(spec: Spec) -> Iterator[Diagnostic]:
    """Channels and widths decide how large the weights are: they are numbers, or words of one value."""
    masks = {name for name, param in references(spec.family) if param.layout == "mask"}
    for at, value in _shapes(spec):
        if at[-1] in masks:
            continue
        axis = 1 if len(value.shape) in (2, 4) else len(value.shape) - 1
        word = value.shape[axis]
        if len(value.shape) not in (2, 3, 4) or not isinstance(word, str):
            continue
        if at[0] != "inputs" or spec.dims[word].min != spec.dims[word].max:
            what = "width" if len(value.shape) < 4 else "channels" if at[0] == "inputs" else "output's channels"
            yield Diagnostic(
                "NS314",
                f"the {what} must be a number",
                _size(spec, at, axis),
                "weights depend on it",
                help=("sizes that vary are batch, height, width and the number of tokens",),
                path=path_text((*at, axis)),
            )


def _batches(spec: Spec) -> Iterator[Diagnostic]:
    (first, given), *others = ((at, value) for at, value in _shapes(spec) if at[0] == "inputs")
    for at, value in others:
        if value.shape[0] != given.shape[0]:
            yield Diagnostic(
                "NS317",
                f"`{at[1]}` has a batch of `{value.shape[0]}`, `{first[1]}` one of `{given.shape[0]}`",
                _size(spec, at, 0),
                "must be the same",
                labels=(Label(_size(spec, first, 0), "the first input's"),),
                help=(f"begin both with `{given.shape[0]}`",),
                path=path_text((*at, 0)),
            )


def _shapes(spec: Spec) -> Iterator[tuple[SpecPath, Input]]:
    """(place, shape) of every input, then every output."""
    for name, value in spec.inputs.items():
        yield ("inputs", name), value
    for name, value in spec.outputs.items():
        yield _output(spec, name), value


def _output(spec: Spec, name: str) -> SpecPath:
    """Where an output's sizes are written: under its name, or as the only one."""
    known = spec.document is not None and ("outputs", name) in spec.document.places
    return ("outputs", name) if known else ("output",)


def written(spec: Spec, name: str) -> Span | None:
    """The key that names an output."""
    return spec.place(_output(spec, name)).key


def _size(spec: Spec, at: SpecPath, axis: int) -> Span:
    """Where one size of a shape is written: in the list, or in the list of `shape`."""
    assert spec.document is not None  # lower() works on resolved specs
    long = (*at, "shape", axis)
    return spec.place(long if long in spec.document.places else (*at, axis)).value
