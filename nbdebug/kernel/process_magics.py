"""The magic %processes.

Owns its grammar. Run on the thread that runs the cell.
"""

import sys
from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class

from nbdebug import errors
from nbdebug.attach import processes
from nbdebug.kernel.processes import ProcessTable


@magics_class
class ProcessMagics(Magics):
    """What a notebook's user types to see the processes."""

    @line_magic
    def processes(self, line: str) -> ProcessTable | None:
        """List the Python processes of this machine, and which can be attached to.

        %processes                  all of them, the latest started first
        %processes train.py         those with this in their command, notebook, user or pid
        %processes --details        with what their memory tells; nothing is run in them
        """
        details = "--details" in line.split()
        texts = [word for word in line.split() if word != "--details"]
        try:
            unknown = [text for text in texts if text.startswith("--")]
            if unknown:
                raise errors.UsageError(f"`%processes` has no option `{unknown[0]}`.")
            return ProcessTable(processes.find_all(texts, details=details))
        except errors.NbdebugError as error:
            print(f"{error} {error.advice}".strip(), file=sys.stderr)
            return None


def register(shell: Any) -> None:
    """Add the magic to a shell."""
    shell.register_magics(ProcessMagics)


def unregister(shell: Any) -> None:
    """Take the magic away."""
    shell.magics_manager.magics["line"].pop("processes", None)
