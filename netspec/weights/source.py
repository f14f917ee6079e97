"""Where weights come from: a file or a dictionary, as a mapping that reads each tensor when it is asked for.

Pickles are only ever read with `torch.load(weights_only=True)`, which builds tensors and plain containers and nothing
else.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import safe_open
from torch import Tensor

from netspec.errors import Diagnostic, WeightsError
from netspec.weights.aligned import dtype_name, read_layout
from netspec.weights.header import DTYPE_BITS, TensorInfo, cannot_read

Weights: TypeAlias = str | os.PathLike[str] | Mapping[str, Tensor]

NESTED = "state_dict"  # where training frameworks put the weights among other things
WRAPPERS = ("module.", "_orig_mod.")  # DataParallel and torch.compile, where every key has it
INSIDE = "model.diffusion_model."  # the denoiser among the parts of a latent diffusion checkpoint


@dataclass(frozen=True)
class Source(Mapping[str, Tensor]):
    """Tensors by name, with dtypes and shapes known before any is read. `label` names it in messages."""

    label: str
    infos: Mapping[str, TensorInfo]
    fetch: Callable[[str], Tensor]  # by the name that the info has

    def __getitem__(self, key: str) -> Tensor:
        return self.fetch(self.infos[key].name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.infos)

    def __len__(self) -> int:
        return len(self.infos)

    def without_prefix(self) -> Source:
        """The denoiser's own tensors under its own names, whatever wraps it."""
        for prefix in WRAPPERS:
            if self.infos and all(key.startswith(prefix) for key in self.infos):
                return self._below(prefix).without_prefix()
        if any(key.startswith(INSIDE) for key in self.infos):
            return self._below(INSIDE).without_prefix()
        return self

    def _below(self, prefix: str) -> Source:
        inside = {key.removeprefix(prefix): info for key, info in self.infos.items() if key.startswith(prefix)}
        return Source(self.label, inside, self.fetch)


def open_source(weights: Weights) -> Source:
    """The tensors of a `.safetensors` file, a PyTorch checkpoint (any other suffix) or a dictionary.

    Raises WeightsError: NS601, NS602 (not a safetensors file, truncated), NS607 (cannot be read), NS608 (a checkpoint
    that holds no tensors, or more than tensors and plain data).
    """
    if isinstance(weights, Mapping):
        return _of_tensors("the dictionary", weights).without_prefix()
    path = Path(weights)
    if path.suffix == ".safetensors":
        return _of_safetensors(path).without_prefix()
    return _of_tensors(str(path), _unpickled(path)).without_prefix()


def _of_safetensors(path: Path) -> Source:
    infos = {info.name: info for info in read_layout(path).tensors}  # checks the file, hides padding
    file = safe_open(path, framework="pt")  # maps the file; closed with the last reference
    return Source(str(path), infos, file.get_tensor)


def _of_tensors(label: str, state: Mapping[str, Any]) -> Source:
    if isinstance(inner := state.get(NESTED), Mapping):
        state = inner
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise _not_weights(f"{label} holds no tensors", f"a state dict, bare or under `{NESTED}`, is expected")
    infos = {key: TensorInfo(key, dtype_name(value.dtype), tuple(value.shape)) for key, value in tensors.items()}
    return Source(label, infos, tensors.__getitem__)


def _unpickled(path: Path) -> Mapping[str, Any]:
    try:
        mapped = zipfile.is_zipfile(path)  # not the form before PyTorch 1.6
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise _not_weights(
            f"{path} holds more than tensors and plain data, and is not read",
            "a pickle can run any program; convert it to safetensors where you trust its origin",
        ) from error
    except OSError as error:
        raise cannot_read(path, error) from error
    except Exception as error:  # a damaged archive raises whatever its reader meets
        raise _not_weights(f"{path} is not a PyTorch checkpoint", "download or write the file again") from error
    if not isinstance(state, Mapping):
        raise _not_weights(f"{path} holds no state dict", f"it holds a {type(state).__name__}")
    return state


def _not_weights(message: str, help_text: str) -> WeightsError:
    return WeightsError(Diagnostic("NS608", message, help=(help_text,)))


def is_float(info: TensorInfo) -> bool:
    """Whether the tensor holds floating-point numbers."""
    return info.dtype in DTYPE_BITS and info.dtype.startswith(("F", "BF"))
