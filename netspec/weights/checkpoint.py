"""What a checkpoint is on the disk, and its tensors by the names that they have there.

model.safetensors                                one file
model.safetensors.index.json, pytorch_model.bin.index.json, a folder with one of them: a file in shards
transformer/                                     a folder with one file of weights, such as diffusers writes
model.pt .pth .ckpt .bin                         a PyTorch checkpoint
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from torch import Tensor

from netspec.errors import Diagnostic, WeightsError
from netspec.weights.aligned import dtype_name, load_tensor, read_layout
from netspec.weights.files import sha256_file
from netspec.weights.header import TensorInfo, cannot_read, strict_json
from netspec.weights.pickles import flat, not_weights, unpickled

Weights: TypeAlias = str | os.PathLike[str] | Mapping[str, Tensor]

INDEX = ".index.json"
MAX_INDEX = 25_000_000  # bytes; what a header may have
_ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")  # of weights in a folder, the first that is there


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, with dtypes and shapes known before any is read. `label` names it in messages."""

    label: str
    kind: str  # in words
    infos: Mapping[str, TensorInfo]
    fetch: Callable[[str], Tensor]
    files: tuple[Path, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


def open_checkpoint(weights: Weights) -> Checkpoint:
    """The tensors of a file, of the shards of one, of a folder, or of a dictionary.

    Raises WeightsError: NS601, NS602 (not a safetensors file, truncated), NS607 (cannot be read), NS608 (a checkpoint
    that holds no tensors, or more than tensors and plain data), NS621 (shards that are missing or not as the index
    says).
    """
    if isinstance(weights, Mapping):
        return _of_tensors("the dictionary", "dictionary", dict(flat(weights)))
    path = _file(Path(weights))
    return _of_index(path) if path.name.endswith(INDEX) else _of_file(path)


def checkpoint_sha256(weights: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file; of shards, that of the list of theirs. Raises as `open_checkpoint`."""
    path = _file(Path(weights))
    if not path.name.endswith(INDEX):
        return sha256_file(path)
    shards = sorted(set(_weight_map(path).values()))
    return sha256("".join(sha256_file(path.parent / shard) for shard in shards).encode()).hexdigest()


def _file(path: Path) -> Path:
    """The file to begin with; in a folder the index or the weights that it holds."""
    if not path.is_dir():
        return path
    inside = sorted(each for each in path.iterdir() if each.is_file() and not each.name.startswith("."))
    indices = [each for each in inside if each.name.endswith(INDEX)]
    for ending in (*(f"{ending}{INDEX}" for ending in _ENDINGS), *(() if indices else _ENDINGS)):
        found = [each for each in inside if each.name.endswith(ending)]
        if len(found) > 1 and len(whole := [each for each in found if each.name.count(".") == ending.count(".")]) == 1:
            found = whole  # `diffusion_pytorch_model.safetensors` beside `diffusion_pytorch_model.fp16.safetensors`
        if len(found) > 1:
            raise not_weights(f"{path} holds several files of weights", f"name one: {_listed(found)}")
        if found:
            return found[0]
    below = sorted(each for each in path.iterdir() if each.is_dir() and _has_weights(each))
    raise not_weights(f"{path} holds no weights", *([f"name one of its folders: {_listed(below)}"] if below else []))


def _has_weights(folder: Path) -> bool:
    return any(each.name.endswith(_ENDINGS) for each in folder.iterdir())


def _listed(paths: list[Path]) -> str:
    names = [path.name for path in paths[:6]]
    return ", ".join(names) + (f" and {len(paths) - 6} more" if len(paths) > 6 else "")


def _of_file(path: Path) -> Checkpoint:
    if path.suffix != ".safetensors":
        return _of_tensors(str(path), "PyTorch checkpoint", unpickled(path), path)
    layout = read_layout(path)  # checks the file, hides padding

    def fetch(name: str) -> Tensor:
        return load_tensor(path, layout.infos[name], layout.offset(name))

    return Checkpoint(str(path), "safetensors", layout.infos, fetch, (path,), layout.metadata)


def _of_tensors(label: str, kind: str, tensors: Mapping[str, Tensor], *files: Path) -> Checkpoint:
    if not tensors:
        raise not_weights(f"{label} holds no tensors", "a state dict is expected, bare or among other things")
    infos = {name: TensorInfo(name, _dtype(value), tuple(value.shape)) for name, value in tensors.items()}
    return Checkpoint(label, kind, infos, tensors.__getitem__, files)


def _dtype(tensor: Tensor) -> str:
    try:
        return dtype_name(tensor.dtype)
    except WeightsError:  # matters where it is a weight, and is told there
        return str(tensor.dtype).removeprefix("torch.").upper()


def _of_index(path: Path) -> Checkpoint:
    """A file in shards. Each is opened once; every name of the index has to be where the index says, and no more."""
    where = _weight_map(path)
    shards: dict[str, Checkpoint] = {}
    for name in sorted(set(where.values())):
        if not (path.parent / name).is_file():
            missing = [each for each in sorted(set(where.values())) if not (path.parent / each).is_file()]
            raise _bad_shards(f"{path} lacks {len(missing)} of {len(set(where.values()))} shards", missing)
        shards[name] = _of_file(path.parent / name)
    if absent := [key for key, shard in where.items() if key not in shards[shard].infos]:
        raise _bad_shards(f"{path} names {len(absent)} tensors that its shards do not hold", absent)
    if extra := [key for shard, opened in shards.items() for key in opened.infos if where.get(key) != shard]:
        raise _bad_shards(f"the shards of {path} hold {len(extra)} tensors that the index does not name", extra)
    infos = {key: shards[shard].infos[key] for key, shard in where.items()}
    kind = f"{shards[next(iter(shards))].kind} in {len(shards)} shards"
    files = (path, *(path.parent / name for name in shards))
    return Checkpoint(str(path), kind, infos, lambda key: shards[where[key]].fetch(key), files)


def _bad_shards(message: str, names: list[str]) -> WeightsError:
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return WeightsError(Diagnostic("NS621", message, notes=(shown,), help=("download the folder again",)))


def _weight_map(path: Path) -> Mapping[str, str]:
    """Tensor → the shard that holds it, a file beside the index."""
    try:
        if path.stat().st_size > MAX_INDEX:
            raise _not_an_index(path, f"it has more than {MAX_INDEX:,} bytes")
        document = strict_json(path.read_bytes())
    except OSError as error:
        raise cannot_read(path, error) from error
    except ValueError as error:
        raise _not_an_index(path, str(error)) from error
    found = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(found, dict) or not found:
        raise _not_an_index(path, "it has no `weight_map`")
    for shard in _texts(path, found.values()):
        if PurePosixPath(shard).name != shard or "\\" in shard or shard.endswith(INDEX) or shard in ("", ".", ".."):
            raise _not_an_index(path, f"{shard!a} is not a file beside it")
    return found


def _texts(path: Path, values: object) -> Iterator[str]:
    for value in values:  # type: ignore[attr-defined]  # of a dictionary
        if not isinstance(value, str):
            raise _not_an_index(path, "its `weight_map` should map names to names")
        yield value


def _not_an_index(path: Path, why: str) -> WeightsError:
    return WeightsError(Diagnostic("NS621", f"{path} is not an index of shards: {why}", help=("download it again",)))
