"""The magic %processes.

Owns its grammar. Run on the thread that runs the cell.
"""

from IPython.core.magic import Magics, line_magic, magics_class

from nbdebug import errors
from nbdebug.attach import processes
from nbdebug.kernel.answering import answer
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
        return answer(lambda: _list(line.split()))


def _list(words: list[str]) -> ProcessTable:
    texts = [word for word in words if word != "--details"]
    unknown = [text for text in texts if text.startswith("--")]
    if unknown:
        raise errors.UsageError(f"`%processes` has no option `{unknown[0]}`.")
    return ProcessTable(processes.find_all(texts, details="--details" in words))
