"""A process that says of itself what another should see in it: programs/tells_itself.py."""

import json
import os
import subprocess
from typing import Any

from interpreters import ROOT
from targets import TargetPython

PROGRAM = ROOT / "tests" / "programs" / "tells_itself.py"


class SelfTold:
    """A process that says of itself what should be seen in it."""

    def __init__(self, python: TargetPython) -> None:
        self.process = subprocess.Popen(
            [str(python.path), str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **python.environment, "PYTHONPATH": ""},
        )
        self.pid = self.process.pid
        assert self._answer() == "ready\n"

    def ask(self, what: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        found: dict[str, Any] = json.loads(self._answer())
        return found

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()
