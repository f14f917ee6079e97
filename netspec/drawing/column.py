"""The layout of networks without levels: the trunk in a column, what feeds it beside it.

Vectors and what is made of them come from the left, other token sequences from the right. Where blocks work on two
streams, the second stands under what makes it: the blocks span both. What flows past some of the trunk runs along its
right, and all else comes from the left then.
"""

from __future__ import annotations

from netspec.drawing.cards import Cards
from netspec.drawing.geometry import STACK, Card, Line, Picture, Point, Rect
from netspec.drawing.scene import Edge, Scene

_SIDE = 0.29  # of the picture's width, at most, for what stands beside the trunk
_INDENT = 15.0  # of a card past which another one's line runs
_BRACKET = 8.0  # between lines that run past cards
_FIRST = 12.0  # from the trunk to the first of them


class Column:
    """Puts the boxes of any scene into a picture."""

    def __init__(self, scene: Scene, cards: Cards, picture: Picture) -> None:
        self.scene, self.cards, self.p, self.m = scene, cards, picture, cards.m
        self.trunk = list(dict.fromkeys(box for way in scene.trunks for box in way))
        past = any(edge.kind == "skip" for edge in scene.edges)
        self.left: list[str] = []
        for id in scene.sides:
            box = scene.boxes[id]
            if past or box.type.layout in ("vector", "index") or {*box.fed} & {*self.left}:
                self.left.append(id)
        self.right = [id for id in scene.sides if id not in self.left]
        self.streams = self._streams()
        self.exits: dict[str, float] = {}  # where the line of a card beside the trunk leaves its foot
        self.brackets = 0
        self._columns()

    def draw(self, y: float) -> None:
        """Place everything from `y` downwards."""
        stacks = ((self.left, self.x_left, self.w_left), (self.right, self.x_right, self.w_right))
        bottom = max(self._stack(*stack, y) for stack in stacks)
        beside = {target for id in self.scene.sides for target in self.scene.feeds(id)}
        for id in self.trunk:
            if id in beside:
                y = max(y, bottom)  # lines come down from above
            card = self._card(id)
            x = self.x_main if id in self.streams else self.x_main + (self.w_main - card.rect.w) / 2
            self.p.cards.append(card.at(x, y))
            y += card.rect.h + self.m.gap + STACK * card.stacked
        self.p.height = max(y, bottom) - self.m.gap
        self.place = {card.box.id: card.rect for card in self.p.cards}
        following = dict(zip(self.trunk, self.trunk[1:], strict=False))
        for edge in self.scene.edges:
            a, b = self.place[edge.source], self.place[edge.target]
            if edge.kind == "side":
                self._side(edge, a, b)
            elif edge.kind == "flow" and following.get(edge.source) == edge.target:
                x = self.x_main + self.w_main / 2
                self._line([(x, a.bottom), (x, b.y)], edge)
            else:
                self._past(edge, a, b)

    def _streams(self) -> set[str]:
        """The blocks with parts side by side, if what stands on the right feeds them."""
        found = {id for id in self.trunk if any(len(row) > 1 for row in self.scene.boxes[id].sketch)}
        return found if any(found & {*self.scene.feeds(id)} for id in self.right) else set()

    def _columns(self) -> None:
        """Left edges and widths of the three columns."""
        m = self.m
        between = m.gap * (1.2 if m.width > 500 else 0.6)
        room = m.width - 2 * m.margin - 2 * between
        side = min(m.narrowest, room * _SIDE)
        self.w_left, self.w_right = side * bool(self.left), side * bool(self.right)
        self.w_main = min(m.widest, room - self.w_left - self.w_right)
        before, after = between * bool(self.left), between * bool(self.right)
        self.x_left = (m.width - self.w_left - before - self.w_main - after - self.w_right) / 2
        self.x_main = self.x_left + self.w_left + before
        self.x_right = self.x_main + self.w_main + after

    def _card(self, id: str) -> Card:
        box = self.scene.boxes[id]
        if box.role in ("input", "output"):
            return self.cards.card(box, min(self.cards.pill(box), self.w_main))
        return self.cards.card(box, self.x_right + self.w_right - self.x_main if id in self.streams else self.w_main)

    def _stack(self, ids: list[str], x: float, wide: float, y: float) -> float:
        """Cards under each other; one past which a line of an earlier one runs is narrower. Returns where they end."""
        indent, outer = 0.0, ids is self.left
        for place, id in enumerate(ids):
            card = self.cards.card(self.scene.boxes[id], wide - indent)
            card = card.at(x + indent * outer, y)
            self.p.cards.append(card)
            later = ids[place + 1 :]
            past = later and set(self.scene.feeds(id)) - {later[0]}
            edge = card.rect.x + _INDENT / 2 if outer else card.rect.right - _INDENT / 2
            self.exits[id] = edge if past else card.rect.middle
            indent += _INDENT * bool(past)
            y += card.rect.h + self.m.gap
        return y

    def _side(self, edge: Edge, a: Rect, b: Rect) -> None:
        """From beside the trunk: down, and into the near border; on two streams, into the second from above."""
        x, left = self.exits[edge.source], edge.source in self.left
        stack = self.left if left else self.right
        if edge.target in stack[stack.index(edge.source) + 1 :][:1]:
            self._line([(b.middle, a.bottom), (b.middle, b.y)], edge)
        elif not left and self.streams:
            if edge.target == next(id for id in self.trunk if id in self.streams):
                self._line([(x, a.bottom), (x, b.y)], edge)
        else:
            mine = [
                other.source for other in self.scene.edges
                if other.kind == "side" and other.target == edge.target and (other.source in self.left) == left
            ]  # fmt: skip
            y = b.y + b.h * (mine.index(edge.source) + 1) / (len(mine) + 1)
            self._line([(x, a.bottom), (x, y), (b.x if left else b.right, y)], edge)

    def _past(self, edge: Edge, a: Rect, b: Rect) -> None:
        """Along the right of the trunk."""
        x = min(self.x_main + self.w_main + _FIRST + _BRACKET * self.brackets, self.m.width - 4)
        self.brackets += 1
        low, high = a.y + a.h * 0.7, b.y + b.h * 0.3
        self._line([(a.right, low), (x, low), (x, high), (b.right, high)], edge)

    def _line(self, points: list[Point], edge: Edge) -> None:
        title = "\n".join(f"{source} → {target}" for source, target in edge.pairs[:12])
        plain = edge.kind == "side" and self.scene.boxes[edge.source].type.layout not in ("vector", "index")
        kind = "flow" if plain else edge.kind
        self.p.lines.append(Line(tuple(points), kind, edge.source, edge.target, title))
