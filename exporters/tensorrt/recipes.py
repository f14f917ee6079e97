"""The files beside `model.onnx` that make an engine of it, run it and configure runtimes for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from exporters.tensorrt.sizes import POINTS, Profile
from netspec.precision import PrecisionPlan
from netspec.target import Port
from netspec.weights.aligned import AlignedLayout, AlignedWriter, TensorInfo, dtype_name

SCRIPTS = ("build_engine.py", "run_engine.py")
PROFILE, BUILD, COMMANDS, RUNTIMES, PRECISION, RUN = (
    "profile.json", "build.json", "build_engine.sh", "ort_tensorrt.json", "precision.txt", "parity.safetensors",
)  # fmt: skip
_TEMPLATES = Path(__file__).with_name("templates")


def write(
    folder: Path, profile: Profile, precision: PrecisionPlan, *, dynamic: Sequence[str], memory: int | None, refit: bool
) -> list[Path]:
    """Write every file that needs no run, and name it. `dynamic`: inputs whose sizes vary; `memory`, in bytes."""
    texts = {
        PROFILE: _json(profile),
        BUILD: _json({"memory": memory, "refit": refit}),
        COMMANDS: commands(profile, memory, refit, bfloat16="bf16" in precision.uses),
        RUNTIMES: _json(runtimes({name: profile[name] for name in dynamic}, memory)),
        PRECISION: table(precision),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    for name in SCRIPTS:
        shutil.copyfile(_TEMPLATES / name, folder / name)
    for name in (*SCRIPTS, COMMANDS):
        (folder / name).chmod(0o755)
    return [folder / name for name in (*texts, *SCRIPTS)]


def write_run(
    folder: Path,
    ports: Sequence[Port],
    inputs: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    tolerance: float,
) -> None:
    """parity.safetensors: inputs in the graph's types, outputs in float32, and how close they shall be."""
    held = {f"inputs/{port.name}": torch.from_numpy(inputs[port.name]).to(port.dtype) for port in ports}
    held |= {f"outputs/{name}": torch.from_numpy(array) for name, array in outputs.items()}
    infos = [TensorInfo(name, dtype_name(each.dtype), tuple(each.shape)) for name, each in held.items()]
    layout = AlignedLayout.plan(infos, {"tolerance": f"{tolerance:g}"}, alignment=1)
    with AlignedWriter(folder / RUN, layout) as writer:
        for name, each in held.items():
            writer.write(name, each)


def table(precision: PrecisionPlan) -> str:
    """What each role of the network computes in, as text."""
    rows = [("role", "precision", "layers", "weights", "why")]
    rows += [
        (role, dtype, f"{layers:,}", f"{weights:,}", why) for role, dtype, layers, weights, why in precision.rows()
    ]
    role, dtype, layers, weights = (max(len(row[column]) for row in rows) for column in range(4))
    lines = [f"{a:<{role}}  {b:<{dtype}}  {c:>{layers}}  {d:>{weights}}  {e}".rstrip() for a, b, c, d, e in rows]
    between = "statistics of norms and the softmax are fp32" if precision.base != "fp32" else ""
    lines.append(
        f"\ninputs, outputs and what lies between layers: {precision.base}" + (f"; {between}" if between else "")
    )
    return "\n".join(lines) + "\n"


def commands(profile: Profile, memory: int | None, refit: bool, *, bfloat16: bool) -> str:
    """A shell script with the lines for trtexec and polygraphy."""
    text = (_TEMPLATES / COMMANDS).read_text(encoding="utf-8")
    options = [f"--{point}Shapes={_shapes(profile, point)}" for point in POINTS]
    options += [f"--memPoolSize=workspace:{memory // 2**20}M"] if memory else []
    options += ["--refit"] if refit else []
    shapes = [f"--trt-{point}-shapes {_polygraphy(profile, point)}" for point in POINTS]
    values = {
        "@TRTEXEC@": _lines(options),
        "@POLYGRAPHY@": _lines(shapes),
        "@REFERENCE@": _NO_REFERENCE if bfloat16 else "",
    }
    for name, value in values.items():
        text = text.replace(name, value)
    return text


# ONNX Runtime, the other side of polygraphy's comparison, computes no bfloat16 on the CPU.
_NO_REFERENCE = (
    "\n    echo 'ONNX Runtime has no bfloat16 convolutions: compare with run_engine.py instead' >&2\n    exit 2"
)


def runtimes(profile: Profile, memory: int | None) -> dict[str, dict[str, str]]:
    """Options of ONNX Runtime's two TensorRT providers. Precision is in the graph: with `trt_fp16_enable` and its kin
    left alone, the provider builds a strongly typed network."""
    tensorrt = {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": "engines",
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": "engines",
    }
    rtx = {"nv_runtime_cache_path": "engines"}
    if profile:
        for point in POINTS:
            tensorrt[f"trt_profile_{point}_shapes"] = rtx[f"nv_profile_{point}_shapes"] = _shapes(profile, point)
    if memory:
        tensorrt["trt_max_workspace_size"] = rtx["nv_max_workspace_size"] = str(memory)
    return {"TensorrtExecutionProvider": tensorrt, "NvTensorRTRTXExecutionProvider": rtx}


def _shapes(profile: Profile, point: str) -> str:
    """`x:2x4x64x64,t:2`, as trtexec and ONNX Runtime write sizes."""
    return ",".join(f"{name}:{'x'.join(map(str, sizes[point])) or '1'}" for name, sizes in profile.items())


def _polygraphy(profile: Profile, point: str) -> str:
    return " ".join(f"'{name}:[{','.join(map(str, sizes[point]))}]'" for name, sizes in profile.items())


def _lines(options: Sequence[str]) -> str:
    return " \\\n        ".join(options)


def _json(data: object) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
