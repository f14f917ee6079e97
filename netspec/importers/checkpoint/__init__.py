"""Bare checkpoints: names and shapes of tensors → the settings of the network that has just those.

A **kind** of file is known by a few telling names (`signs`); it works out settings in the words of the program whose
files these are, and that program's importer does the rest. What shapes do not tell is asked (`Ask`). At the end the
network has to have as many numbers as the file.
"""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from netspec.embedded import SPEC_KEY
from netspec.errors import Diagnostic, ForeignError
from netspec.importers import Draft, Importer, Options, importers, load_modules
from netspec.importers.drafts import lowered
from netspec.importers.foreign import Config
from netspec.weights.header import read_header

Shape: TypeAlias = tuple[int, ...]


class Shapes(Mapping[str, Shape]):
    """The tensors of one network in a file, by name."""

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self._shapes = shapes

    def __getitem__(self, name: str) -> Shape:
        return self._shapes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def below(self, prefix: str) -> Shapes:
        """Those whose names begin so, without it."""
        return Shapes({name[len(prefix) :]: shape for name, shape in self.items() if name.startswith(prefix)})

    def numbered(self, prefix: str) -> list[Shapes]:
        """What stands below `prefix` 0, 1, 2 and so on, as far as they go."""
        groups: dict[int, dict[str, Shape]] = {}
        pattern = re.compile(re.escape(prefix) + r"(\d+)\.(.*)")
        for name, shape in self.items():
            if found := pattern.fullmatch(name):
                groups.setdefault(int(found[1]), {})[found[2]] = shape
        return [Shapes(groups[number]) for number in range(len(groups)) if number in groups]

    def any(self, part: str) -> Shape | None:
        """The shape of a tensor whose name has this part."""
        return next((shape for name, shape in self.items() if part in name), None)

    @property
    def numbers(self) -> int:
        """How many numbers they hold."""
        return sum(math.prod(shape) for shape in self.values())


@dataclass
class Ask:
    """What shapes leave open: from the options, from what all published networks of a lineage have, or missing."""

    options: Options
    assumed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    def heads(self, widths: list[int], *, usual: Mapping[str, int] | None = None, lineage: str = "") -> list[int]:
        """The number of heads at each of the widths."""
        self.asked |= {"heads", "head_dim"}
        given = {"num_heads": self.options.heads, "head_dim": self.options.head_dim}
        rule = {key: value for key, value in given.items() if value} or dict(usual or {})
        if not rule:
            self.missing.append("--heads N or --head-dim N: how attention splits its width into heads")
            return [1] * len(widths)
        if not any(given.values()):
            key, value = next(iter(rule.items()))
            self.assumed.append(f"{key} is {value}, as in {lineage}")
        return [rule.get("num_heads") or max(1, width // rule["head_dim"]) for width in widths]

    def value(self, name: str, usual: Any, lineage: str, about: str) -> Any:
        """One option; without a usual value it has to be given."""
        self.asked.add(name)
        if (given := getattr(self.options, name)) is not None:
            return given
        if usual is None:
            self.missing.append(f"--{name} N: {about}")
            return 1
        self.assumed.append(f"{about} is {usual}, as in {lineage}")
        return usual

    @property
    def groups(self) -> int:
        """Groups of group norms: 32 in everything published."""
        self.asked.add("groups")
        return self.options.groups or 32

    def finish(self) -> None:
        """Raises ForeignError NS644 where something is missing."""
        if self.missing:
            message = "the shapes of a checkpoint do not tell everything about its network"
            raise ForeignError(Diagnostic("NS644", message, help=tuple(f"add {each}" for each in self.missing)))


class Kind:
    """One kind of network in one program's files. A subclass with `part=` registers itself.

    `signs` are names that every file of the kind has, `unlike` names that files of another kind have besides; `part`
    is what the kind makes. `beside` are the beginnings of names that files have and networks do without.
    """

    part: ClassVar[str]
    signs: ClassVar[tuple[str, ...]]
    unlike: ClassVar[tuple[str, ...]] = ()
    words: ClassVar[str]  # whose files these are
    beside: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, *, part: str) -> None:
        cls.part = part
        _KINDS.append(cls)

    @classmethod
    @abstractmethod
    def draft(cls, shapes: Shapes, ask: Ask) -> Draft:
        """The spec of the network that has these tensors."""

    @classmethod
    def numbers(cls, shapes: Shapes) -> int:
        """How many numbers the network has by the file; those of `beside` and copies not counted."""
        return Shapes({name: shape for name, shape in shapes.items() if not name.startswith(cls.beside)}).numbers


_KINDS: list[type[Kind]] = []


@cache
def kinds() -> tuple[type[Kind], ...]:
    """Every kind of file."""
    load_modules(__path__, __name__)
    return tuple(_KINDS)


def read(path: Path, options: Options) -> tuple[Draft, str]:
    """The network of a checkpoint, or the `part` of it that is asked for.

    Raises ForeignError: NS640 for a file without a network that is known here, NS644 where shapes do not tell enough,
    NS645 where they contradict each other. WeightsError where the file cannot be read.
    """
    shapes = _shapes(path)
    found = {kind.part: (kind, start) for kind in reversed(kinds()) for start in _starts(shapes, kind)}
    if not found or (options.part and options.part not in found):
        raise ForeignError(_none(path, shapes, list(found)))
    part = options.part or min(found, key=lambda name: name == "autoencoder")
    kind, start = found[part]
    ask, inside = Ask(options), Shapes(shapes).below(start)
    try:
        draft = kind.draft(inside, ask)
    except KeyError as error:
        raise ForeignError(_contradiction(path, kind, f"there is no `{start}{error.args[0]}`")) from error
    except (ArithmeticError, IndexError, TypeError, ValueError) as error:
        raise ForeignError(_contradiction(path, kind, "its tensors have shapes of another kind")) from error
    ask.finish()
    others = [f"`--part {name}` is the {name}" for name in found if name != part]
    if others and not options.part:
        ask.assumed.append(f"the {part} is meant; {' and '.join(others)}")
    cost, held = lowered(draft, f"{path.name} ({kind.words})").cost, kind.numbers(inside)
    if held not in (cost.params, cost.params + cost.frozen):
        raise ForeignError(_contradiction(path, kind, f"it holds {held:,} numbers, such a network has {cost.params:,}"))
    draft = replace(draft, assumed=(*draft.assumed, *ask.assumed), options=draft.options | ask.asked | {"part"})
    return draft, f"{path.name} ({kind.words})"


def made(program: str, cls: str, settings: Mapping[str, Any], options: Options) -> Draft:
    """The draft of a class with these settings."""
    importer: type[Importer] = importers()[f"{program} {cls}"]
    return importer.to_spec(Config.of(settings, importer.defaults), options)


def _shapes(path: Path) -> Mapping[str, Shape]:
    """Names and shapes; of a safetensors file its header is enough."""
    if path.suffix == ".safetensors":
        return {info.name: info.shape for info in read_header(path).tensors}
    from netspec.weights.checkpoint import open_checkpoint  # imports torch

    return {name: info.shape for name, info in open_checkpoint(path).infos.items()}


def _starts(shapes: Mapping[str, Shape], kind: type[Kind]) -> list[str]:
    """What stands before the names of a network of this kind, if one is there: the shortest, and no average."""
    first, *rest = kind.signs
    starts = [name.removesuffix(first) for name in shapes if name.endswith(first)]
    whole = [
        start
        for start in starts
        if all(f"{start}{each}" in shapes for each in rest)
        and not any(f"{start}{each}" in shapes for each in kind.unlike)
        if not start or start.endswith(".")
    ]
    return sorted(whole, key=lambda start: ("ema" in start, len(start)))[:1]


def _none(path: Path, shapes: Mapping[str, Shape], found: list[str]) -> Diagnostic:
    if found:
        return Diagnostic("NS640", f"{path} has no such part", help=(f"it has: {', '.join(found)}",))
    if path.suffix == ".safetensors" and SPEC_KEY in read_header(path).metadata:
        help = f"every command reads it: `netspec show {path}`, `netspec resolve {path}`"
        return Diagnostic("NS640", f"{path} holds its spec already", help=(help,))
    if 2 * sum("lora" in name.lower() for name in shapes) > len(shapes):
        help = "import the network that they change, and write them into its weights first"
        return Diagnostic("NS640", f"{path} holds changes to a network (LoRA), not a network", help=(help,))
    words = sorted({kind.words for kind in kinds()})
    return Diagnostic("NS640", f"{path} holds no network that netspec knows", help=(f"known are {', '.join(words)}",))


def _contradiction(path: Path, kind: type[Kind], what: str) -> Diagnostic:
    help = "import the settings that came with the file, or write the spec by hand"
    return Diagnostic("NS645", f"{path} looks like {kind.words}, but {what}", help=(help,))
