"""aligned(): which row of one list is which row of another, so that few changes explain the difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Pair = tuple[int | None, int | None]  # rows of the two lists; None where the other has no such row

_ABSENT = 5  # the price of a row that only one list has, where each change of a row costs 2
_MOST = 8  # of two rows that have nothing in common


def aligned(count: int, other: int, distance: Callable[[int, int], int], *, flipped: bool = False) -> Sequence[Pair]:
    """Pairs of rows in order. `distance` counts the changes from a row of the first list to one of the second.

    The cheapest way from one list to the other, Needleman & Wunsch 1970; of equally cheap ones, that which keeps the
    first rows together. `flipped` lets the second list decide among the rest, so that both directions agree.
    """
    if flipped:
        return [(i, j) for j, i in aligned(other, count, lambda j, i: distance(i, j))]
    change = [[min(2 * distance(i, j), _MOST) for j in range(other)] for i in range(count)]
    cost = [[_ABSENT * (i + j) for j in range(other + 1)] for i in range(count + 1)]
    for i in range(1, count + 1):
        for j in range(1, other + 1):
            along = cost[i - 1][j - 1] + change[i - 1][j - 1]
            cost[i][j] = min(along, cost[i - 1][j] + _ABSENT, cost[i][j - 1] + _ABSENT)
    pairs: list[Pair] = []
    i, j = count, other
    while i or j:
        if i and cost[i][j] == cost[i - 1][j] + _ABSENT:
            i -= 1
            pairs.append((i, None))
        elif j and cost[i][j] == cost[i][j - 1] + _ABSENT:
            j -= 1
            pairs.append((None, j))
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs[::-1]
