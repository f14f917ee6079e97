"""Where a network will run: one target, and the form that its runtime wants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from netspec.guide.sheet import WIDTH, Line, line
from netspec.guide.wish import Wish


@dataclass(frozen=True)
class Form:
    """What a deployment depends on: the words of `dims` with fixed sizes for it, and whether norms are by groups."""

    wish: Wish
    sizes: Mapping[str, int]
    grouped: bool
    half: str = ""  # `decoder`: the half of an autoencoder
    output: str = ""

    @property
    def fixed(self) -> str:
        """`dims: {batch: 1, height: 32}`."""
        return "dims: {" + ", ".join(f"{name}: {size}" for name, size in {"batch": 1, **self.sizes}.items()) + "}"


@dataclass(frozen=True)
class Target:
    """One answer to `--target`: the settings, and why."""

    about: str
    settings: Callable[[Form], Sequence[str]]


def _tensorrt(form: Form) -> Sequence[str]:
    doubled = ["guidance: true"] if form.wish.guided else []
    return ["exporter: tensorrt", "precision: fp16", *doubled]


def _openvino(form: Form) -> Sequence[str]:
    return ["exporter: openvino", "precision: fp16"]


def _edge(form: Form) -> Sequence[str]:
    transforms = ["linear_as_conv", *(["static_group_norm"] if form.grouped else [])]
    return ["exporter: onnx", "flavour: portable", form.fixed, f"transforms: [{', '.join(transforms)}]"]


TARGETS: Mapping[str, Target] = {
    "onnx": Target("ONNX Runtime on a processor", lambda form: ["exporter: onnx"]),
    "ort": Target("ONNX Runtime's own format, for small builds of it", lambda form: ["exporter: ort"]),
    "tensorrt": Target("halves; what must stay exact is float32, by role", _tensorrt),
    "openvino": Target("halves as weights; the processor decides what it computes in", _openvino),
    "edge": Target("fixed sizes and the operators that converters for devices know", _edge),
    "executorch": Target("fixed sizes", lambda form: ["exporter: executorch", form.fixed]),
    "torch_export": Target(
        "a program that PyTorch loads without this package", lambda form: ["exporter: torch_export"]
    ),
}


def lines(forms: Sequence[Form]) -> tuple[Line, ...]:
    """`targets` for what was asked for, one for each half of an autoencoder; nothing where nobody asked."""
    name = forms[0].wish.target
    if not name and not forms[0].half:
        return ()
    target = TARGETS[name or "onnx"]
    found = [line("targets:", target.about)]
    for form in forms:
        settings = [*target.settings(form), *([f"outputs: [{form.output}]"] if form.output else [])]
        found += _entry(form.half or name, settings)
    return tuple(found)


def _entry(name: str, settings: Sequence[str]) -> tuple[Line, ...]:
    """One target, in a line where it fits."""
    flow = line(f"  {name}: {{{', '.join(settings)}}}")
    if len(flow.text) <= WIDTH:
        return (flow,)
    return line(f"  {name}:"), *(line(f"    {each}") for each in settings)
