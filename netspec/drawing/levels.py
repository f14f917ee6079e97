"""The layout of networks in levels: what goes down stands left, what comes up right, each level in a row.

A stage takes part by its name, which is the family's to give: `down 0`, `up 0` … with what stands before and after
them, and what stands between the last `down` and the first `up` at the bottom. Halves that are not connected, such as
`encoder down 0` and `decoder up 0`, stand side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netspec.drawing.cards import Cards
from netspec.drawing.geometry import Card, Line, Measure, Picture, Point, Text
from netspec.drawing.scene import Box, Edge, Scene

_BETWEEN = 8.0  # cards that stand together
_OFFSET = 16.0  # of a skip that enters a card from above, from the card's corner


@dataclass(frozen=True)
class Shape:
    """Which box stands where. Rows from top to bottom, None where a side has nothing; `bottom` is in the middle."""

    rows: tuple[tuple[str | None, str | None], ...]
    bottom: tuple[str, ...] = ()


def shape(scene: Scene) -> Shape | None:
    """The rows of a network in levels; None for any other."""
    ways = [list(way) for way in scene.trunks]
    if len(ways) == 1:
        return _single(scene, ways[0])
    if len(ways) == 2 and not {*ways[0]} & {*ways[1]}:
        down, up = ways if _sense(scene, ways[0]) == "down" else ways[::-1]
        if (_sense(scene, down), _sense(scene, up)) == ("down", "up"):
            return Shape(_rows(scene, down, up[::-1]))
    return None


def _single(scene: Scene, way: list[str]) -> Shape | None:
    match _sense(scene, way):
        case "down" | "up":
            return Shape(tuple((box, None) for box in way))
        case "both":
            last = max(i for i, box in enumerate(way) if _level(scene, box, "down") is not None)
            first = min(i for i, box in enumerate(way) if _level(scene, box, "up") is not None)
            if last < first:
                return Shape(_rows(scene, way[: last + 1], way[first:][::-1]), tuple(way[last + 1 : first]))
    return None


def _sense(scene: Scene, way: Sequence[str]) -> str:
    """Whether a way goes down, up, both or neither, its levels in order."""
    down = [level for box in way if (level := _level(scene, box, "down")) is not None]
    up = [level for box in way if (level := _level(scene, box, "up")) is not None]
    if down != sorted(set(down)) or up != sorted(set(up), reverse=True):
        return "neither"
    return {(True, False): "down", (False, True): "up", (True, True): "both", (False, False): "neither"}[
        bool(down), bool(up)
    ]


def _level(scene: Scene, box: str, word: str) -> int | None:
    side, _, number = scene.boxes[box].title.partition(" ")
    return int(number) if side == word and number.isdecimal() else None


def _rows(scene: Scene, left: list[str], right: list[str]) -> tuple[tuple[str | None, str | None], ...]:
    """Both sides from top to bottom: levels side by side, what is above them from the bottom up, the rest downwards."""
    above_l, levels_l, below_l = _cut(scene, left, "down")
    above_r, levels_r, below_r = _cut(scene, right, "up")
    rows: list[tuple[str | None, str | None]] = []
    for i in range(max(len(above_l), len(above_r)), 0, -1):
        rows.append((above_l[-i] if i <= len(above_l) else None, above_r[-i] if i <= len(above_r) else None))
    rows += [(levels_l.get(level), levels_r.get(level)) for level in sorted({*levels_l, *levels_r})]
    for i in range(max(len(below_l), len(below_r))):
        rows.append((below_l[i] if i < len(below_l) else None, below_r[i] if i < len(below_r) else None))
    return tuple(rows)


def _cut(scene: Scene, side: list[str], word: str) -> tuple[list[str], dict[int, str], list[str]]:
    levels = {level: box for box in side if (level := _level(scene, box, word)) is not None}
    places = [side.index(box) for box in levels.values()]
    return side[: min(places)], levels, side[max(places) + 1 :]


class Levels:
    """Puts the boxes of a shape into a picture."""

    def __init__(self, scene: Scene, shape: Shape, cards: Cards, picture: Picture) -> None:
        self.scene, self.shape, self.cards, self.p, self.m = scene, shape, cards, picture, cards.m
        self.row = {box: index for index, row in enumerate(shape.rows) for box in row if box is not None}
        self.left = {row[0] for row in shape.rows if row[0] is not None}
        m: Measure = cards.m
        alone = not any(row[1] for row in shape.rows)
        apart = (m.width - 2 * m.margin - m.widest) / 2
        if not (shape.bottom or self._across()):
            apart = min(apart, max(0.75 * apart, (m.widest + 2 * m.gap) / 2))  # halves that nothing joins
        self.axes = (m.width / 2,) * 2 if alone else (m.width / 2 - apart, m.width / 2 + apart)
        stages = [scene.boxes[box].type.channels for box in (*self.row, *shape.bottom) if scene.boxes[box].nodes]
        self.most = max(stages, default=1)

    def draw(self, y: float) -> None:
        y = self._parts(self._sources(y))
        self.tops: list[float] = []
        for row in self.shape.rows:
            self.tops.append(y)
            made = [self._card(box) if box else None for box in row]
            high = max(card.rect.h for card in made if card is not None)
            for card, axis in zip(made, self.axes, strict=True):
                if card is not None:
                    tall = card if card.box.role in ("input", "output") else card.taller(high)
                    self.p.cards.append(tall.at(axis - tall.rect.w / 2, y + (high - tall.rect.h) / 2))
            y += high + self.m.gap
        for box in self.shape.bottom:
            card = self._card(box)
            self.p.cards.append(card.at(self.m.width / 2 - card.rect.w / 2, y))
            y += card.rect.h + self.m.gap
        self.p.height = y - self.m.gap
        self.place = {card.box.id: card for card in self.p.cards}
        for edge in self.scene.edges:
            if edge.kind == "flow":
                self._flow(edge)
            elif edge.kind == "skip":
                self._skip(edge)

    def _across(self) -> bool:
        """Whether anything goes from one side to the other."""
        return any(
            edge.kind != "side" and (edge.source in self.left) != (edge.target in self.left)
            for edge in self.scene.edges
        )

    def _parts(self, y: float) -> float:
        """The names of the halves above them, where there are two."""
        names = [
            next((b.part for row in self.shape.rows if (id := row[i]) and (b := self.scene.boxes[id]).part), "")
            for i in (0, 1)
        ]
        if not all(names):
            return y
        for name, axis in zip(names, self.axes, strict=True):
            self.p.texts.append(Text(axis, y + self.m.text * 0.6, name, "note", self.m.title, "middle", bold=True))
        return y + self.m.line * 1.2

    def _card(self, id: str) -> Card:
        box, m = self.scene.boxes[id], self.m
        if box.role in ("input", "output"):
            return self.cards.card(box, min(self.cards.pill(box), m.widest))
        return self.cards.card(box, m.narrowest + (m.widest - m.narrowest) * min(1.0, box.type.channels / self.most))

    def _sources(self, y: float) -> float:
        """What feeds many boxes, in the middle where the U is open, else in rows above it. Returns where to go on."""
        m, boxes = self.m, [self.scene.boxes[id] for id in self.scene.sides]
        if not boxes:
            return y
        inside = self.axes[1] - self.axes[0] - m.widest - 1.2 * m.gap
        above = sum(self.cards.card(self.scene.boxes[id], m.widest).rect.h + m.gap for id in self._above())
        wide = min(m.narrowest, inside)
        made = [self.cards.card(box, wide) for box in boxes] if inside > 150 else []
        whole = all(box.role != "input" or self.cards.pill(box) <= wide for box in boxes)
        if made and whole and sum(card.rect.h + _BETWEEN for card in made) <= above - m.gap / 2:
            top = y
            for card in made:
                self.p.cards.append(card.at(m.width / 2 - wide / 2, top))
                top += card.rect.h + _BETWEEN
            return y
        for row in self._in_rows(boxes):
            x = (m.width - sum(card.rect.w for card in row) - (len(row) - 1) * m.gap / 2) / 2
            high = max(card.rect.h for card in row)
            for card in row:
                tall = card if card.box.role == "input" else card.taller(high)
                self.p.cards.append(tall.at(x, y + (high - tall.rect.h) / 2))
                x += card.rect.w + m.gap / 2
            y += high + m.gap / 2
        return y + m.gap / 2

    def _in_rows(self, boxes: Sequence[Box]) -> list[list[Card]]:
        """Their cards in rows as wide as the picture, an input's wide enough for its name and size."""
        m, room = self.m, self.m.width - 2 * self.m.margin
        rows: list[list[Card]] = [[]]
        for box in boxes:
            wide = min(m.narrowest, (room - m.gap / 2) / 2)
            if box.role == "input":
                wide = min(max(wide, self.cards.pill(box)), room)
            if sum(card.rect.w + m.gap / 2 for card in rows[-1]) + wide > room + 0.01:
                rows.append([])
            rows[-1].append(self.cards.card(box, wide))
        return rows

    def _above(self) -> list[str]:
        """Of each row above the first level, the box that stands there."""
        rows = [[box for box in row if box is not None] for row in self.shape.rows]
        first = next(i for i, row in enumerate(rows) if any(self._leveled(box) for box in row))
        return [row[0] for row in rows[:first]]

    def _leveled(self, box: str) -> bool:
        return _level(self.scene, box, "down") is not None or _level(self.scene, box, "up") is not None

    def _flow(self, edge: Edge) -> None:
        a, b = self.place[edge.source].rect, self.place[edge.target].rect
        start, end = (edge.source in self.left, edge.target in self.left)
        points: list[Point]
        bottom = self.shape.bottom
        if abs(a.middle - b.middle) < 0.01:
            x = a.middle
            points = [(x, a.bottom), (x, b.y)] if a.y < b.y else [(x, a.y), (x, b.bottom)]
        elif edge.target in bottom:
            points = [(a.middle, a.bottom), (a.middle, b.center), (b.x, b.center)]
        elif edge.source in bottom:
            points = [(a.right, a.center), (b.middle, a.center), (b.middle, b.bottom)]
        elif self.row[edge.source] == self.row[edge.target]:
            y = a.center
            points = [(a.right, y), (b.x, y)] if start else [(a.x, y), (b.right, y)]
        elif start and not end and a.bottom > b.bottom:
            points = [(a.right, a.center), (b.middle, a.center), (b.middle, b.bottom)]
        else:
            points = [(a.middle, a.bottom), (a.middle, b.center), (b.x, b.center)]
        self._line(points, edge)

    def _skip(self, edge: Edge) -> None:
        a, b = self.place[edge.source].rect, self.place[edge.target].rect
        across = edge.source in self.left and edge.target in self.row and edge.target not in self.left
        if across and self.row[edge.source] == self.row[edge.target]:
            y = a.y + a.h * (0.25 if self._joined(edge) else 0.5)
            self._line([(a.right, y), (b.x, y)], edge)
            if len(edge.pairs) > 1 and b.x - a.right > 100:
                text = f"{len(edge.pairs)} skips"
                self.p.texts.append(Text((a.right + b.x) / 2, y - 6, text, "note", self.m.small, "middle"))
        elif across and self.row[edge.source] + 1 == self.row[edge.target] and self._goes_down(edge):
            y = self.tops[self.row[edge.target]] - self.m.gap / 2
            self._line([(a.middle, y), (b.x + _OFFSET, y), (b.x + _OFFSET, b.y)], edge, dot=True)
        else:
            self._detour(edge)

    def _detour(self, edge: Edge) -> None:
        """Out of one card's inner border, along the middle, into the other's."""
        a, b = self.place[edge.source].rect, self.place[edge.target].rect
        x = self.m.width / 2
        start = a.right if a.middle < x else a.x
        end = b.right if b.middle < x else b.x
        if min(abs(start - x), abs(end - x)) < 12 or a.middle == x or b.middle == x:
            return  # in a single column what passes a card by is told by the card's nodes
        low, high = a.y + a.h * 0.75, b.y + b.h * 0.25
        self._line([(start, low), (x, low), (x, high), (end, high)], edge)

    def _joined(self, edge: Edge) -> bool:
        """Whether the network also flows straight across this row."""
        return any(
            other.kind == "flow" and other.source in self.left and self.row.get(other.target) == self.row[edge.source]
            and other.target not in self.left and other.target in self.row
            for other in self.scene.edges
        )  # fmt: skip

    def _goes_down(self, edge: Edge) -> bool:
        """Whether the left side's flow crosses the gap above the target's row."""
        row = self.row[edge.target]
        return self.shape.rows[row][0] is not None and self.shape.rows[row - 1][0] == edge.source

    def _line(self, points: list[Point], edge: Edge, dot: bool = False) -> None:
        title = "\n".join(f"{source} → {target}" for source, target in edge.pairs[:12])
        self.p.lines.append(Line(tuple(points), edge.kind, edge.source, edge.target, title, dot))
