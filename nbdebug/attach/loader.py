"""The script that the target runs: a few lines that start the agent on a thread of its own.

Owns that text. The target runs it on its main thread, between any two of its instructions: import
locks may be held, modules half imported. So it imports only what every process has (before 3.13
threading too), and starts one thread; nothing of ours that is raised reaches the program, and
nothing is printed.

A program that computes would share the GIL with the agent; and one that gives it away every
millisecond, for a file or an array, takes it back before another thread wakes up, which may then
wait for seconds. So its main thread waits here for the agent, for a part of a second at the most.
What a handler of a signal raises meanwhile is raised once more where the program goes on.
"""

import functools
import inspect
import marshal
import os
from dataclasses import asdict, dataclass
from importlib.util import MAGIC_NUMBER

from nbdebug.attach.agent import HURRY_S

_SCRIPT = """\
import _signal, _thread, sys
def run(path, settings, interval, go_on):
    try:
        with open(path, "rb") as file:
            magic, size = file.read(4), int.from_bytes(file.read(4), "little")
            code, source = file.read(size), file.read()
        if sys.modules["_frozen_importlib_external"].MAGIC_NUMBER == magic:
            import marshal
            code = marshal.loads(code)
        else:
            code = compile(source, {name!r}, "exec", 0, True)
        namespace = {{"__name__": "nbdebug-agent"}}
        exec(code, namespace)
        namespace["serve"](settings, namespace, interval, go_on)
    except BaseException:
        go_on()
def start(*arguments):
    interval = sys.getswitchinterval()
    gate = _thread.allocate_lock()
    gate.acquire()
    def go_on():
        if gate.locked():
            gate.release()
    hurries = interval > {hurry_s} * 1.01  # else the agent before, which is leaving, has set it
    if hurries:
        sys.setswitchinterval({hurry_s})
    try:
        _thread.start_new_thread(run, (*arguments, interval, go_on))
    except BaseException:
        if hurries:
            sys.setswitchinterval(interval)
        raise
    try:
        gate.acquire(True, {wait_s})
        return True
    except BaseException as error:
        pass_on(error)
        return False
def pass_on(error):
    number = _signal.SIGURG
    before = _signal.getsignal(number)
    error.__traceback__ = error.__traceback__.tb_next
    def again(number, frame):
        _signal.signal(number, before)
        raise error
    if before is not None:
        _signal.signal(number, again)
        _thread.start_new_thread(remind, (number, _thread.get_ident()))
def remind(number, main):
    import time
    while is_here(sys._current_frames().get(main)):
        time.sleep(0.001)
    _thread.interrupt_main(number)
def is_here(frame):
    while frame is not None:
        if frame.f_globals is start.__globals__:
            return True
        frame = frame.f_back
    return False
try:
    if sys.version_info < (3, 13):
        import threading  # the thread that imports it first is the main one to it
    if start({agent!r}, {settings!r}):
        del run, start, pass_on, remind, is_here
except KeyboardInterrupt as error:
    pass_on(error)
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
    """What the agent is told, as the target sees it: ``agent``, ``socket``, ``failure`` are paths.

    The agent shows ``token``, and the attacher ``answer``: each once. ``uid`` is whose the other
    end must be; None where users have other numbers there. For ``wait_s`` the main thread waits for
    the agent at the most.
    """

    agent: str
    socket: str
    failure: str
    token: str
    answer: str
    uid: int | None
    wait_s: float = 0.0


def script(settings: Settings) -> str:
    """Return the text that the target is to run."""
    return _SCRIPT.format(
        name=_NAME,
        agent=settings.agent,
        settings=asdict(settings),
        failure=settings.failure,
        hurry_s=HURRY_S,
        wait_s=settings.wait_s,
    )


def agent_file() -> bytes:
    """Return what the script reads: the agent's code, for a target of this version, and its text.

    Not in the script: what a handler of a signal raises while that is compiled, is lost.
    """
    source = agent_source()
    code = _marshalled(source)
    return MAGIC_NUMBER + len(code).to_bytes(4, "little") + code + source.encode()


def agent_source() -> str:
    """Return the agent's code as text."""
    path = os.path.join(os.path.dirname(inspect.getfile(Settings)), "agent.py")
    with open(path, encoding="utf-8") as file:
        return file.read()


@functools.lru_cache(maxsize=1)
def _marshalled(source: str) -> bytes:
    """Return the agent's code."""
    return marshal.dumps(compile(source, _NAME, "exec", 0, True))
