"""The two file formats: IDX (MNIST) and Python pickles (CIFAR).

Only bytes with an official checksum come here. A pickle is read with suspicion all the
same, for it is a program.
"""

import gzip
import io
import pickle
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isometry.core.messages import refusal
from isometry.supervised.data.files import DataError

# All that a pickled array of numbers names, under the module's old and new name. The
# objects are looked up here, never imported on the pickle's word.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that knows numpy arrays and plain values, and nothing else."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in _ADMITTED:
            name = f"{module_name}.{global_name}"
            raise pickle.UnpicklingError(f"it asks for {name}, which is not admitted")
        return _ADMITTED[module_name, global_name]


def unpickle_arrays(content: bytes, source: str) -> dict[str, Any]:
    """Return the dictionary in a pickle that holds plain values and arrays only.

    Byte strings, which Python 2 wrote for every string, become text in the keys and
    stay bytes in the values.

    Args:
        content: The pickle.
        source: Its name, for the message.

    Raises:
        DataError: If it is damaged, or names anything but what an array needs; nothing
            that it names is imported or called.

    Source: "Restricting Globals" in the documentation of :mod:`pickle`.
    """
    try:
        loaded = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise nearly anything
        needed, found = f"a pickle of arrays in {source}", f"{type(error).__name__}"
        do = "fetch the official file"
        raise DataError(refusal(needed, f"{found}: {error}", do)) from error
    return {k.decode() if isinstance(k, bytes) else k: v for k, v in loaded.items()}


def read_idx(content: bytes) -> NDArray[np.uint8]:
    """Return the array of unsigned bytes in a gzipped IDX file.

    Args:
        content: The gzipped file.

    Returns:
        uint8 array of the shape that the file states.

    Source: the IDX format of Y. LeCun's MNIST page: two zero bytes, the element type
    (8: unsigned byte), the number of dimensions, each as a big-endian 32-bit integer.
    """
    raw = gzip.decompress(content)
    shape = struct.unpack(f">{raw[3]}I", raw[4 : 4 + 4 * raw[3]])
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape).copy()


def read_cifar(
    content: bytes, source: str, label_key: str
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the images and one kind of labels of a CIFAR batch.

    Args:
        content: The pickle.
        source: Its name, for the message.
        label_key: ``labels`` (CIFAR-10), ``fine_labels`` or ``coarse_labels``.

    Returns:
        Images uint8 ``(n, 3, 32, 32)`` and labels int64 ``(n,)``.

    Raises:
        DataError: See :func:`unpickle_arrays`.

    Source: A. Krizhevsky's CIFAR page: rows of 3,072 bytes, red, green, blue planes,
    each row by row.
    """
    batch = unpickle_arrays(content, source)
    labels = np.array(batch[label_key], dtype=np.int64)
    return batch["data"].reshape(-1, 3, 32, 32), labels
