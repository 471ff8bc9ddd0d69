"""The first 48 bytes of an HDF5 file, in plain Python.

A writer that was killed leaves two marks there: the "being written" flag, which makes
every ordinary open fail, and an old end-of-file address. Clearing the flag alone makes
the file unreadable; flag, address and checksum must change together. A full disk may
leave an address beyond the end, which is mended in the same way.
Layout: HDF5 File Format Specification 3.0, section II.A, superblock version 3; the
checksum is Jenkins' lookup3 ``hashlittle``.
"""

import os
import struct
from pathlib import Path

from acquisition.errors import BadRun

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SIZE = 48
_VERSION_AT, _FLAGS_AT, _END_AT, _CHECKSUM_AT = 8, 11, 28, 44
_MASK = 0xFFFFFFFF


def is_flagged(path: Path) -> bool:
    """Whether the file says that a writer has it open (or was killed)."""
    with path.open("rb") as file:
        head = file.read(_SIZE)
    return _is_ours(head) and head[_FLAGS_AT] != 0


def mend(path: Path) -> bool:
    """Make an unclosed file one that opens normally; True when it was changed.

    The old 48 bytes are kept beside it in ``NAME.bak``. Raises `BadRun` when the file
    does not begin with an intact superblock.
    """
    with path.open("r+b") as file:
        head = bytearray(file.read(_SIZE))
        if not _is_ours(bytes(head)):
            raise BadRun(
                f"{path} does not begin as an HDF5 file of ours; left as it is"
            )
        (stored,) = struct.unpack_from("<I", head, _CHECKSUM_AT)
        if stored != lookup3(bytes(head[:_CHECKSUM_AT])):
            raise BadRun(
                f"{path}: checksum of the first 48 bytes is wrong; not repaired"
            )
        (end,) = struct.unpack_from("<Q", head, _END_AT)
        size = path.stat().st_size
        if head[_FLAGS_AT] == 0 and end <= size:
            return False
        path.with_name(path.name + ".bak").write_bytes(head)
        head[_FLAGS_AT] = 0
        struct.pack_into("<Q", head, _END_AT, size)
        checksum = lookup3(bytes(head[:_CHECKSUM_AT]))
        struct.pack_into("<I", head, _CHECKSUM_AT, checksum)
        file.seek(0)
        file.write(head)
        file.flush()
        os.fsync(file.fileno())
    return True


def _is_ours(head: bytes) -> bool:
    return len(head) == _SIZE and head.startswith(_SIGNATURE) and head[_VERSION_AT] == 3


def lookup3(data: bytes, seed: int = 0) -> int:
    """Bob Jenkins' lookup3 ``hashlittle`` (public domain, 2006), 32 bits."""
    a = b = c = (0xDEADBEEF + len(data) + seed) & _MASK
    if not data:
        return c
    whole = (len(data) - 1) // 12 * 12  # the last 1 to 12 bytes are mixed differently
    for at in range(0, whole, 12):
        a, b, c = _mix(*_add(a, b, c, data[at : at + 12]))
    return _finish(*_add(a, b, c, data[whole:].ljust(12, b"\0")))


def _add(a: int, b: int, c: int, twelve: bytes) -> tuple[int, int, int]:
    x, y, z = struct.unpack("<3I", twelve)
    return (a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK


def _turn(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (32 - bits))) & _MASK


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for bits in (4, 6, 8, 16, 19, 4):
        a = ((a - c) & _MASK) ^ _turn(c, bits)
        c = (c + b) & _MASK
        a, b, c = b, c, a
    return a, b, c


def _finish(a: int, b: int, c: int) -> int:
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _turn(b, bits)) & _MASK
        a, b, c = b, c, a
    return b
