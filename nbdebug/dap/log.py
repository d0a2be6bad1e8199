"""A readable record of every message of a session, for those who look for a fault.

Owns one file; knows messages only as JSON. Any thread may write.
"""

import json
import os
import threading
from datetime import datetime
from typing import TextIO


class MessageLog:
    """Writes each message to ``folder/nbdebug-PID-TIME.log``; with no folder, nothing at all."""

    def __init__(self, folder: str | None) -> None:
        self._file: TextIO | None = None
        self._lock = threading.Lock()
        self.path: str | None = None
        if folder:
            os.makedirs(folder, exist_ok=True)
            stamp = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
            self.path = os.path.join(folder, f"nbdebug-{os.getpid()}-{stamp}.log")
            self._file = open(self.path, "w", encoding="utf-8", buffering=1)  # noqa: SIM115  # kept open

    def write(self, direction: str, message: object) -> None:
        """Add a line: the time, `<-` for what came in, `->` for what went out, and the message."""
        if self._file is None:
            return
        title = ""
        if isinstance(message, dict):
            name = message.get("command") or message.get("event") or ""
            outcome = "" if message.get("success", True) else " FAILED"
            title = f"{message.get('type', '')} {name}{outcome}"
        text = message if isinstance(message, str) else json.dumps(message, default=repr)
        with self._lock:
            print(f"{datetime.now():%H:%M:%S.%f} {direction} {title:<28} {text}", file=self._file)

    def write_failure(self) -> None:
        """Add the traceback of the exception that is being handled."""
        if self._file is not None:
            import traceback  # it is large, and seldom needed

            self.write("!!", traceback.format_exc())

    def close(self) -> None:
        """End the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
