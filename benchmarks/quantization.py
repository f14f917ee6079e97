"""One layer in float and in few bits on ONNX Runtime: which forms have kernels, and what they gain"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

ROUNDS = 15
Form = tuple[list[onnx.NodeProto], dict[str, np.ndarray]]


def main() -> None:
    for pixels, width, batch in ((32, 320, 1), (16, 640, 1), (8, 1280, 1), (32, 128, 4)):
        x = _noise(batch, width, pixels, pixels)
        _race(f"3x3, {width} channels, {batch} x {pixels} x {pixels}", x, _convolutions(width))
    for tokens, width, out in ((256, 768, 3072), (1024, 320, 1280), (256, 640, 640), (64, 1280, 1280)):
        _race(f"linear, {width} to {out}, {tokens} tokens", _noise(tokens, width), _products(width, out))


def _convolutions(width: int) -> Mapping[str, Form]:
    weight, bias = 0.05 * _noise(width, width, 3, 3), _noise(width)
    pads = {"kernel_shape": [3, 3], "pads": [1] * 4}
    made: dict[str, Form] = {"float": ([_node("Conv", "x w b", "y", **pads)], {"w": weight, "b": bias})}
    for kind in ("uint8", "int8"):
        nodes, held = _read(kind, weight, bias)
        held |= {"ys": np.float32(0.1)}
        product = _node("Conv", "xd wd bd", "p", **pads)
        made[f"{kind}, output in float"] = [*nodes, _node("Conv", "xd wd bd", "y", **pads)], held
        made[f"{kind}, output rounded"] = [*nodes, product, *_rounded("p", "y", "ys")], held
    return made


def _products(width: int, out: int) -> Mapping[str, Form]:
    weight, bias = 0.05 * _noise(out, width), _noise(out)
    made: dict[str, Form] = {"float": ([_node("Gemm", "x w b", "y", transB=1)], {"w": weight, "b": bias})}
    for kind in ("uint8", "int8"):
        nodes, held = _read(kind, weight, bias)
        made[f"{kind}, Gemm"] = [*nodes, _node("Gemm", "xd wd bd", "y", transB=1)], held
    nodes, held = _read("uint8", weight, bias)
    nodes[2] = _node("DequantizeLinear", "wq ws", "wd", axis=0)
    made["uint8, Gemm, no zero point of the weight"] = [*nodes, _node("Gemm", "xd wd bd", "y", transB=1)], held
    for bits in (8, 4):
        for block in (32, 64, 128):
            if width % block == 0:
                made[f"blocks of {block} in {bits} bits"] = _blocks(width, out, bits, block, bias)
    return made


def _read(kind: str, weight: np.ndarray, bias: np.ndarray) -> Form:
    """The activation rounded, weight and bias in whole numbers: what all forms begin with."""
    step = np.float32(8 / 255)
    scale = (np.abs(weight.reshape(len(weight), -1)).max(1) / 127).astype(np.float32)
    whole = np.rint(weight / scale.reshape(-1, *(1,) * (weight.ndim - 1))).astype(np.int8)
    held = {
        "xs": step, "z": np.array(128 if kind == "uint8" else 0, kind), "wq": whole, "ws": scale,
        "wz": np.zeros(len(weight), np.int8), "bq": np.rint(bias / (step * scale)).astype(np.int32), "bs": step * scale,
    }  # fmt: skip
    weights = _node("DequantizeLinear", "wq ws wz", "wd", axis=0), _node("DequantizeLinear", "bq bs", "bd", axis=0)
    return [*_rounded("x", "xd", "xs"), *weights], held


def _rounded(value: str, name: str, scale: str) -> list[onnx.NodeProto]:
    return [
        _node("QuantizeLinear", f"{value} {scale} z", f"{name}q"),
        _node("DequantizeLinear", f"{name}q {scale} z", name),
    ]


def _blocks(width: int, out: int, bits: int, block: int, bias: np.ndarray) -> Form:
    numbers = np.random.default_rng(0).integers(0, 256, (out, width // block, block * bits // 8)).astype(np.uint8)
    node = helper.make_node(
        "MatMulNBits", ["x", "w", "s", "", "", "b"], ["y"], domain="com.microsoft",
        K=width, N=out, bits=bits, block_size=block, accuracy_level=4,
    )  # fmt: skip
    return [node], {"w": numbers, "s": np.full((out, width // block), 0.01, np.float32), "b": bias}


def _race(title: str, x: np.ndarray, forms: Mapping[str, Form]) -> None:
    """Every form in turn, round after round, in one process."""
    runs = {name: _session(*form, x) for name, form in forms.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            run()
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    print(f"{title}\n{'':42} best ms  of float  median of float")
    best, usual = min(times["float"]), np.array(times["float"])
    for name, each in times.items():
        print(f"  {name:40} {1e3 * min(each):7.2f} {min(each) / best:9.2f} {np.median(np.array(each) / usual):16.2f}")


def _session(nodes: Sequence[onnx.NodeProto], held: Mapping[str, np.ndarray], x: np.ndarray) -> Callable[[], object]:
    ends = (
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    graph = helper.make_graph(
        nodes, "form", *ends, [numpy_helper.from_array(np.asarray(v), k) for k, v in held.items()]
    )
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})


def _node(operator: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(), [output], **attributes)


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


if __name__ == "__main__":
    main()
