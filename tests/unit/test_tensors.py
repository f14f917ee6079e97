"""Symbolic sizes: arithmetic on the formula and on the three known values may never disagree."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netspec import tensors
from netspec.tensors import Size

RANGE = {"height": (8, 24, 64), "width": (16, 48, 80)}
HEIGHT, WIDTH = (tensors.symbolic(name, *values) for name, values in RANGE.items())

steps = st.lists(
    st.one_of(
        st.tuples(st.just("+"), st.integers(-20, 20)),
        st.tuples(st.just("*"), st.integers(1, 8)),
        st.tuples(st.just("/"), st.integers(1, 8)),
    ),
    max_size=6,
)


def walk(size: Size, steps: list[tuple[str, int]]) -> Size:
    for operator, number in steps:
        size = size + number if operator == "+" else size * number if operator == "*" else size / number
    return size


def number(value: int, steps: list[tuple[str, int]]) -> Fraction:
    result = Fraction(value)
    for operator, operand in steps:
        result = result + operand if operator == "+" else result * operand if operator == "*" else result / operand
    return result


@given(steps)
def test_a_size_is_its_formula_at_every_point(steps: list[tuple[str, int]]) -> None:
    size = walk(HEIGHT, steps)
    for index, value in enumerate(RANGE["height"]):
        assert size.evaluate({"height": value}) == size.values[index] == number(value, steps)
    assert size.whole == all(number(v, steps).denominator == 1 and number(v, steps) > 0 for v in RANGE["height"])


@given(steps, steps)
def test_equal_formulas_are_equal_sizes(first: list[tuple[str, int]], second: list[tuple[str, int]]) -> None:
    one, two = walk(HEIGHT, first), walk(HEIGHT, second)
    assert (one == two) == (one.values == two.values)  # a line through three points is one line


@given(steps)
def test_fixed_sizes_are_numbers(steps: list[tuple[str, int]]) -> None:
    size = walk(tensors.fixed(40), steps)
    assert size.fixed
    assert set(size.values) == {number(40, steps)}
    assert size.evaluate({}) == number(40, steps)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 9))
def test_a_grid_has_rows_times_columns(rows: int, columns: int, depth: int) -> None:
    grid = tensors.product([HEIGHT / rows, WIDTH / columns, tensors.fixed(depth)])
    for index in range(3):
        env = {name: values[index] for name, values in RANGE.items()}
        assert grid.evaluate(env) == grid.values[index]
        assert grid.values[index] == Fraction(env["height"] * env["width"] * depth, rows * columns)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (HEIGHT, "height"),
        (HEIGHT / 8, "height/8"),
        (HEIGHT * 2, "2*height"),
        (HEIGHT * 3 / 4, "3*height/4"),
        (HEIGHT / 2 - 4, "height/2 - 4"),
        (HEIGHT / 2 + 1, "height/2 + 1"),
        (HEIGHT / 2 * 2, "height"),
        (tensors.fixed(77), "77"),
        (tensors.fixed(3) / 2, "3/2"),
        (tensors.product([HEIGHT / 2, WIDTH / 2]), "height*width/4"),
        (tensors.product([tensors.fixed(4), WIDTH]), "4*width"),
        (tensors.product([HEIGHT]), "height"),
    ],
)
def test_prints(size: Size, text: str) -> None:
    assert str(size) == text


def test_values_by_point() -> None:
    size = HEIGHT / 4 + 1
    assert (size.at("min"), size.at("opt"), size.at("max")) == (3, 7, 17)
    assert size.opt == 7
    assert not (HEIGHT / 16).whole
    assert not (HEIGHT - 8).whole  # nothing is left at min


def test_types_have_pytorchs_order_of_sizes() -> None:
    batch = tensors.symbolic("batch", 1, 2, 4)
    image = tensors.image(batch, 3, HEIGHT, WIDTH)
    assert str(image) == "(batch, 3, height, width)"
    assert (image.positions, image.elements) == (24 * 48, 2 * 3 * 24 * 48)
    assert str(tensors.tokens(batch, tensors.fixed(77), 768)) == "(batch, 77, 768)"
    assert str(tensors.vector(batch, 64)) == "(batch, 64)"
    index = tensors.TensorType("index", batch, dtype="int64")
    assert (str(index), index.elements, index.positions) == ("(batch)", 2, 1)
    assert image.wide(5).channels == 5
    assert str(image.sized([HEIGHT / 2, WIDTH / 2])) == "(batch, 3, height/2, width/2)"
