"""Every registered component, held to what its file says: adding one adds its tests."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.utils.flop_counter import FlopCounterMode

from netspec import document, fields, ops, registry, tensors
from netspec.activations import Activation
from netspec.errors import RegistrationError
from netspec.fields import Param, Slot
from netspec.graph import build_node
from netspec.plan import Node, Origin, Value
from netspec.registry import Component, parse
from netspec.tensors import TensorType

SOURCE = re.compile(r"\b[A-Z]\w+.* (19|20)\d\d\b.*(arXiv:\d{4}\.\d{4,5}|doi:|ICML)", re.DOTALL)
registry.load_all()
BUILT = [cls for cls in registry.everything() if cls.kind != "family"]

every = pytest.mark.parametrize("cls", BUILT, ids=lambda cls: f"{cls.kind}-{cls.name}")


def trial_of(cls: type[Component]) -> Component:
    """The component of its example, where it has one, else with every default."""
    if cls.example:
        return parse(Slot(registry.kinds()[cls.kind]), yaml_value(cls.example), {})  # type: ignore[no-any-return]
    return make(cls, num_heads=4) if "num_heads" in registry.declared(cls) else cls()


def make(cls: type[Component], **choices: Any) -> Component:
    return cls(**choices)


def yaml_value(text: str) -> Any:
    return document.parse_value(document.argument_source([text]), 1, 1)[0]


def inputs_of(component: Component) -> tuple[TensorType, ...]:
    """The trial inputs that the component's choices use."""
    modulation = getattr(component, "modulation", "none")
    modulated = getattr(modulation, "modulated", modulation != "none")
    inner = getattr(component, "block", None)
    if component.kind in ("block", "downsample", "upsample") and not modulated and not getattr(inner, "modulation", 0):
        return component.trial[:1]
    return component.trial


def node_of(component: Component, inputs: tuple[TensorType, ...]) -> Node:
    width = {} if component.trial_channels is None else {"channels": component.trial_channels}
    values = tuple(Value(f"x{index}", kind) for index, kind in enumerate(inputs))
    return Node("part", component, values, component.infer(*inputs, **width), Origin(("part",)), "")


def trial(cls: type[Component]) -> Node:
    component = trial_of(cls)
    return node_of(component, inputs_of(component))


def arguments(node: Node, dtype: torch.dtype = torch.float32, device: str = "cpu") -> list[Tensor]:
    return [sample(kind, dtype, device) for kind in node.types]


def sample(kind: TensorType, dtype: torch.dtype, device: str) -> Tensor:
    shape = [size.opt for size in kind.shape]
    if kind.dtype == "int64":
        return torch.randint(0, 10, shape, device=device)
    return torch.randn(shape, dtype=torch.float32 if kind.dtype else dtype, device=device)


def module(node: Node, **options: Any) -> nn.Module:
    return build_node(node, **options).eval()


def sizes(kind: TensorType) -> list[int]:
    return [size.opt for size in kind.shape]


@every
def test_documents_itself(cls: type[Component]) -> None:
    assert SOURCE.search(cls.__doc__ or ""), f"{cls.name} cites no paper"
    for field in registry.declared(cls).values():
        assert len(field.param.doc) > 3
        assert not field.param.doc.endswith(".")


@pytest.mark.parametrize("cls", registry.everything(), ids=lambda cls: f"{cls.kind}-{cls.name}")
def test_example_names_the_component(cls: type[Component]) -> None:
    if cls.tag:
        assert cls.example, "a component that a spec can name shows how"
        assert type(trial_of(cls)) is cls
    elif cls.example:  # a family: its key names it
        value = registry.parse_record(cls, yaml_value(cls.example), {})
        assert registry.parse_record(cls, registry.dump(value), {}) == value


@every
def test_infers_what_it_computes(cls: type[Component]) -> None:
    node = trial(cls)
    with torch.no_grad():
        assert list(module(node)(*arguments(node)).shape) == sizes(node.out)


@every
def test_one_module_serves_every_size(cls: type[Component]) -> None:
    """Sizes of images and tokens are symbols here: the types stay symbolic, and the module takes any value of them."""
    node = symbolic_trial(cls)
    built = module(node)
    points: list[tuple[tensors.Point, int]] = [("min", 0), ("max", 2)]
    for point, index in points:
        at = {name: values[index] for name, values in SYMBOLS.items()}
        real = [torch.zeros([int(size.evaluate(at)) for size in kind.shape], dtype=dtype(kind)) for kind in node.types]
        with torch.no_grad():
            shape = list(built(*real).shape)
        assert shape == [size.evaluate(at) for size in node.out.shape] == [size.at(point) for size in node.out.shape]


SYMBOLS = {"batch": (1, 2, 3), "height": (8, 12, 16), "width": (8, 16, 24)}


def symbolic_trial(cls: type[Component]) -> Node:
    """The trial with symbols for sizes."""
    component = trial_of(cls)
    inputs = tuple(symbolic(kind, SYMBOLS) for kind in inputs_of(component))
    if cls.name == "unpatchify":  # its tokens are the patches of its image
        grid = tensors.product(size / component.patch_size for size in inputs[1].sizes)  # type: ignore[attr-defined]
        inputs = (inputs[0].sized([grid]), inputs[1])
    return node_of(component, inputs)


def dtype(kind: TensorType) -> torch.dtype:
    return torch.int64 if kind.dtype == "int64" else torch.float32


def symbolic(kind: TensorType, symbols: dict[str, tuple[int, int, int]]) -> TensorType:
    batch, height, width = (tensors.symbolic(name, *values) for name, values in symbols.items())
    kind = replace(kind, batch=batch)
    if kind.layout != "image":
        return kind
    return kind.sized((height, width))


@every
def test_costs_what_it_builds(cls: type[Component]) -> None:
    node = trial(cls)
    built = build_node(node, device="meta")
    assert sum(p.numel() for p in built.parameters()) == node.cost.params
    assert sum(b.numel() for b in built.buffers()) == node.cost.frozen
    assert not any(key for key in set(dict(built.named_buffers())) - set(built.state_dict())), "a buffer is not saved"


@every
def test_counts_its_multiplications(cls: type[Component]) -> None:
    node = trial(cls)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(node, device="meta")(*arguments(node, device="meta"))
    assert counter.get_total_flops() == 2 * node.cost.macs


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_builds_in_every_precision(cls: type[Component], dtype: torch.dtype) -> None:
    node = trial(cls)
    with torch.no_grad():
        out = module(node, dtype=dtype)(*arguments(node, dtype))
    fixed = getattr(torch, node.out.dtype) if node.out.dtype else dtype
    assert out.dtype in (fixed, torch.promote_types(fixed, dtype))  # what half precision would spoil may be float64
    assert out.isfinite().all()


@every
def test_is_reproducible(cls: type[Component]) -> None:
    """Two builds are equal, a copy is equal, and inference has no dice."""
    node = trial(cls)
    first, second = module(node), module(node)
    clone, given = copy.deepcopy(first), arguments(node)
    with torch.no_grad():
        results = [built(*given) for built in (first, first, second, clone)]
    assert all(torch.equal(results[0], result) for result in results)
    assert not set(map(id, first.parameters())) & set(map(id, clone.parameters()))


@every
def test_trains(cls: type[Component]) -> None:
    """Every parameter takes part."""
    node = trial(cls)
    built = build_node(node)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.1)  # nothing starts at zero
    given = [x.requires_grad_() if x.is_floating_point() else x for x in arguments(node)]
    made = built(*given)
    if made.requires_grad:  # a mask of masks has nothing to train
        made.square().sum().backward()
    for name, parameter in built.named_parameters():
        assert parameter.grad is not None, f"{name} is never used"
        assert parameter.grad.isfinite().all(), name


class LeafTracer(fx.Tracer):
    """What the exporters do: netspec's leaf operations stay whole."""

    def __init__(self) -> None:
        super().__init__(autowrap_modules=(ops,))


@every
def test_can_be_traced(cls: type[Component]) -> None:
    node = trial(cls)
    whole = nn.Sequential()
    whole.add_module("part", module(node))
    given = arguments(node)

    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = module(node)

    root, graph = Root(), fx.Graph()
    values = [graph.placeholder(f"x{index}") for index in range(len(given))]
    graph.output(graph.call_module("part", tuple(values)))
    outer = fx.GraphModule(root, graph).eval()
    traced = fx.GraphModule(outer, LeafTracer().trace(outer))
    with torch.no_grad():
        assert torch.equal(traced(*given), outer(*given))


# Zero initialisation


@pytest.mark.parametrize(
    ("kind", "name"),
    [("block", "resnet"), ("attention", "full"), ("transformer", "spatial"), ("wiring", "dit_block")],
)
def test_a_residual_block_begins_as_identity(kind: str, name: str) -> None:
    node = same_width(registry.named(kind)[name])
    given = arguments(node)
    with torch.no_grad():
        assert torch.equal(module(node)(*given), given[0])


@pytest.mark.parametrize(("kind", "name"), [("wiring", "head"), ("wiring", "dit_head"), ("modulation", "adaln_zero")])
def test_an_end_begins_at_zero(kind: str, name: str) -> None:
    node = trial(registry.named(kind)[name])
    with torch.no_grad():
        assert not module(node)(*arguments(node)).any()


@pytest.mark.parametrize(("kind", "name"), [("block", "resnet"), ("attention", "full"), ("transformer", "spatial")])
def test_zero_initialisation_can_be_switched_off(kind: str, name: str) -> None:
    node = same_width(registry.named(kind)[name], zero_init=False)
    given = arguments(node)
    with torch.no_grad():
        assert not torch.equal(module(node)(*given), given[0])


def same_width(cls: type[Component], **changes: Any) -> Node:
    component = replace(trial_of(cls), **changes)
    inputs = inputs_of(component)
    node = node_of(component, inputs)
    return replace(node, out=inputs[0]) if node.out.channels != inputs[0].channels else node


# What components refuse


@every
def test_has_nothing_against_its_trial(cls: type[Component]) -> None:
    component = trial_of(cls)
    width = {} if cls.trial_channels is None else {"channels": cls.trial_channels}
    assert list(component.check(*inputs_of(component), **width)) == []


IMAGE = tensors.image(tensors.fixed(2), 30, tensors.fixed(8), tensors.fixed(8))
TOKENS = tensors.tokens(tensors.fixed(2), tensors.fixed(8), 30)
SMALLER = IMAGE.sized([tensors.fixed(4), tensors.fixed(4)])
REFUSED = [
    ("norm", "{type: group, groups: 8}", (IMAGE,), "NS303", "groups"),
    ("norm", "{type: group, groups: 30}", (IMAGE.sized([tensors.fixed(1)] * 2),), "NS308", "groups"),
    ("norm", "group", (TOKENS,), "NS307", ""),
    ("norm", "batch", (TOKENS,), "NS307", ""),
    ("norm", "instance", (TOKENS,), "NS307", ""),
    ("attention", "{num_heads: 7, norm: rms}", (IMAGE,), "NS302", "num_heads"),
    ("attention", "{head_dim: 7, norm: rms}", (IMAGE,), "NS302", "head_dim"),
    ("attention", "{norm: rms}", (IMAGE,), "NS309", "num_heads"),
    ("attention", "{num_heads: 5, norm: {groups: 4}}", (IMAGE,), "NS303", "norm.groups"),
    ("transformer", "{num_heads: 7, norm: rms}", (IMAGE,), "NS302", "num_heads"),
    ("block", "{kernel: 2, norm: rms, modulation: none}", (IMAGE,), "NS308", "kernel"),
    ("block", "{type: conv, kernel: 4, norm: rms}", (IMAGE,), "NS308", "kernel"),
    ("block", "{norm: rms}", (IMAGE,), "NS306", "modulation"),
    ("block", "{type: conv, norm: rms, modulation: scale_shift}", (IMAGE,), "NS306", "modulation"),
    ("block", "{modulation: none}", (IMAGE,), "NS303", "norm.groups"),
    ("downsample", "{type: conv, kernel: 4, padding: asymmetric}", (IMAGE,), "NS308", "kernel"),
    ("downsample", "{type: conv_conv, kernel: 4}", (IMAGE,), "NS308", "kernel"),
    ("downsample", "{type: blurpool, kernel: 4}", (IMAGE,), "NS308", "kernel"),
    ("downsample", "{type: resnet, block: {norm: rms}}", (IMAGE,), "NS306", "block.modulation"),
    ("upsample", "{type: nearest, kernel: 2}", (IMAGE,), "NS308", "kernel"),
    ("upsample", "{type: bilinear, kernel: 2}", (IMAGE,), "NS308", "kernel"),
    ("block", "{type: separable, kernel: 2, norm: rms}", (IMAGE,), "NS308", "kernel"),
    ("block", "{type: separable, norm: rms, modulation: add}", (IMAGE,), "NS306", "modulation"),
    ("block", "separable", (IMAGE,), "NS303", "norm.groups"),
    ("upsample", "{type: pixel_shuffle, kernel: 2}", (IMAGE,), "NS308", "kernel"),
    ("upsample", "{type: resnet, block: {norm: rms}}", (IMAGE,), "NS306", "block.modulation"),
    ("embed", "{embed: fourier, dim: 7}", (), "NS308", "dim"),
    ("position", "{type: sincos, grid: 4}", (IMAGE.wide(32),), "NS305", "grid"),
    ("position", "{type: learned, grid: 4}", (IMAGE,), "NS305", "grid"),
    ("position", "sincos", (IMAGE,), "NS308", ""),
    ("wiring", "concat", (IMAGE, SMALLER), "NS310", "crop"),
    ("wiring", "add", (IMAGE, IMAGE.wide(7)), "NS310", "merge"),
    ("wiring", "head", (IMAGE,), "NS303", "norm.groups"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "inputs", "code", "field"), REFUSED, ids=lambda value: str(value)[:40])
def test_refuses(kind: str, text: str, inputs: tuple[TensorType, ...], code: str, field: str) -> None:
    if kind == "wiring":
        component = registry.named(kind)[text]()
    else:
        component = parse(Slot(registry.kinds()[kind]), yaml_value(text), {})
    width = {} if component.trial_channels is None else {"channels": inputs[0].channels if inputs else 8}
    problem = next(p for p in component.check(*(inputs or component.trial), **width) if p.code == code)
    assert problem.field == field
    assert problem.message
    for value in problem.fits:  # what the help offers must do
        fixed = replace_at(component, field, value)
        assert not [p for p in fixed.check(*inputs, **width) if p.code == code]


def replace_at(component: Component, field: str, value: int) -> Component:
    head, _, rest = field.partition(".")
    return replace(component, **{head: replace_at(getattr(component, head), rest, value) if rest else value})


def test_conv_padding_valid_takes_what_is_left() -> None:
    conv = make(registry.named("block")["conv"], padding="valid", kernel=5, norm=registry.named("norm")["none"]())
    node = node_of(conv, conv.trial[:1])
    assert sizes(node.out) == [2, 64, 4, 2]
    with torch.no_grad():
        assert list(module(node)(*arguments(node)).shape) == [2, 64, 4, 2]


# The registry


class Swish2(Activation):
    """Not registered: no name. The class that tests below give a name to. Nobody 2020, arXiv:2001.00001."""

    beta: Annotated[float, Param("slope at infinity", gt=0)] = 2.0

    def build(self, x: TensorType, out: TensorType) -> nn.Module:
        return nn.SiLU()


@pytest.fixture
def forget() -> Iterator[None]:
    """Components that a test registers are gone afterwards."""
    before = {kind: dict(known) for kind, known in registry._COMPONENTS.items()}
    kinds = dict(registry._KINDS)
    yield
    registry._KINDS.clear()
    registry._KINDS.update(kinds)
    for kind in list(registry._COMPONENTS):
        if kind not in before:
            del registry._COMPONENTS[kind]
            continue
        registry._COMPONENTS[kind].clear()
        registry._COMPONENTS[kind].update(before[kind])


@pytest.mark.usefixtures("forget")
def test_a_subclass_with_a_name_is_a_component() -> None:
    cls = type("Swish3", (Swish2,), {"__doc__": "x. Nobody 2020."}, name="swish3")
    assert registry.named("activation")["swish3"] is cls
    assert cls in registry.everything()
    parsed = parse(Slot(Activation), {"type": "swish3", "beta": 3}, {})
    assert (type(parsed), parsed.beta) == (cls, 3.0)


def test_nothing_is_left_registered() -> None:
    assert "swish3" not in registry.named("activation")


@pytest.mark.usefixtures("forget")
def test_a_duplicate_name_is_refused_with_both_owners() -> None:
    with pytest.raises(RegistrationError) as caught:
        type("Other", (Activation,), {"__doc__": "x. Nobody 2020.", "__module__": __name__}, name="silu")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "NS903"
    first, second = diagnostic.notes
    assert "netspec.activations.silu.SiLU" in first
    assert f"{__name__}.Other" in second
    assert registry.named("activation")["silu"].__module__ == "netspec.activations.silu"


@pytest.mark.usefixtures("forget")
@pytest.mark.parametrize(
    ("code", "bases", "body", "options"),
    [
        ("NS901", (Component,), {}, {"kind": "norm"}),
        ("NS902", (Component,), {"__doc__": "x"}, {"name": "lost"}),
        ("NS904", (Activation,), {}, {"name": "mute"}),
        ("NS905", (Activation,), {"__doc__": "x", "__annotations__": {"a": int}, "a": 1}, {"name": "bare"}),
        (
            "NS906",
            (Activation,),
            {"__doc__": "x", "__annotations__": {"a": Annotated[object, Param("any")]}, "a": 1},
            {"name": "vague"},
        ),
    ],
)
def test_a_malformed_class_is_refused_where_it_is_written(
    code: str, bases: tuple[type, ...], body: dict[str, Any], options: dict[str, str]
) -> None:
    with pytest.raises(RegistrationError) as caught:
        type("Broken", bases, {**body, "__module__": __name__}, **options)
    assert caught.value.diagnostics[0].code == code
    assert "Broken" in caught.value.diagnostics[0].notes[-1]


def test_kinds_have_a_usual_component() -> None:
    for kind, base in registry.kinds().items():
        assert not base.usual or base.usual in registry.named(kind), kind


def test_names_are_words_that_yaml_keeps() -> None:
    for cls in registry.everything():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", cls.name)
        assert yaml_value(cls.name) == cls.name


def test_every_word_of_a_closed_choice_builds() -> None:
    """One choice at a time, every word that it may be: the combinations that a spec can reach from the example."""
    tried = 0
    for cls in BUILT:
        component = trial_of(cls)
        for field in registry.declared(cls).values():
            if not isinstance(field.type, fields.Words):
                continue
            for word in field.type.words:
                changed = replace(component, **{field.name: word})
                node = node_of(changed, inputs_of(changed))
                with torch.no_grad():
                    out = module(node)(*arguments(node))
                assert list(out.shape) == sizes(node.out), (cls.name, field.name, word)
                assert sum(p.numel() for p in module(node).parameters()) == node.cost.params
                tried += 1
    assert tried > 20


def test_modulation_rules_and_context_of_the_dit_block() -> None:
    rules, dit = registry.named("modulation"), registry.named("wiring")["dit_block"]
    x, c = dit.trial
    context = tensors.tokens(tensors.fixed(2), tensors.fixed(5), 24)
    for rule, cross, qk_norm in itertools.product(rules.values(), (False, True), ("none", "rms", "layer")):
        block = make(dit, num_heads=4, modulation=rule(), cross=cross, qk_norm=qk_norm)
        vector = [c] if rule.modulated else []  # type: ignore[attr-defined]  # every rule says
        node = node_of(block, (x, *vector, *([context] if cross else [])))
        built = module(node, device="meta")
        assert sum(p.numel() for p in built.parameters()) == node.cost.params
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            assert list(built(*arguments(node, device="meta")).shape) == sizes(x)
        assert counter.get_total_flops() == 2 * node.cost.macs


def test_leaves_are_what_the_package_exports() -> None:
    assert ops.__all__ == ["LEAVES", *(leaf.__name__ for leaf in ops.LEAVES)]
    assert all(getattr(ops, leaf.__name__) is leaf for leaf in ops.LEAVES)
