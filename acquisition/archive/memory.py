"""One setting of the C allocator for a process that compresses images all day."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of <malloc.h>
_LARGEST_BUFFER = 32 << 20  # more is not allowed by glibc
_KEPT = 256 << 20


def keep_image_buffers() -> bool:
    """Let glibc keep freed image buffers; False where the allocator is another one.

    HDF5 takes and frees two buffers of the size of a frame for each one it compresses.
    Given back to the system each time, their page faults cost as much as the
    compression (1024 x 1024 x 4: 26 ms a frame with, 16 ms without them).
    """
    if not sys.platform.startswith("linux"):
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    set_option(_TRIM_THRESHOLD, _KEPT)
    return bool(set_option(_MMAP_THRESHOLD, _LARGEST_BUFFER))
