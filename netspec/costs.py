"""The vocabulary of costs: what one layer of each basic kind adds. Components add these up; no torch.

`count` arguments are how many times the layer is applied: samples x positions (`out.batch.opt * out.positions`).
"""

from __future__ import annotations

from typing import NamedTuple

from netspec.tensors import TensorType


class Cost(NamedTuple):
    """What a part costs: trained parameters, fixed numbers it carries (position tables, running statistics), and
    multiply-accumulates of its convolutions and matrix products at `opt`, the whole batch.

    A sweep makes hundreds for each network: a tuple takes half the time of a frozen dataclass.
    """

    params: int = 0
    frozen: int = 0
    macs: int = 0

    @property
    def gflops(self) -> float:
        """Billions of operations: two for each multiply-accumulate."""
        return 2 * self.macs / 1e9

    def __add__(self, other: Cost) -> Cost:  # type: ignore[override]  # a sum, no longer tuple
        return Cost(self.params + other.params, self.frozen + other.frozen, self.macs + other.macs)

    def __mul__(self, times: int) -> Cost:  # type: ignore[override]  # likewise
        return Cost(self.params * times, self.frozen * times, self.macs * times)


def linear(inputs: int, outputs: int, *, count: int, bias: bool = True) -> Cost:
    """A fully connected layer applied `count` times."""
    return Cost(params=inputs * outputs + outputs * bias, macs=inputs * outputs * count)


def conv(channels: int, out: TensorType, *, kernel: int, bias: bool = True, groups: int = 1) -> Cost:
    """A square convolution from `channels` to `out`."""
    weights = channels // groups * out.channels * kernel ** len(out.sizes)
    return Cost(params=weights + out.channels * bias, macs=weights * applied(out))


def transposed_conv(x: TensorType, out: TensorType, *, kernel: int) -> Cost:
    """A transposed convolution with bias: every input pixel is multiplied by the whole kernel."""
    weights = x.channels * out.channels * kernel ** len(x.sizes)
    return Cost(params=weights + out.channels, macs=weights * applied(x))


def embedding(rows: int, width: int) -> Cost:
    """A table that is looked up."""
    return Cost(params=rows * width)


def affine(channels: int, *, bias: bool = True) -> Cost:
    """A norm's learned gain and bias."""
    return Cost(params=channels * (1 + bias))


def attention(queries: int, keys: int, width: int, *, batch: int) -> Cost:
    """q kᵀ and the weighted sum of v, `width` being heads x head width."""
    return Cost(macs=2 * queries * keys * width * batch)


def applied(out: TensorType) -> int:
    """How many vectors of channels a tensor holds: samples x positions."""
    return out.batch.opt * out.positions
