"""Our files against torch.onnx's of the same network, and int8 against our own best: the bars of docs/performance/.

python -m benchmarks deployment [sd15|ddpm|dit …] [ort-cpu|openvino-bf16|int8 …] [kept]

Files stay in build/deployment/. Ours are built anew each time but with `kept`, torch.onnx's where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks import rivals
from benchmarks.process import quiet
from netspec import compiler, parity, proof
from netspec.bench import figures, race
from netspec.bench.backends import EAGER, backends
from netspec.bench.measure import processors
from netspec.bench.process import Worker, WorkerError
from netspec.bench.report import environment
from netspec.bench.sizes import words
from netspec.bundle import Manifest
from netspec.planner import lower

BUILT = Path("build/deployment")
RIVAL, KEPT = "torch.onnx of diffusers", "kept"
ORT, OPENVINO = "exporters.onnx.engine:OrtEngine", "exporters.openvino.engine:OpenVINOEngine"


@dataclass(frozen=True)
class Bar:
    """`targets`, as in a spec, are to take at most `limit` of the time of the best of the others: of `own`, which are
    ours as well, and of torch.onnx's file in the engine `rival`. `shown` are backends that are timed for comparison."""

    limit: float
    targets: Mapping[str, Mapping[str, object]]
    own: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    rival: str = ""
    shown: tuple[str, ...] = ()


FP32, BF16 = {"exporter": "onnx"}, {"exporter": "openvino", "precision": "bf16"}
BARS = {
    "ort-cpu": Bar(0.85, {"onnx": FP32, "onnx-fixed": FP32}, rival=ORT, shown=(EAGER,)),
    "openvino-bf16": Bar(0.85, {"openvino": BF16, "openvino-fixed": BF16}, rival=OPENVINO),
    "int8": Bar(
        0.7,
        {f"{name}-int8-fixed": {"exporter": name, "precision": "int8"} for name in ("onnx", "openvino")},
        {"onnx-fixed": FP32, "openvino-fixed": BF16},
    ),
}  # fmt: skip


def main(*names: str, rounds: int = 15) -> None:
    quiet()
    networks = [name for name in names if name in rivals.NETWORKS] or list(rivals.NETWORKS)
    bars = [name for name in names if name in BARS] or list(BARS)
    if unknown := set(names) - {*rivals.NETWORKS, *BARS, KEPT}:
        raise SystemExit(f"no network or bar `{unknown.pop()}`: {', '.join([*rivals.NETWORKS, *BARS, KEPT])}")
    where = environment(processors())
    tools = ", ".join(f"{name} {where.versions.get(name, 'none')}" for name in ("torch", "onnxruntime", "openvino"))
    print(f"{where.cpu}, {where.threads} threads, {tools}, load average {where.load}")
    for network in networks:
        for bar in bars:
            _compare(network, bar, rounds, KEPT in names)


def _compare(network: str, name: str, rounds: int, kept: bool) -> None:
    """Each of ours against all of the others: together they might not fit into memory."""
    bar = BARS[name]
    ours = {each.name: each for each in _ours(network, name, kept)}
    others = [ours.pop(each) for each in bar.own if each in ours]
    if bar.rival:
        others.append(_rival(network, bar.rival))
    print(f"{network} at {words(rivals.NETWORKS[network].sizes)}, {name}: at most {bar.limit} of the best other")
    for each in ours.values():
        turns = _times([*others, each], network, rounds)
        medians = {name: figures.quantile(own, 0.5) for name, own in turns.items()}
        for other, own in turns.items():
            line = f"  {other:<26} {1e3 * medians[other]:9.1f} ms, p90 {1e3 * figures.quantile(own, 0.9):9.1f} ms"
            if other == each.name and len(turns) > 1:
                best = min(medians.keys() - {other}, key=medians.__getitem__)
                line += _verdict(figures.ratio(own, turns[best]), best, bar.limit if other in bar.targets else None)
            print(line, flush=True)


def _verdict(ratio: figures.Ratio, best: str, limit: float | None) -> str:
    said = "" if limit is None else f": {'reached' if ratio.value <= limit else 'missed'}"
    return f"  {ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f}) of {best}{said}"


def _times(contenders: Sequence[race.Contender], network: str, rounds: int) -> dict[str, figures.Turns]:
    """Seconds of every run, each contender in a process of its own."""
    chosen = rivals.NETWORKS[network]
    plan = lower(chosen.load())
    free, needed = proof.available(), sum(_bytes(each.path) for each in contenders)
    if free is not None and needed > free:
        print(f"  {', '.join(each.name for each in contenders)}: {needed / 1e9:.0f} GB of memory are not free")
        return {}
    with TemporaryDirectory(prefix="deployment-") as folder, ExitStack() as stack:
        scratch = Path(folder)
        np.savez(scratch / "inputs.npz", **parity.inputs_at(plan, chosen.sizes))
        runners = {}
        for contender in contenders:
            worker = stack.enter_context(Worker(processors(), scratch))
            try:
                runners[contender.name] = race.Runner.start(contender, worker)
                runners[contender.name].warm_up(scratch / "inputs.npz")
            except WorkerError as error:
                print(f"  {contender.name}: {error}")
                runners.pop(contender.name, None)
        turns, failed = race.race(runners, rounds=rounds)
    for name, reason in failed.items():
        print(f"  {name}: {reason}")
    return dict(turns)


def _bytes(path: Path) -> int:
    """Of the files beside one, weights among them."""
    folder = path if path.is_dir() else path.parent
    return sum(each.stat().st_size for each in folder.iterdir() if each.is_file())


def _rival(network: str, engine: str) -> race.Contender:
    """torch.onnx's file."""
    path = BUILT / network / "rival" / "model.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _apart(partial(rivals.export, network, path))
    return race.Contender(RIVAL, engine, path)


def _ours(network: str, name: str, kept: bool) -> list[race.Contender]:
    """Our files: those called fixed for these sizes alone, as the rival's are."""
    bar, folder, sizes = BARS[name], BUILT / network / name, rivals.NETWORKS[network].sizes
    targets = {
        each: dict(target) | ({"dims": dict(sizes)} if each.endswith("-fixed") else {})
        for each, target in (bar.own | bar.targets).items()
    }
    if not kept or not folder.exists():
        _apart(partial(_build, network, folder, targets))
    found, absent = backends(folder, Manifest.read(folder), lower(compiler.read_spec(folder)), [*bar.shown, *targets])
    for each in absent:
        print(f"  {each.name}: {each.reason}")
    return [each.contender for each in found]


def _build(network: str, folder: Path, targets: Mapping[str, object]) -> None:
    spec = rivals.NETWORKS[network].load(targets)
    compiler.compile(spec, folder, compiler.Options(parity=False, force=True))


def _apart(work: partial[None]) -> None:
    """Do it in a process that gives its memory back."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(work).result()


if __name__ == "__main__":
    main()
