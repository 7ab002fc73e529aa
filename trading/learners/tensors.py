"""Named float32 arrays as canonical bytes: no pickle, one byte string per content, hence one hash.

magic, header length (4 bytes, big endian), header (JSON, sorted keys), then each array's little-endian bytes by
name
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trading.errors import ModelError

_MAGIC = b"tradeloom-tensors-1\n"
_LITTLE = np.dtype("<f4")


def pack_tensors(kind: str, tensors: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Return `tensors` as bytes, names in order."""
    names = sorted(tensors)
    header = {"kind": kind, "shapes": {name: list(tensors[name].shape) for name in names}}
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    data = b"".join(np.ascontiguousarray(tensors[name], dtype=_LITTLE).tobytes() for name in names)
    return _MAGIC + struct.pack(">I", len(text)) + text + data


def unpack_tensors(kind: str, payload: bytes) -> dict[str, NDArray[np.float32]]:
    """Return the arrays that `pack_tensors` wrote.

    Raises:
        ModelError: other bytes, another kind, or bytes missing or left over.
    """
    try:
        if not payload.startswith(_MAGIC):
            raise ValueError("another format")
        place = len(_MAGIC) + 4
        (length,) = struct.unpack(">I", payload[len(_MAGIC) : place])
        header = json.loads(payload[place : place + length])
        if header["kind"] != kind:
            raise ValueError(f"a {header['kind']}")
        return _arrays(header["shapes"], payload[place + length :])
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise ModelError(f"expected the bytes of a {kind}, found {error}") from error


def _arrays(shapes: Mapping[str, list[int]], data: bytes) -> dict[str, NDArray[np.float32]]:
    arrays, place = {}, 0
    for name in sorted(shapes):
        count = int(np.prod(shapes[name]))
        values = np.frombuffer(data, _LITTLE, count, place)
        arrays[name] = values.reshape(shapes[name]).astype(np.float32)
        place += 4 * count
    if place != len(data):
        raise ValueError(f"{len(data) - place} bytes too many")
    return arrays
