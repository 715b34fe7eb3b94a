"""Memory that forward passes on a CPU compute in: kept from one to the next, in large pages."""

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Names of mallopt's settings in glibc's malloc.h."""
_KEPT, _LARGEST = 512 << 20, 64 << 20
"""Freed bytes that stay with the process, and the size from which a block goes back at once."""
_LARGE_PAGES = "THP_MEM_ALLOC_ENABLE"
"""What torch asks when it first allocates: whether tensors of 2 MiB and more take large pages."""


def keep() -> None:
    """Have freed blocks serve the next pass, which would fault each of their pages in again.

    What the environment says of malloc stays; without glibc nothing changes. Large pages come only
    where torch has allocated nothing yet.
    """
    os.environ.setdefault(_LARGE_PAGES, "1")
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_TRIM_THRESHOLD, _KEPT)
    mallopt(_MMAP_THRESHOLD, _LARGEST)
