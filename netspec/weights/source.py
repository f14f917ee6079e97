"""The network's part of a checkpoint: its tensors under its own names, whatever stands before and beside them.

Nothing here knows the wrappers of the world. A layout says which keys a network has; wherever most of them stand below
one common start, be it `""`, `module.`, `state_dict.model.diffusion_model.` or `first_stage_model.`, there is the
network. A start with the word `ema` in it holds an average of the weights.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from netspec.errors import Diagnostic, WeightsError
from netspec.weights.checkpoint import Checkpoint
from netspec.weights.header import DTYPE_BITS, TensorInfo

_AVERAGE = re.compile(r"(?:^|[._])ema(?:[._]|$)")
_UNDOTTED = "model_ema."  # latent diffusion keeps averages below it, under names without dots
_ENOUGH = 0.4  # of the keys that the best start has: another copy of the same network, if of its parameters alone


@dataclass(frozen=True)
class Source(Mapping[str, Tensor]):
    """Tensors by name, with dtypes and shapes known before any is read. `label` names it in messages."""

    label: str
    infos: Mapping[str, TensorInfo]
    fetch: Callable[[str], Tensor]  # by the name that the info has
    prefix: str = ""  # what stands before each name in the file
    averaged: bool = False  # these are the average
    average: str = ""  # where an average lies in the file
    aside: Mapping[str, int] = field(default_factory=dict)  # tensors of others, by the start of their names

    def __getitem__(self, key: str) -> Tensor:
        return self.fetch(self.infos[key].name)

    def __contains__(self, key: object) -> bool:
        return key in self.infos  # a mapping's own way is to fetch it

    def __iter__(self) -> Iterator[str]:
        return iter(self.infos)

    def __len__(self) -> int:
        return len(self.infos)

    def without(self, parts: tuple[str, ...]) -> Source:
        """Leave aside what begins so: parts that the file has and the network does without."""
        if not any(key.startswith(parts) for key in self.infos):
            return self
        others = Counter(f"{self.prefix}{key.partition('.')[0]}" for key in self.infos if key.startswith(parts))
        infos = {key: info for key, info in self.infos.items() if not key.startswith(parts)}
        return replace(self, infos=infos, aside={**self.aside, **others})

    def remarks(self) -> Iterator[str]:
        """What a user wants to know of how the file was read; nothing where it holds the network and no more."""
        if self.averaged:
            yield f"these are averaged weights (EMA), from `{self.average}`"
        elif self.average:
            yield f"these are the raw weights; averages (EMA) are below `{self.average}`: --ema takes them"
        if self.prefix:
            yield f"the network is below `{self.prefix}`"
        if self.aside:
            parts = [f"{start} {count:,}" for start, count in sorted(self.aside.items(), key=lambda each: -each[1])]
            more = [f"{len(parts) - 6} more"] if len(parts) > 6 else []
            yield f"left aside: {sum(self.aside.values()):,} tensors ({', '.join([*parts[:6], *more])})"


def network(checkpoint: Checkpoint, keys: Collection[str], *, ema: bool = False) -> Source:
    """The part of a checkpoint that has the most of `keys`; the raw weights, or with `ema` their average.

    Where only an average is there, it is taken. Raises WeightsError NS622 where `ema` asks for one that is not there.
    """
    counts = starts(checkpoint.infos, keys)
    least = _ENOUGH * max(counts.values(), default=0)
    copies = sorted((start for start in counts if counts[start] >= least), key=lambda each: (-counts[each], len(each)))
    averages = [start for start in copies if _AVERAGE.search(start)]
    raw = [start for start in copies if start not in averages]
    prefix = next(iter(raw or averages), "")
    infos = _below(checkpoint, prefix)
    average, averaged = (
        (averages[0], _below(checkpoint, averages[0])) if averages else _undotted(checkpoint, prefix, infos)
    )
    others = tuple(start for start in {*copies, average} if start.startswith(prefix) and start != prefix)
    infos = {key: info for key, info in infos.items() if not others or not info.name.startswith(others)}
    if ema and not average:
        raise WeightsError(
            Diagnostic(
                "NS622",
                f"{checkpoint.label} holds no averaged weights (EMA)",
                help=("a file that holds nothing but an average is read without --ema",),
            )
        )
    take = bool(average) and (ema or not raw)
    if take:  # what is not averaged, such as a count of steps, is that of the raw weights
        infos = {**infos, **{key: info for key, info in averaged.items() if key in infos or not raw}}
    aside = _aside(checkpoint, {info.name for info in infos.values()}, prefix)
    return Source(checkpoint.label, infos, checkpoint.fetch, prefix, take, average, aside)


def starts(names: Collection[str], keys: Collection[str]) -> Counter[str]:
    """How many of `keys` stand below each start: `module.` for `module.stem.weight`. `""` is a start as well."""
    known = frozenset(keys)
    found: Counter[str] = Counter()
    for name in names:
        end = 0
        while True:
            if name[end:] in known:
                found[name[:end]] += 1
            if not (end := name.find(".", end) + 1):
                break
    return found


def _below(checkpoint: Checkpoint, prefix: str) -> dict[str, TensorInfo]:
    return {name[len(prefix) :]: info for name, info in checkpoint.infos.items() if name.startswith(prefix)}


def _undotted(
    checkpoint: Checkpoint, prefix: str, infos: Mapping[str, TensorInfo]
) -> tuple[str, Mapping[str, TensorInfo]]:
    """Where latent diffusion's average lies, and what it has for our keys: `diffusion_modeltime_embed0weight`.

    It counts names from the module that it averages, so how much of the prefix they keep is tried out.
    """
    start = next((name[: name.index(_UNDOTTED)] + _UNDOTTED for name in checkpoint.infos if _UNDOTTED in name), "")
    if not start:
        return "", {}
    flat = _below(checkpoint, start)
    parts = [part for part in prefix.split(".") if part]
    for count in range(len(parts) + 1):
        kept = "".join(parts[count:])
        found = {key: flat[name] for key in infos if (name := kept + key.replace(".", "")) in flat}
        if 2 * len(found) > len(infos):
            return start, found
    return "", {}


def _aside(checkpoint: Checkpoint, used: Collection[str], prefix: str) -> Mapping[str, int]:
    """How many tensors are of others, by the first word of their names that the network's do not share."""
    shared = prefix.split(".")[:-1]
    found: Counter[str] = Counter()
    for name in checkpoint.infos:
        if name not in used:
            parts = name.split(".")
            same = next((i for i, word in enumerate(shared) if parts[i : i + 1] != [word]), len(shared))
            found[".".join(parts[: same + 1])] += 1
    return dict(found)


def is_float(info: TensorInfo) -> bool:
    """Whether the tensor holds floating-point numbers."""
    return info.dtype in DTYPE_BITS and info.dtype.startswith(("F", "BF"))
