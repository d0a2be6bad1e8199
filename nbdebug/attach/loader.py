"""The script that the target runs: a few lines that start the agent on a thread of its own.

Owns that text. The target runs it on its main thread, between any two of its instructions: import
locks may be held, modules half imported. So it imports `_thread` and `sys` alone, which every
process has (before 3.13 threading too), and starts one thread; nothing that it raises reaches the
program, and nothing is printed.
"""

import functools
import inspect
import marshal
import os
from dataclasses import asdict, dataclass
from importlib.util import MAGIC_NUMBER

from nbdebug.attach.agent import HURRY_S

# A KeyboardInterrupt may come while these lines run: it is the program's, and is sent once more.
# A program that gives the GIL away every millisecond, for a file or an array, takes it back before
# another thread wakes up, which then begins to wait anew: the agent could wait for seconds. So its
# thread asks for the GIL sooner than all others, until its work is done.
_SCRIPT = """\
import _thread, sys
def run(magic, code, source, settings, interval):
    try:
        if sys.modules["_frozen_importlib_external"].MAGIC_NUMBER == magic:
            import marshal
            code = marshal.loads(code)
        else:
            code = compile(source, {name!r}, "exec", 0, True)
        namespace = {{"__name__": "nbdebug-agent"}}
        exec(code, namespace)
        namespace["serve"](settings, namespace, interval)
    except BaseException:
        pass
def start(*arguments):
    interval = sys.getswitchinterval()
    sys.setswitchinterval(min(interval, {hurry_s}))
    try:
        _thread.start_new_thread(run, (*arguments, interval))
    except BaseException:
        sys.setswitchinterval(interval)
        raise
try:
    if sys.version_info < (3, 13):
        import threading  # the thread that imports it first is the main one to it
    start({magic!r}, {code!r}, {source!r}, {settings!r})
    del run, start
except KeyboardInterrupt:
    _thread.interrupt_main()
except BaseException as error:
    try:
        with open({failure!r}, "x") as file:
            file.write(type(error).__name__ + ": " + str(error))
    except BaseException:
        pass
"""


_NAME = "<nbdebug agent>"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the agent is told, as the target sees it: ``socket`` and ``failure`` are paths.

    The agent shows ``token``, and the attacher ``answer``: each once. ``uid`` is whose the other
    end must be; None where users have other numbers there.
    """

    socket: str
    failure: str
    token: str
    answer: str
    uid: int | None


def script(settings: Settings) -> str:
    """Return the text that the target is to run."""
    source = agent_source()
    return _SCRIPT.format(
        name=_NAME,
        magic=MAGIC_NUMBER,
        code=_marshalled(source),
        source=source,
        settings=asdict(settings),
        failure=settings.failure,
        hurry_s=HURRY_S,
    )


def agent_source() -> str:
    """Return the agent's code as text."""
    path = os.path.join(os.path.dirname(inspect.getfile(Settings)), "agent.py")
    with open(path, encoding="utf-8") as file:
        return file.read()


@functools.lru_cache(maxsize=1)
def _marshalled(source: str) -> bytes:
    """Return the agent's code: a target of this version needn't compile it."""
    return marshal.dumps(compile(source, _NAME, "exec", 0, True))
