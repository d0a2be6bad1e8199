"""Owns everything that a run leaves on the machine: its kernels and one temporary directory.

Both are gone when the pool closes, however the run ends. One thread.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from jupyter_client.kernelspec import KernelSpecManager

from .dap import Client
from .kernels import Kernel
from .options import WITHOUT, Options, Side

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ARGV = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
SPEC = {
    "display_name": "benchmark",
    "language": "python",
    "metadata": {"debugger": True},
}


class Pool:
    """Starts kernels, all alike but for the debugger. Use it as a context manager."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._directory = tempfile.TemporaryDirectory(
            prefix="nbdebug-benchmarks-", ignore_cleanup_errors=True
        )
        home = self._home = Path(self._directory.name)
        for name in ("tmp", "ipython", "kernels/benchmark"):
            (home / name).mkdir(parents=True)
        spec = SPEC | {"argv": [options.python, *ARGV]}
        (home / "kernels/benchmark/kernel.json").write_text(json.dumps(spec))
        self._specs = KernelSpecManager(kernel_dirs=[str(home / "kernels")])
        self._environ = dict(os.environ) | {
            "IPYTHONDIR": str(home / "ipython"),
            "JUPYTER_RUNTIME_DIR": str(home),
            "TMPDIR": str(home / "tmp"),
            "PYTHONPYCACHEPREFIX": str(home / "pycache"),
        }
        # With this set a kernel compiles all that it imports, and starts five times slower.
        self._environ.pop("PYTHONDONTWRITEBYTECODE", None)
        self._alive: list[Kernel] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill what is left and remove the directory."""
        while self._alive:
            self._alive.pop().kill()
        self._directory.cleanup()

    @property
    def folder(self) -> Path:
        """Where files of a run may lie; it goes with the pool."""
        return self._home

    @property
    def environ(self) -> dict[str, str]:
        """The environment of every process that is measured."""
        return dict(self._environ)

    def start(self, side: Side) -> Client:
        """A new kernel; its debugger is not switched on yet."""
        kernel = Kernel(self._specs, self._home, self._environ)
        self._alive.append(kernel)
        return Client(kernel, self.options.setup(side))

    def start_on(self, side: Side) -> Client:
        """A new kernel with the debugger on, if the side has one."""
        client = self.start(side)
        if side not in WITHOUT:
            client.run_setup()
            client.switch_on()
        return client

    def end(self, client: Client) -> None:
        """Kill one kernel before its time."""
        if client.kernel in self._alive:
            self._alive.remove(client.kernel)
            client.kernel.kill()

    @contextmanager
    def group(self) -> Iterator[None]:
        """Whatever is started inside ends with the block."""
        before = list(self._alive)
        try:
            yield
        finally:
            for kernel in [k for k in self._alive if k not in before]:
                self._alive.remove(kernel)
                kernel.kill()

    def warm(self, sides: Iterable[Side], code: str) -> None:
        """Fill the byte-code cache: start each side once and run ``code`` there."""
        with self.group():
            for side in sides:
                self.start_on(side).kernel.execute(code)
