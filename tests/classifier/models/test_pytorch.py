"""PyTorch's legacy checkpoints are read without PyTorch, and nothing in them is run."""

import io
import os
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest

from classifier.models.pytorch import MAGIC_NUMBER, PROTOCOL_VERSION, read


class Global:
    """Pickled as a reference to a name, which need not exist here."""

    def __init__(self, module, name):
        self.name = f"{module}\n{name}\n"


class Writer(pickle._Pickler):
    """Writes what `torch.save` wrote: globals by name, storages as persistent ids."""

    def save(self, obj, **options):
        if isinstance(obj, Global):
            return self.write(pickle.GLOBAL + obj.name.encode())
        return super().save(obj, **options)

    def persistent_id(self, obj):
        return obj.pid if isinstance(obj, Stored) else None


class Stored:
    def __init__(self, key, count, kind="FloatStorage"):
        self.pid = ("storage", Global("torch", kind), key, "cpu", count, None)


class Rebuilt:
    """Pickled as a call of `function`."""

    def __init__(self, *arguments, function=("torch._utils", "_rebuild_tensor_v2")):
        self.arguments, self.function = arguments, function


def dumped(obj):
    buffer = io.BytesIO()
    writer = Writer(buffer, 2)
    writer.dispatch = pickle._Pickler.dispatch | {Rebuilt: save_rebuilt}
    writer.dump(obj)
    return buffer.getvalue()


def save_rebuilt(writer, obj):
    writer.save(Global(*obj.function))
    writer.save(obj.arguments)
    writer.write(pickle.REDUCE)


def checkpoint(tensors, storages, magic=MAGIC_NUMBER, version=PROTOCOL_VERSION):
    """A file of tensors, {name: Rebuilt}, and storages, {key: array}."""
    sizes = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [dumped(part) for part in (magic, version, sizes, OrderedDict(tensors), sorted(storages))]
    return b"".join(parts) + b"".join(struct.pack("<q", len(s)) + s.tobytes() for _, s in sorted(storages.items()))


def tensor(key="0", count=6, offset=0, shape=(2, 3), strides=(3, 1), kind="FloatStorage"):
    return Rebuilt(Stored(key, count, kind), offset, shape, strides, False, OrderedDict())


NUMBERS = np.arange(6, dtype=np.float32)


@pytest.fixture
def write(tmp_path):
    def write(data):
        path = tmp_path / "weights.pth"
        path.write_bytes(data)
        return path

    return write


def test_a_tensor_is_its_view_of_its_storage(write):
    tensors = {
        "whole": tensor(),
        "turned": tensor(shape=(3, 2), strides=(1, 3)),
        "part": tensor(offset=4, shape=(2,), strides=(1,)),
    }
    found = read(write(checkpoint(tensors, {"0": NUMBERS})))
    np.testing.assert_array_equal(found["whole"], NUMBERS.reshape(2, 3))
    np.testing.assert_array_equal(found["turned"], NUMBERS.reshape(2, 3).T)
    np.testing.assert_array_equal(found["part"], [4, 5])
    assert all(array.flags.c_contiguous for array in found.values())


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("HalfStorage", "f2"),
        ("FloatStorage", "f4"),
        ("DoubleStorage", "f8"),
        ("IntStorage", "i4"),
        ("LongStorage", "i8"),
    ],
)
def test_float_and_integer_storages_are_read(write, kind, dtype):
    found = read(write(checkpoint({"x": tensor(kind=kind)}, {"0": NUMBERS.astype(dtype)})))
    assert found["x"].dtype == dtype
    np.testing.assert_array_equal(found["x"], NUMBERS.reshape(2, 3))


def test_a_number_without_dimensions_and_an_empty_tensor_are_read(write):
    tensors = {"count": tensor("1", 1, 0, (), (), "LongStorage"), "none": tensor(shape=(0, 3), strides=(3, 1))}
    found = read(write(checkpoint(tensors, {"0": NUMBERS, "1": np.array([7])})))
    assert found["count"] == 7
    assert found["none"].shape == (0, 3)


@pytest.mark.parametrize(
    "function", [("os", "system"), ("builtins", "eval"), ("torch._utils", "_rebuild_parameter"), ("numpy", "load")]
)
def test_code_is_refused_by_name_and_not_run(write, tmp_path, function):
    hostile = Rebuilt(f"touch {tmp_path / 'run'}", function=function)
    with pytest.raises(ValueError, match=rf"^a reference to {function[0]}\.{function[1]}, which no weights need$"):
        read(write(checkpoint({"x": hostile}, {"0": NUMBERS})))
    assert not (tmp_path / "run").exists()


def test_a_pickle_of_code_in_any_place_is_refused(write, tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "run"),)

    for data in (pickle.dumps(Hostile(), 2), dumped(MAGIC_NUMBER) + pickle.dumps(Hostile(), 2)):
        with pytest.raises(ValueError, match=r"a reference to posix\.mkdir"):
            read(write(data))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "impossible",
    [
        {"shape": (2, 4)},
        {"offset": 1},
        {"shape": (10**9,), "strides": (0,)},
        {"shape": (2**40, 2**40), "strides": (0, 0)},
        {"shape": (2, -3)},
        {"strides": (-3, 1)},
        {"strides": (3,)},
        {"offset": -1},
        {"shape": ("2", 3)},
        {"shape": None},
        {"count": 10**9},
    ],
)
def test_a_tensor_outside_its_storage_is_refused(write, impossible):
    with pytest.raises(ValueError, match=r"^(a tensor|a damaged)"):
        read(write(checkpoint({"x": tensor(**impossible)}, {"0": NUMBERS})))


def test_a_gigabyte_that_is_only_declared_is_not_reserved(write):
    data = checkpoint({"x": tensor(count=2**28, shape=(2**28,), strides=(1,))}, {"0": NUMBERS})
    at = len(data) - NUMBERS.nbytes - 8
    with pytest.raises(ValueError, match="a damaged or truncated file"):
        read(write(data[:at] + struct.pack("<q", 2**28) + data[at + 8 :]))


def test_a_file_cut_short_anywhere_is_refused(write):
    data = checkpoint({"x": tensor()}, {"0": NUMBERS})
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"."):
            read(write(data[:length]))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 a new checkpoint", b"GIF89a", bytes(1000), b"\x80\x02." * 5])
def test_another_file_is_refused(write, data):
    with pytest.raises(ValueError, match=r"."):
        read(write(data))


def test_another_layout_is_refused(write):
    with pytest.raises(ValueError, match="another layout"):
        read(write(checkpoint({"x": tensor()}, {"0": NUMBERS}, magic=7)))
    with pytest.raises(ValueError, match="something else than a dictionary of tensors"):
        read(write(checkpoint({"x": 7}, {})))
