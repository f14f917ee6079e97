"""Does a checkpoint hold this network in this layout? The comparison of two lists of names and shapes, and no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from netspec.weights.header import TensorInfo
from netspec.weights.layouts import Entry
from netspec.weights.layouts.transforms import Shape
from netspec.weights.source import is_float


@dataclass(frozen=True)
class Misfit:
    """One tensor that is not as the network needs it. `found` and `expected` are shapes, or a dtype and nothing."""

    entry: Entry
    name: str
    found: Shape = ()
    expected: Shape = ()


@dataclass
class Fit:
    """What came of the comparison. `fits` where nothing is wrong."""

    missing: list[Misfit] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    shapes: list[Misfit] = field(default_factory=list)
    dtypes: list[Misfit] = field(default_factory=list)
    matched: int = 0  # tensors that are as they have to be
    exact: int = 0  # of them, those in the very form that the layout would write

    @property
    def problems(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.shapes) + len(self.dtypes)

    @property
    def fits(self) -> bool:
        return not self.problems

    @property
    def rank(self) -> tuple[bool, int, int, int]:
        """Larger is better."""
        return (self.fits, self.matched - self.problems, self.matched, self.exact)


def compare(infos: Mapping[str, TensorInfo], entries: Sequence[Entry]) -> Fit:
    """Every tensor of `infos` against every tensor that the entries read."""
    fit = Fit()
    used: set[str] = set()
    names = infos.keys()
    for entry in entries:
        keys = entry.named_in(names)
        used.update(keys)
        for name, expected in zip(keys, entry.foreign_shapes, strict=True):
            _one(fit, entry, name, infos.get(name), expected)
    fit.unexpected = [name for name in infos if name not in used]
    return fit


def _one(fit: Fit, entry: Entry, name: str, info: TensorInfo | None, expected: Shape) -> None:
    if info is None:
        fit.missing.append(Misfit(entry, name))
    elif not entry.transform.fits(info.shape, expected):
        fit.shapes.append(Misfit(entry, name, info.shape, expected))
    elif not is_float(info) and not name.endswith("num_batches_tracked"):
        fit.dtypes.append(Misfit(entry, name))
    else:
        fit.matched += 1
        fit.exact += info.shape == expected


def keys_of(entries: Iterable[Entry]) -> list[str]:
    """Every foreign key of the entries, older names included."""
    return [key for entry in entries for key in (*entry.foreign, *entry.formerly)]
