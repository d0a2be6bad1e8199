"""The flags of code objects, by the names that `inspect` has for them.

That module and what it imports would take a megabyte of each process that the engine is put into.
Imports nothing; any thread.
"""

from typing import Final

CO_OPTIMIZED: Final = 0x1
CO_GENERATOR: Final = 0x20
CO_COROUTINE: Final = 0x80
CO_ITERABLE_COROUTINE: Final = 0x100
CO_ASYNC_GENERATOR: Final = 0x200
