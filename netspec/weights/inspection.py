"""inspect(): what is in a file of weights? Its form, its layout, and the shipped network that it fits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from netspec import api, shipped
from netspec.embedded import SPEC_KEY
from netspec.errors import WeightsError
from netspec.plan import Plan
from netspec.weights.checkpoint import Checkpoint, Weights, open_checkpoint
from netspec.weights.header import TensorInfo
from netspec.weights.layouts import OWN
from netspec.weights.mismatch import report
from netspec.weights.recognise import Found, Reading, recognise, signs_in

MAX_TRIED = 24  # shipped networks that are compared tensor by tensor: those of the nearest sizes
SAME_SIZE = 0.02  # two networks that fit one file differ by computed tables at most, which it need not hold
MAX_CLOSEST = 3  # that are named where none fits


@dataclass(frozen=True)
class Network:
    """One network that a shipped spec describes."""

    spec: str
    variant: str | None
    plan: Plan

    def __str__(self) -> str:
        return self.spec + (f" --variant {self.variant}" if self.variant else "")

    @property
    def elements(self) -> int:
        return self.plan.cost.params + self.plan.cost.frozen


@dataclass(frozen=True)
class Match:
    """A shipped network and how the file is read for it."""

    network: Network
    reading: Reading

    @property
    def near(self) -> bool:
        """Whether the file is more this network than not."""
        return 2 * self.reading.fit.matched > len(self.reading.source)

    def data(self) -> dict[str, Any]:
        """As plain data: the network, and in a few lines what differs."""
        return {
            "spec": str(self.network),
            "wrong_tensors": self.reading.fit.problems,
            "differences": list(report(self.reading)),
        }


@dataclass(frozen=True)
class Inspection:
    """What a file of weights is. `infos` are the tensors of the network's part, or of all where none was recognised."""

    checkpoint: Checkpoint
    infos: Mapping[str, TensorInfo]
    layout: str = ""
    family: str = ""
    embedded: str = ""  # the name of the network whose spec the file holds
    fits: tuple[str, ...] = ()
    closest: tuple[Match, ...] = ()
    remarks: tuple[str, ...] = ()
    others: tuple[str, ...] = ()  # further networks in the same file

    @property
    def numbers(self) -> Mapping[str, int]:
        """How many elements the tensors have, by dtype."""
        counts = Counter[str]()
        for info in self.infos.values():
            counts[info.dtype] += math.prod(info.shape)
        return dict(counts.most_common())

    @property
    def bytes(self) -> int:
        """Of the files."""
        return sum(path.stat().st_size for path in self.checkpoint.files)

    def data(self) -> dict[str, Any]:
        """As plain data, for `--format json`."""
        return {
            "file": self.checkpoint.label,
            "format": self.checkpoint.kind,
            "bytes": self.bytes,
            "layout": self.layout or None,
            "family": self.family or None,
            "tensors": len(self.infos),
            "parameters": sum(self.numbers.values()),
            "dtypes": dict(self.numbers),
            "embedded_spec": self.embedded or None,
            "fits": list(self.fits),
            "closest": [match.data() for match in self.closest],
            "others": list(self.others),
            "remarks": list(self.remarks),
        }


def inspect(weights: Weights) -> Inspection:
    """What a file, an index of shards or a folder of weights holds. Of safetensors only headers are read.

    Raises WeightsError as `open_checkpoint`, SpecError where a file of ours holds a spec that is wrong.
    """
    checkpoint = open_checkpoint(weights)
    if SPEC_KEY in checkpoint.metadata:
        return _ours(checkpoint)
    found = signs_in(checkpoint)
    matches = shipped_matches(checkpoint, found)
    first, *others = parts(matches) or [[]]
    if not first and not found:
        return Inspection(checkpoint, checkpoint.infos)
    if not first or not first[0].near:  # keys of a layout, and no shipped network like this
        sign = found[0]
        infos = {name: info for name, info in checkpoint.infos.items() if name.startswith(sign.start)}
        return Inspection(checkpoint, infos, sign.layout, sign.family)
    reading, family = first[0].reading, first[0].network.plan.spec.family.name
    return Inspection(
        checkpoint,
        reading.source.infos,
        reading.layout.name,
        family,
        fits=tuple(str(match.network) for match in first if match.reading.fit.fits),
        closest=() if reading.fit.fits else tuple(match for match in first[:MAX_CLOSEST] if match.near),
        remarks=tuple(reading.remarks())[1:],  # the layout has a line of its own
        others=tuple(_described(match) for match, *_ in others if match.near),
    )


def _ours(checkpoint: Checkpoint) -> Inspection:
    spec = api.loads(checkpoint.metadata[SPEC_KEY], name=checkpoint.label)
    reading = recognise(checkpoint, api.lower(spec), OWN)
    wrong = () if reading.fit.fits else ("its tensors are not those of the spec that it holds",)
    return Inspection(checkpoint, checkpoint.infos, OWN, spec.family.name, embedded=spec.name, remarks=wrong)


def _described(match: Match) -> str:
    """`autoencoder/kl_f8 in layout kl, below first_stage_model.`"""
    reading = match.reading
    nearly = "" if reading.fit.fits else "nearly "
    return f"{nearly}{match.network} in layout `{reading.layout.name}`, below `{reading.source.prefix}`"


def parts(matches: Sequence[Match]) -> list[list[Match]]:
    """The matches of each network in a file, which has more than one where an autoencoder lies beside a denoiser."""
    found: dict[str, list[Match]] = {}
    for match in matches:
        found.setdefault(match.reading.source.prefix, []).append(match)
    return list(found.values())


def shipped_matches(checkpoint: Checkpoint, found: Sequence[Found]) -> list[Match]:
    """The shipped networks of the families that the keys speak of, the best fit first."""
    sizes = {(each.family, _elements(checkpoint, each.start)) for each in found}
    near = []
    for network in networks():
        own = [size for family, size in sizes if family == network.plan.spec.family.name and size]
        if own:
            near.append((min(abs(math.log(size / network.elements)) for size in own), network))
    near.sort(key=lambda each: each[0])
    matches: list[Match] = []
    fitting = math.inf
    for distance, network in near[:MAX_TRIED]:
        if distance > fitting + SAME_SIZE:
            break
        try:
            matches.append(Match(network, recognise(checkpoint, network.plan)))
        except WeightsError:  # no layout of these keys holds this network
            continue
        if matches[-1].reading.fit.fits:
            fitting = min(fitting, distance)
    return sorted(matches, key=lambda each: each.reading.fit.rank, reverse=True)


def _elements(checkpoint: Checkpoint, start: str) -> int:
    return sum(math.prod(info.shape) for name, info in checkpoint.infos.items() if name.startswith(start))


@cache
def networks() -> tuple[Network, ...]:
    """Every network that the shipped specs describe, variants included."""
    found = []
    for name in shipped.names():
        path = shipped.find(name)
        assert path is not None  # it is one of the names
        spec = api.load(path)
        for variant in (None, *spec.variants):
            loaded = spec if variant is None else api.load(path, variant=variant)
            found.append(Network(name, variant, api.lower(loaded)))
    return tuple(found)
