"""The hash by which Jupyter names a cell's file, three times as fast as ipykernel's own.

Owns one function that stands for ipykernel's while nbdebug is loaded: it is run for each cell, and
ipykernel's takes 0.13 s and more for a megabyte.
"""

import sys

import ipykernel.compiler

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF

_ipykernels = ipykernel.compiler.murmur2_x86


def murmur2(text: str, seed: int) -> int:
    """Return the Murmur2 hash of ``text`` in UTF-8, of 32 bits."""
    data = text.encode()
    rounded_end = len(data) & ~3
    result = seed ^ len(data)
    for word in memoryview(data)[:rounded_end].cast("I"):
        mixed = word * _M & _MASK
        result = result * _M & _MASK ^ (mixed ^ mixed >> 24) * _M & _MASK
    if rounded_end < len(data):
        result = (result ^ int.from_bytes(data[rounded_end:], "little")) * _M & _MASK
    result = (result ^ result >> 13) * _M & _MASK
    return result ^ result >> 15


def install() -> None:
    """Have ipykernel use it, where the machine's words are as the hash reads them."""
    if sys.byteorder == "little":
        ipykernel.compiler.murmur2_x86 = murmur2


def remove() -> None:
    """Undo `install`."""
    ipykernel.compiler.murmur2_x86 = _ipykernels
