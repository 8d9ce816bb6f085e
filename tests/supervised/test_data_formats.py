"""IDX and CIFAR files: what was written is read, and what is evil is refused."""

import gzip
import pickle
import struct

import numpy as np
import pytest

from isometry.supervised.data.files import DataError
from isometry.supervised.data.formats import read_cifar, read_idx, unpickle_arrays

RNG = np.random.default_rng(0)


def idx(array):
    head = struct.pack(">HBB", 0, 8, array.ndim)
    return head + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.parametrize("shape", [(5,), (3, 4, 5), (1, 1), (0, 28, 28)])
def test_idx_returns_what_was_written(shape):
    array = RNG.integers(256, size=shape, dtype=np.uint8)
    found = read_idx(gzip.compress(idx(array)))
    np.testing.assert_array_equal(found, array)
    assert found.flags.writeable


IMAGES = RNG.integers(256, size=(2, 3, 4), dtype=np.uint8)


def batch(**entries):
    """A pickle as Python 2 and an old numpy wrote it: byte keys, the old module name.

    Protocol 3 writes names as lines of text, so that the module can be renamed.
    """
    content = pickle.dumps({k.encode(): v for k, v in entries.items()}, protocol=3)
    return content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def test_cifar_rows_become_colour_planes():
    planes = RNG.integers(256, size=(4, 3, 32, 32), dtype=np.uint8)
    content = batch(data=planes.reshape(4, 3072), labels=[3, 1, 0, 2])
    assert b"numpy.core" in content
    assert b"numpy._core" not in content
    images, labels = read_cifar(content, "x", "labels")
    np.testing.assert_array_equal(images, planes)
    np.testing.assert_array_equal(labels, [3, 1, 0, 2])
    assert labels.dtype == np.int64


@pytest.mark.parametrize("protocol", range(3, 5))
def test_array_pickles_of_this_numpy_are_admitted(protocol):
    content = pickle.dumps({"data": IMAGES, "names": [b"a"]}, protocol=protocol)
    found = unpickle_arrays(content, "x")
    np.testing.assert_array_equal(found["data"], IMAGES)
    assert found["names"] == [b"a"]


class Evil:
    """Its pickle calls ``function(*arguments)`` in a plain unpickler."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_malicious_pickle_is_refused_before_anything_runs(protocol, tmp_path):
    import os

    trace = tmp_path / "trace"
    content = pickle.dumps({"data": Evil(os.mkdir, str(trace))}, protocol=protocol)
    with pytest.raises(DataError, match=r"asks for (posix|nt)\.mkdir"):
        unpickle_arrays(content, "x")
    assert not trace.exists()
    pickle.loads(content)  # the test would see it if it ran
    assert trace.exists()


@pytest.mark.parametrize(
    "name",
    ["builtins.eval", "builtins.getattr", "numpy.load", "numpy.ndarray.tofile"],
)
def test_only_the_parts_of_an_array_are_admitted(name):
    module, attribute = name.split(".", 1)
    content = b"\x80\x04" + b"".join(
        b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, attribute)
    )
    with pytest.raises(DataError, match=f"asks for {name}"):
        unpickle_arrays(content + b"\x93.", "x")


@pytest.mark.parametrize(
    "content", [batch(data=IMAGES, labels=[1, 2])[:-30], b"", b"\x80\x04K\x01"]
)
def test_damaged_batch_is_refused_with_its_name(content):
    with pytest.raises(DataError, match="a pickle of arrays in x"):
        read_cifar(content, "x", "labels")
