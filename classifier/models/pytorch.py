"""Read the tensors of a PyTorch checkpoint without PyTorch, and without running anything that is in the file.

The legacy layout of `torch.save` (before PyTorch 1.6) is a series of pickles: a magic number, the protocol version, the
writer's word sizes, the state dictionary, and the keys of its storages. After them follows each storage in that order:
its length (int64) and its numbers. Source: `torch.serialization._legacy_load`.
"""

import math
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

MAGIC_NUMBER, PROTOCOL_VERSION = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {
    "HalfStorage": "<f2",
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "CharStorage": "<i1",
    "ShortStorage": "<i2",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
}


class Storage(NamedTuple):
    """A run of `length` numbers that tensors look into."""

    key: str
    dtype: str
    length: int


class Tensor(NamedTuple):
    """A view into a storage: `shape` elements, `strides` apart, from `offset` on; all in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """Return the tensor's own elements, contiguous. Raises ValueError if it reaches outside its storage."""
        sizes = (self.offset, *self.shape, *self.strides)
        if len(self.shape) != len(self.strides) or not all(isinstance(size, int) and size >= 0 for size in sizes):
            raise ValueError("a tensor of an impossible shape")
        size = math.prod(self.shape)
        last = self.offset + sum((side - 1) * stride for side, stride in zip(self.shape, self.strides, strict=True))
        if size > len(numbers) or (size and last >= len(numbers)):
            raise ValueError("a tensor larger than its storage")
        steps = [stride * numbers.itemsize for stride in self.strides]
        view = np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, steps, writeable=False)
        return np.ascontiguousarray(view).reshape(self.shape)


class RebuildTensor:
    """Stands for `torch._utils._rebuild_tensor_v2`. It has no attributes, so a pickle cannot change it."""

    __slots__ = ()

    def __call__(
        self, storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
    ) -> Tensor:
        return Tensor(storage, offset, shape, strides)


class RestrictedUnpickler(pickle.Unpickler):
    """An unpickler that knows a state dictionary's names and refuses all others."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return RebuildTensor()
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"a reference to {module}.{name}, which no weights need")

    def persistent_load(self, pid: Any) -> Storage:
        match pid:
            case ("storage", str(dtype), str(key), str(), int(count), None) if (
                dtype in STORAGES.values() and count >= 0
            ):
                return Storage(key, dtype, count)
        raise pickle.UnpicklingError("a storage of an unknown kind")


def read(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a checkpoint by name, each contiguous.

    Raises OSError if the file cannot be read, and ValueError, with a phrase that says what was found instead, if it is
    not such a checkpoint, is cut short, or refers to anything but tensors.
    """
    with path.open("rb") as file:
        try:
            state, keys = header(file)
            numbers = storages(file, state, keys, path.stat().st_size)
            return {name: tensor.of(numbers[tensor.storage.key]) for name, tensor in state.items()}
        except pickle.UnpicklingError as exc:
            raise ValueError(str(exc)) from exc
        except (ArithmeticError, AttributeError, EOFError, KeyError, IndexError, MemoryError, TypeError) as exc:
            raise ValueError("a damaged or truncated file") from exc


def header(file: IO[bytes]) -> tuple[dict[str, Tensor], list[str]]:
    """Read the pickles: the tensors by name, and the keys of the storages that follow, in order."""
    magic, version, _, state, keys = (RestrictedUnpickler(file).load() for _ in range(5))
    if (magic, version) != (MAGIC_NUMBER, PROTOCOL_VERSION):
        raise ValueError("another layout than that of PyTorch's legacy checkpoints")
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ValueError("something else than a dictionary of tensors")
    return state, keys


def storages(file: IO[bytes], state: dict[str, Tensor], keys: list[str], size: int) -> dict[str, np.ndarray]:
    """Read the numbers of every storage, after checking that the file is long enough for what it declares."""
    declared = {tensor.storage.key: tensor.storage for tensor in state.values()}
    found = {}
    for key in keys:
        storage = declared[key]
        count = int.from_bytes(file.read(8), "little")
        length = count * np.dtype(storage.dtype).itemsize
        if count != storage.length or file.tell() + length > size:
            raise EOFError
        found[key] = np.frombuffer(file.read(length), storage.dtype)
    return found
