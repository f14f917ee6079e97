"""Checks of a plan's sizes: that they divide at every resolution, and that the output is what the spec says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from math import lcm

from netspec.errors import Diagnostic, Span, SpecPath, path_text
from netspec.plan import Node, Value
from netspec.resample import Pool, Upsample
from netspec.spec import Input, Spec
from netspec.tensors import Number, Point, Size
from netspec.wiring.patch import Patchify

POINTS: tuple[Point, ...] = ("min", "opt", "max")


def indivisible(spec: Spec, nodes: Sequence[Node]) -> Iterator[Diagnostic]:
    """NS301 for every size of an image input that some node cannot divide, or of which nothing is left."""
    mains = spec.family.mains(spec, {})
    claimed: set[str] = set()  # nodes of an earlier image: one that is brought to its size is not at fault as well
    told: set[int | str] = set()
    for name in [*mains, *(name for name in spec.inputs if name not in mains)]:
        shape = spec.inputs[name].shape
        if len(shape) < 4:
            continue
        reached = [node for node in _reached(name, nodes) if node.name not in claimed]
        claimed.update(node.name for node in reached)
        for word in dict.fromkeys(shape[2:]):
            if word not in told:
                yield from _axis(spec, name, shape.index(word, 2) - 2, word, reached)
        told.update(word for word in shape if isinstance(word, str))


def _reached(name: str, nodes: Sequence[Node]) -> list[Node]:
    """The image nodes that depend on an input."""
    names, found = {name}, []
    for node in nodes:
        if any(value.name in names for value in node.inputs):
            names.add(node.name)
            found.append(node)
    return [node for node in found if node.out.layout == "image"]


def _axis(spec: Spec, name: str, axis: int, word: int | str, nodes: Sequence[Node]) -> Iterator[Diagnostic]:
    of_word = (node.out.sizes[axis] for node in nodes if len(node.out.sizes) > axis)
    sizes = [size for size in of_word if (size.fixed if isinstance(word, int) else word in size.words)]
    broken = next((size for size in sizes if not size.whole), None)
    if broken is None:
        return
    same = (not broken.fixed and all(size.offset == 0 for size in sizes)) or _shrinks_only(sizes)
    points = {_span(spec, name, axis, word, point): point for point in POINTS}
    for span, point in points.items():
        index = POINTS.index(point)
        values = [size.values[index] for size in sizes]
        if all(map(_good, values)):
            continue
        start = sizes[0].values[index] if not isinstance(word, int) else word
        given = getattr(spec.dims[word], point) if isinstance(word, str) else start
        subject = word if isinstance(word, str) else ("height", "width", "depth")[axis]
        if same and not all(value == int(value) for value in values):
            yield _not_divisible(subject, given, _multiple(sizes, spec, name, axis), nodes, span)
        else:
            yield _chain_breaks(subject, given, values, _valid(nodes), span)


def _good(value: int | Fraction) -> bool:
    return value == int(value) and value > 0


def _shrinks_only(sizes: Sequence[Size]) -> bool:
    """Whether a fixed size is only ever scaled, never cut by valid convolutions."""
    values = [size.values[1] for size in sizes]
    return all(_scaled(Fraction(a), Fraction(b)) for a, b in pairwise(values))


def _scaled(a: Fraction, b: Fraction) -> bool:
    return a == b or (a != 0 and b != 0 and 1 in ((a / b).denominator, (b / a).denominator))


def _multiple(sizes: Sequence[Size], spec: Spec, name: str, axis: int) -> int:
    """What the input's size must be a multiple of."""
    word = spec.inputs[name].shape[2 + axis]
    start = Fraction(spec.size(word).values[1])
    return lcm(*(int(max(Fraction(1), start / size.values[1])) for size in sizes))


def _not_divisible(subject: str, given: object, multiple: int, nodes: Sequence[Node], span: Span) -> Diagnostic:
    assert isinstance(given, int)
    patches = [node.component.patch_size for node in nodes if isinstance(node.component, Patchify)]
    times = multiple.bit_length() - 1
    if patches:
        message = f"{subject} = {given} does not cut into patches of {patches[0]}"
        label = f"must be a multiple of {multiple}"
    else:
        message = f"{subject} = {given} cannot be halved {times} time{'s' if times > 1 else ''}"
        label = f"must be a multiple of {multiple} (2^{times}: {times + 1} levels)"
    below, above = given // multiple * multiple, (given // multiple + 1) * multiple
    nearest = f"{below} or {above}" if below else str(above)
    help = (f"nearest valid: {nearest}", *_rounding(nodes))
    return Diagnostic("NS301", message, span, label, help=help, path=f"dims.{subject}")


def _rounding(nodes: Sequence[Node]) -> Iterator[str]:
    """How a network that pools takes odd sizes."""
    for pool in dict.fromkeys(node.component.name for node in nodes if isinstance(node.component, Pool)):
        yield f"or round down: `downsample: {{type: {pool}, odd: floor}}` with `skip: {{pad: center}}`"


def _chain_breaks(subject: str, given: object, values: Sequence[Number], valid: bool, span: Span) -> Diagnostic:
    end = next(i for i, value in enumerate(values) if not _good(value))
    chain = _runs([given, *values[: end + 1]])
    last, before = values[end], chain[-2]
    reason = f"{before} cannot be halved" if last > 0 else f"nothing is left after {before}"
    return Diagnostic(
        "NS301",
        f"{subject} = {given} does not fit the valid convolutions" if valid else f"{subject} = {given} is too small",
        span,
        reason,
        notes=(" -> ".join(_number(value) for value in chain),),
        path=subject,
    )


def _number(value: object) -> str:
    return f"{float(value):g}" if isinstance(value, Fraction) else str(value)


def _runs(values: Sequence[object]) -> list[object]:
    """The values without repetitions in a row."""
    return [value for i, value in enumerate(values) if i == 0 or value != values[i - 1]]


def _span(spec: Spec, name: str, axis: int, word: int | str, point: Point) -> Span:
    path: SpecPath = ("dims", word, point) if isinstance(word, str) else ("inputs", name, 2 + axis)
    if isinstance(word, int) and isinstance(spec.inputs[name].dtype, str) and spec.inputs[name].dtype:
        path = ("inputs", name, "shape", 2 + axis)
    return spec.place(path).value


def mismatch(spec: Spec, name: str, output: Input, made: Value, nodes: Sequence[Node]) -> Iterator[Diagnostic]:
    """NS304 where the output's sizes are not those that the spec states."""
    said = tuple(spec.size(word) for word in output.shape)
    got = made.type.shape
    path: SpecPath = ("output",) if spec.place(("output",)).key else ("outputs", name)
    what = "output" if len(spec.outputs) == 1 else f"`{name}`"
    if len(said) != len(got):
        yield Diagnostic(
            "NS304",
            f"{what} is {made.type}, the spec says {output}",
            spec.place(path).value,
            f"the network gives {len(got)} sizes",
            path=path_text(path),
        )
        return
    for axis in range(2, len(got)) if len(got) > 3 else (1,):
        if _differs(said[axis], got[axis]):
            label = f"the network gives {got[axis]}"
            if any(size.offset for node in nodes for size in node.out.sizes if not size.fixed) or _valid(nodes):
                label = f"valid convolutions give {got[axis]}"
            yield Diagnostic(
                "NS304",
                f"{what} is {_grid(got)}, the spec says {_grid(said)}",
                spec.place((*path, axis)).value,
                label,
                notes=(chain(spec, nodes),) if _valid(nodes) else (),
                path=path_text((*path, axis)),
            )
            return
    if _differs(said[0], got[0]):
        yield Diagnostic(
            "NS304",
            f"{what}'s first size is {got[0]}, the spec says {said[0]}",
            spec.place((*path, 0)).value,
            "the batch of the image",
            path=path_text((*path, 0)),
        )


def _differs(said: Size, got: Size) -> bool:
    """Whether two sizes are not the same: in their ranges, or as words, `[…, width, height]` for height and width."""
    return said.values != got.values or bool(said.linear and got.linear and said.words != got.words)


def _valid(nodes: Sequence[Node]) -> bool:
    """Whether some convolution cuts its input's margins."""
    return any(getattr(node.component, "padding", "") == "valid" for node in nodes)


def _grid(shape: Sequence[Size]) -> str:
    grid = shape[2:] if len(shape) > 3 else shape[1:2]
    return ("x" if all(size.fixed for size in grid) else " x ").join(str(size) for size in grid)


def chain(spec: Spec, nodes: Sequence[Node]) -> str:
    """The heights that the image runs through, one for each stage's blocks and each halving."""
    images = [node for node in nodes if node.out.layout == "image"]
    values: list[object] = [images[0].inputs[0].type.sizes[0].values[1]]
    for node, after in zip(images, [*images[1:], None], strict=True):
        inside = after is not None and after.stage == node.stage and after.component.kind == node.component.kind
        if not inside and not isinstance(node.component, Upsample) and node.component.kind != "wiring":
            values.append(node.out.sizes[0].values[1])
    return " -> ".join(_number(value) for value in _runs(values))
