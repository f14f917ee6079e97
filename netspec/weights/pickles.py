"""PyTorch checkpoints: `torch.load(weights_only=True)` and nothing else, and the names of the tensors inside.

A checkpoint is a tree: a state dict, bare or beside an optimiser's state and bookkeeping. Here it becomes flat, one
name for each tensor: `{"ema": {"blocks.0.weight": …}}` has `ema.blocks.0.weight`. What is the network is told by names
(`netspec.weights.source`), not by how deep they lie.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from netspec.errors import Diagnostic, WeightsError
from netspec.weights.header import FOREIGN, cannot_read

_ZIP = b"PK\x03\x04"
_OLD = b"\x80\x02"  # the form before PyTorch 1.6

# What training frameworks write beside weights. Their classes are not imported: an inert object takes the values.
_BOOKKEEPING = (
    "argparse.Namespace",
    "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
)


class _Inert:
    """Takes anything and does nothing."""

    def __init__(self, *values: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


_STAND_INS = [(type(name.rpartition(".")[2], (_Inert,), {}), name) for name in _BOOKKEEPING]


def unpickled(path: Path) -> dict[str, Tensor]:
    """Every tensor of a PyTorch checkpoint by its flat name, mapped from the file where its form allows that.

    Raises WeightsError: NS602 (truncated), NS607 (cannot be read), NS608 (no checkpoint, or one that holds more than
    tensors and plain data).
    """
    try:
        with path.open("rb") as file:
            head = file.read(32)
    except OSError as error:
        raise cannot_read(path, error) from error
    for magic, explanation in FOREIGN:
        if head.lstrip().startswith(magic) and magic not in (_ZIP, _OLD):
            raise not_weights(f"{path} is not a PyTorch checkpoint", explanation)
    mapped = zipfile.is_zipfile(path)
    if head.startswith(_ZIP) and not mapped:
        raise WeightsError(
            Diagnostic("NS602", f"{path} is truncated: the end of the archive is missing", help=("download it again",))
        )
    return dict(flat(_load(path, mapped)))


def _load(path: Path, mapped: bool) -> Any:
    try:
        with torch.serialization.safe_globals(_STAND_INS):  # type: ignore[arg-type]  # pairs are allowed
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise WeightsError(
            Diagnostic(
                "NS608",
                f"{path} holds more than tensors and plain data, and is not read",
                notes=(f"it asks for `{wanted[1]}`",) if wanted else (),
                help=("a pickle can run any program; convert it to safetensors where you trust its origin",),
            )
        ) from error
    except OSError as error:
        raise cannot_read(path, error) from error
    except Exception as error:  # a damaged archive raises whatever its reader meets
        raise not_weights(f"{path} is not a PyTorch checkpoint", "download or write the file again") from error


def flat(tree: object, start: str = "") -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of nested mappings; lists and what is not named by text hold no state dict."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if not isinstance(key, str):
                continue
            if isinstance(value, Tensor):
                yield f"{start}{key}", value
            else:
                yield from flat(value, f"{start}{key}.")


def not_weights(message: str, *help: str) -> WeightsError:
    """NS608: this holds no weights that netspec reads."""
    return WeightsError(Diagnostic("NS608", message, help=help))
