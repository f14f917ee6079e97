"""The weights file: official safetensors, ONNX and our reader agree on it; damaged files are refused in words."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from netspec.errors import InvariantError, NetspecError, WeightsError
from netspec.weights import files
from netspec.weights.aligned import AlignedLayout, AlignedWriter, TensorInfo, dtype_name, load_tensors, read_layout
from netspec.weights.files import copy_file, sha256_file

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]

TENSORS = {
    "conv.weight": torch.randn(3, 5, 3, 3),
    "conv.bias": torch.randn(3, dtype=torch.float64),
    "scale": torch.tensor(0.25, dtype=torch.bfloat16),  # 0-d
    "empty": torch.empty(0, 4),
    "half": torch.randn(7, 9).half(),
    "mask": torch.tensor([True, False, True]),
    "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "steps": torch.arange(5),
}


def infos(tensors: dict[str, torch.Tensor]) -> list[TensorInfo]:
    return [TensorInfo(name, dtype_name(t.dtype), tuple(t.shape)) for name, t in tensors.items()]


def write(
    path: Path, tensors: dict[str, torch.Tensor], order: list[str] | None = None, **metadata: str
) -> AlignedWriter:
    with AlignedWriter(path, AlignedLayout.plan(infos(tensors), metadata)) as writer:
        for name in order or list(tensors):
            writer.write(name, tensors[name])
    return writer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write(tmp_path / "model.safetensors", TENSORS, spec="unet: {}", z="ü")
    return tmp_path / "model.safetensors"


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(NetspecError) as caught:
        call()
    assert caught.value.diagnostics[0].message.isprintable()
    return caught.value.diagnostics[0].code


# --- the form --------------------------------------------------------------------------------------------------------


def test_official_library_reads_it(file: Path) -> None:
    loaded = load_file(file)
    for name, tensor in TENSORS.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded.pop(name), tensor)
    assert loaded, "there are gaps to fill"
    assert all(name.startswith("__pad_") and not pad.any() and pad.dtype == torch.uint8 for name, pad in loaded.items())
    with safetensors.safe_open(file, "pt") as opened:
        assert opened.metadata() == {"spec": "unet: {}", "z": "ü"}
        assert torch.equal(opened.get_tensor("channels_last"), TENSORS["channels_last"])


def test_own_reader_hides_padding(file: Path) -> None:
    loaded = dict(load_tensors(file))
    assert list(loaded) == list(TENSORS)
    assert all(
        torch.equal(loaded[name], tensor) and loaded[name].dtype == tensor.dtype for name, tensor in TENSORS.items()
    )


_sizes = st.lists(st.integers(0, 6), max_size=4).map(tuple)
_plans = st.lists(st.tuples(st.sampled_from(DTYPES), _sizes), max_size=12)


@settings(max_examples=60, deadline=None)
@given(plan=_plans, spec=st.text(max_size=6000), seed=st.integers(0, 99))
def test_alignment(
    tmp_path_factory: pytest.TempPathFactory, plan: list[tuple[torch.dtype, tuple[int, ...]]], spec: str, seed: int
) -> None:
    path = tmp_path_factory.mktemp("aligned") / "w.safetensors"
    tensors = {f"t{i}": (torch.rand(shape) * 9).to(dtype) for i, (dtype, shape) in enumerate(plan)}
    spec = spec.encode("utf-8", "replace").decode()
    layout = AlignedLayout.plan(infos(tensors), {"spec": spec})
    order = random.Random(seed).sample(list(tensors), len(tensors))
    writer = write(path, tensors, order, spec=spec)
    assert len(layout.header) % 4096 == 0
    assert path.stat().st_size == layout.size
    assert all(layout.offset(name) % 256 == 0 for name in tensors)
    assert [layout.length(name) for name in tensors] == [t.nbytes for t in tensors.values()]
    assert read_layout(path) == layout, "what was planned is what lies there"
    assert read_layout(path).is_aligned
    assert writer.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    loaded = load_file(path)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_onnx_points_into_it(tmp_path: Path) -> None:
    weights = {"skew": torch.randn(3), "w": torch.randn(2, 3)}
    write(tmp_path / "model.safetensors", weights)
    layout = read_layout(tmp_path / "model.safetensors")
    initializer = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[2, 3])
    initializer.data_location = onnx.TensorProto.EXTERNAL
    place = {"location": "model.safetensors", "offset": str(layout.offset("w")), "length": str(layout.length("w"))}
    for key, value in place.items():
        initializer.external_data.add(key=key, value=value)
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2, 3]) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["x", "w"], ["y"])], "add", [x], [y], [initializer])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())

    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)
    loaded = onnx.load(tmp_path / "model.onnx").graph.initializer[0]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(loaded), weights["w"].numpy())
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (out,) = session.run(None, {"x": np.ones((2, 3), np.float32)})
    np.testing.assert_array_equal(out, weights["w"].numpy() + 1)


def test_bytes_do_not_depend_on_order(tmp_path: Path) -> None:
    first = write(tmp_path / "a", TENSORS, b="1", a="2")
    second = write(tmp_path / "b", TENSORS, list(TENSORS)[::-1], a="2", b="1")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert first.sha256 == second.sha256 == sha256_file(tmp_path / "a")


def test_no_tensors(tmp_path: Path) -> None:
    write(tmp_path / "w", {})
    assert load_file(tmp_path / "w") == {}
    assert list(load_tensors(tmp_path / "w")) == []


# --- writing ---------------------------------------------------------------------------------------------------------


def test_unfinished_leaves_nothing(tmp_path: Path) -> None:
    layout = AlignedLayout.plan(infos(TENSORS), {})
    message = r"7 of 8 tensors were never written, first 'conv.bias'"
    with pytest.raises(InvariantError, match=message), AlignedWriter(tmp_path / "w", layout) as writer:
        writer.write("conv.weight", TENSORS["conv.weight"])
    with pytest.raises(KeyError), AlignedWriter(tmp_path / "w", layout):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_unfinished_has_no_header(tmp_path: Path) -> None:
    with pytest.raises(KeyError), AlignedWriter(tmp_path / "w", AlignedLayout.plan(infos(TENSORS), {})):  # noqa: PT012
        (half,) = tmp_path.iterdir()
        assert code_of(lambda: read_layout(half)) == "NS601"
        raise KeyError


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("unknown", torch.zeros(3)),
        ("bias", torch.zeros(4)),
        ("bias", torch.zeros(3, dtype=torch.float64)),
        ("bias", torch.zeros(3, device="meta")),
        ("bias", bytes(11)),
        ("done", bytes(4)),
    ],
)
def test_wrong_tensor(tmp_path: Path, name: str, data: torch.Tensor | bytes) -> None:
    layout = AlignedLayout.plan([TensorInfo("bias", "F32", (3,)), TensorInfo("done", "U8", (4,))], {})
    with pytest.raises(InvariantError, match=name), AlignedWriter(tmp_path / "w", layout) as writer:  # noqa: PT012
        writer.write("done", bytes(4))
        writer.write(name, data)


@pytest.mark.parametrize("name", ["__pad_0", "__metadata__", "twice"])
def test_impossible_plan(name: str) -> None:
    with pytest.raises(InvariantError):
        AlignedLayout.plan([TensorInfo("twice", "F32", (3,)), TensorInfo(name, "F32", (3,))], {})


def test_disk_too_small(tmp_path: Path) -> None:
    layout = AlignedLayout.plan([TensorInfo("w", "F32", (1 << 50,))], {})
    with pytest.raises(WeightsError, match=r"NS617.*bytes are needed"):
        AlignedWriter(tmp_path / "w", layout).__enter__()
    assert list(tmp_path.iterdir()) == []


# --- reading ---------------------------------------------------------------------------------------------------------


def test_selection_and_conversion(file: Path) -> None:
    loaded = dict(load_tensors(file, ["steps", "half"], dtype=torch.float32))
    assert list(loaded) == ["half", "steps"], "in the order of the file"
    assert (loaded["half"].dtype, loaded["steps"].dtype) == (torch.float32, torch.int64)
    assert code_of(lambda: load_tensors(file, ["steps", "nowhere"])) == "NS603"


def test_tensors_are_private_and_outlive_the_file(tmp_path: Path) -> None:
    big = torch.randn(600, 1000)
    write(tmp_path / "w", {"first": torch.randn(5), "big": big})
    before = (tmp_path / "w").read_bytes()
    loaded = dict(load_tensors(tmp_path / "w"))
    (tmp_path / "w").unlink()
    assert torch.equal(loaded["big"], big)
    loaded["big"].zero_()
    write(tmp_path / "w", {"first": loaded["first"], "big": big})
    assert (tmp_path / "w").read_bytes() == before


def test_foreign_unaligned_file(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3).bfloat16(), "b": torch.randn(700, 700), "c": torch.zeros(3, dtype=torch.uint8)}
    save_file(tensors, tmp_path / "w")
    data = (tmp_path / "w").read_bytes()
    length = int.from_bytes(data[:8], "little") + 1  # one space more: everything at odd offsets
    (tmp_path / "w").write_bytes(length.to_bytes(8, "little") + data[8 : 7 + length] + b" " + data[7 + length :])
    assert not read_layout(tmp_path / "w").is_aligned
    assert all(torch.equal(tensors[name], tensor) for name, tensor in load_tensors(tmp_path / "w"))


def raw(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype: object = "U8", shape: object = (4,), offsets: object = (0, 4)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


HOSTILE = {
    "empty file": (b"", "NS602"),
    "short": (b"\x08\0\0", "NS602"),
    "zeros": (bytes(4096), "NS601"),
    "zip": (b"PK\x03\x04" + bytes(99), "NS601"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1", "NS601"),
    "html": (b"<!doctype html><html></html>", "NS601"),
    "header beyond the file": (raw({}, length=5000), "NS602"),
    "giant header": (raw({}, length=1 << 62), "NS601"),
    "not json": (raw(b"{nonsense}"), "NS601"),
    "not utf-8": (raw(b'{"\xff":1}'), "NS601"),
    "half a surrogate": (raw(rb'{"\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'), "NS601"),
    "deep": (raw(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "NS601"),
    "long number": (raw(b'{"a":' + b"9" * 10_000 + b"}"), "NS601"),
    "nan": (raw(b'{"a":NaN}'), "NS601"),
    "duplicate": (raw(b'{"a":1,"a":1}'), "NS601"),
    "metadata of numbers": (raw({"__metadata__": {"a": 1}}), "NS601"),
    "metadata is a list": (raw({"__metadata__": []}), "NS601"),
    "entry is a number": (raw({"a": 1}), "NS601"),
    "unknown dtype": (raw({"a": entry(dtype="F33")}, bytes(4)), "NS601"),
    "dtype is a nest": (raw({"a": entry(dtype=[[[]]])}, bytes(4)), "NS601"),
    "negative shape": (raw({"a": entry(shape=[-2, -2])}, bytes(4)), "NS601"),
    "shape of floats": (raw({"a": entry(shape=[4.0])}, bytes(4)), "NS601"),
    "shape of bools": (raw({"a": entry(shape=[True, 4])}, bytes(4)), "NS601"),
    "huge shape": (raw({"a": entry(shape=[1 << 62] * 64)}, bytes(4)), "NS601"),
    "high rank": (raw({"a": entry(shape=[1] * 65, offsets=[0, 1])}, bytes(1)), "NS601"),
    "backwards": (raw({"a": entry(offsets=[4, 0])}, bytes(4)), "NS601"),
    "wrong length": (raw({"a": entry(dtype="F32")}, bytes(4)), "NS601"),
    "overlap": (raw({"a": entry(), "b": entry(offsets=[2, 6])}, bytes(6)), "NS601"),
    "same place": (raw({"a": entry(), "b": entry()}, bytes(4)), "NS601"),
    "hole": (raw({"a": entry(), "b": entry(offsets=[5, 9])}, bytes(9)), "NS601"),
    "rest": (raw({"a": entry()}, bytes(5)), "NS601"),
    "truncated": (raw({"a": entry()}, bytes(3)), "NS602"),
    "colours in a name": (raw({"\x1b[31m" * 99: 1}), "NS601"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile(tmp_path: Path, case: str) -> None:
    data, code = HOSTILE[case]
    (tmp_path / "w").write_bytes(data)
    assert code_of(lambda: read_layout(tmp_path / "w")) == code
    assert code_of(lambda: load_tensors(tmp_path / "w")) == code


def test_every_truncation_is_noticed(file: Path) -> None:
    data = file.read_bytes()
    for length in [*range(64), *random.Random(0).sample(range(64, len(data)), 60), len(data) - 1]:
        file.write_bytes(data[:length])
        assert code_of(lambda: read_layout(file)) == "NS602"


def test_flipped_header_bytes_never_crash(file: Path) -> None:
    data = bytearray(file.read_bytes())
    chance = random.Random(1)
    for _ in range(400):
        at, bit = chance.randrange(700), 1 << chance.randrange(8)
        data[at] ^= bit
        file.write_bytes(data)
        with suppress(WeightsError):
            list(load_tensors(file))
        data[at] ^= bit


def test_unreadable(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", ".", "pipe"):
        assert code_of(lambda name=name: read_layout(tmp_path / name)) == "NS607"  # type: ignore[misc]


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, files.CHUNK - 1, files.CHUNK, 2 * files.CHUNK + 5])
def test_copy(tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    (tmp_path / "a").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    assert copy_file(tmp_path / "a", tmp_path / "b") == digest == sha256_file(tmp_path / "a")
    assert (tmp_path / "b").read_bytes() == data
    assert not (tmp_path / "b").samefile(tmp_path / "a")


def test_copy_of_a_link_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"weights")
    (tmp_path / "link").symlink_to("a")
    copy_file(tmp_path / "link", tmp_path / "b")
    assert not (tmp_path / "b").is_symlink()


def test_copy_refuses(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"weights")
    assert code_of(lambda: copy_file(tmp_path / "a", tmp_path / "a")) == "NS617"
    assert code_of(lambda: copy_file(tmp_path / "missing", tmp_path / "b")) == "NS607"
    assert code_of(lambda: copy_file(tmp_path, tmp_path / "b")) == "NS607"
    assert code_of(lambda: copy_file(tmp_path / "a", tmp_path / "no" / "b")) == "NS617"
    assert code_of(lambda: sha256_file(tmp_path / "missing")) == "NS607"
    assert (tmp_path / "a").read_bytes() == b"weights"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"weights")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_all", full)
    monkeypatch.setattr(files, "_reflink", lambda *_: False)
    with pytest.raises(WeightsError, match=r"NS617.*the disk is full"):
        copy_file(tmp_path / "a", tmp_path / "b")
    assert not (tmp_path / "b").exists()
