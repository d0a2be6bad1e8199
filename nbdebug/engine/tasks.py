"""The asyncio tasks of the user's threads: where each waits, for what, and who waits for it.

Owns the reading of tasks, futures and coroutines, which is physical: no method that a user's class
could have replaced is called. Must not know stops. Any thread may call, while the loops run or are
idle in a selector; a task that changes meanwhile is shown as it was found.
"""

import gc
import itertools
import os
import sys
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import (
    AsyncGeneratorType,
    CellType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MethodType,
)
from typing import Any

from nbdebug.engine import physical
from nbdebug.engine.checks import location_of
from nbdebug.engine.model import TaskInfo
from nbdebug.engine.threads import Threads, top_frame
from nbdebug.engine.usercode import UserCode

_LOOP_FILE = os.path.join("asyncio", "base_events.py")
_DEEPEST = 1000  # coroutines that await one another
_NAMES = 3


@dataclass(frozen=True, slots=True)
class _Task:
    """A task as it was found: the thread of its loop, and its frames, innermost first."""

    task: Any
    ident: int
    frames: tuple[FrameType, ...]
    is_running: bool


class Tasks:
    """Finds the user's tasks."""

    def __init__(self, threads: Threads, user_code: UserCode) -> None:
        self.host_packages: frozenset[str] = frozenset()
        """Packages whose tasks are the host's, unless code of the user's runs in them."""
        self._threads = threads
        self._user_code = user_code
        self._ids: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._next_id = itertools.count(1)

    def all(self) -> list[TaskInfo]:
        """Return the user's tasks, in the order in which they were first seen."""
        found = self._found()
        self._ids = {i: known for i, known in self._ids.items() if known[0]() is not None}
        infos = [self._info(one, found) for one in found if self._is_users(one)]
        return sorted(infos, key=lambda info: info.id)

    def of_thread(self, ident: int) -> list[TaskInfo]:
        """Return the user's tasks in the loop of one thread."""
        id_ = self._threads.id_of(ident)
        return [info for info in self.all() if info.thread_id == id_]

    def waits_in_loop(self, ident: int) -> bool:
        """True while a thread's event loop waits for something to do."""
        for frame in _walk(top_frame(ident)):
            if self._user_code.is_user(frame):
                return False
            if _runs_loop(frame):
                return True
        return False

    def frames_of_thread(self, ident: int) -> list[FrameType]:
        """Return the user's frames of the task that a thread without user code goes on with.

        That is the task of the running cell where there is one: its outermost code is a module's.
        """
        stacks = [self._users_frames(one) for one in self._found() if one.ident == ident]
        stacks = [frames for frames in stacks if frames]
        stacks.sort(key=lambda frames: frames[-1].f_code.co_name != "<module>")
        return stacks[0] if stacks else []

    def awaiter_of(self, frame: FrameType) -> FrameType | None:
        """Return the innermost user frame that awaits the task whose outermost frame this is."""
        found = self._found()
        ended = next((one for one in found if one.frames and one.frames[-1] is frame), None)
        if ended is None:
            return None
        waiting = (one for one in _awaiting(ended.task, found) if one is not ended)
        return next((frames[0] for one in waiting if (frames := self._users_frames(one))), None)

    # -- inside

    def _found(self) -> list[_Task]:
        tasks = sys.modules.get("asyncio.tasks")
        if tasks is None or not hasattr(tasks, "all_tasks"):
            return []
        found = []
        for ident in self._threads.users():
            stack = list(_walk(top_frame(ident)))
            for loop in _loops(stack):
                for task in _tasks_of(loop, tasks.all_tasks):
                    root = _get(task, "_coro")
                    frames, is_running = _frames_of(root, stack)
                    found.append(_Task(task, ident, frames, is_running))
        return found

    def _is_users(self, one: _Task) -> bool:
        if self._users_frames(one):
            return True
        if not one.frames:
            return False
        return not self.host_packages.intersection(map(_package, one.frames))

    def _users_frames(self, one: _Task) -> list[FrameType]:
        return [frame for frame in one.frames if self._user_code.is_user(frame)]

    def _id_of(self, task: Any) -> int:
        known = self._ids.get(id(task))
        if known is None or known[0]() is not task:
            known = self._ids[id(task)] = weakref.ref(task), next(self._next_id)
        return known[1]

    def _info(self, one: _Task, found: list[_Task]) -> TaskInfo:
        return TaskInfo(
            self._id_of(one.task),
            _name(one.task),
            _state(one),
            self._threads.id_of(one.ident),
            tuple(location_of(frame) for frame in self._users_frames(one)),
            self._awaits(one),
            tuple(_name(other.task) for other in _awaiting(one.task, found)),
        )

    def _awaits(self, one: _Task) -> str:
        """Say what a task waits for: the library's function, the task, the tasks of a gather."""
        if one.is_running:
            return ""
        called = ""
        for frame in one.frames:
            if self._user_code.is_user(frame):
                break
            called = _call_text(frame)  # the outermost that the user's code called
        future = _get(one.task, "_fut_waiter")
        if future is None:
            return called
        children = _get(future, "_children")
        what = ""
        if _is_task(future):
            what = f"task {_name(future)}"
        elif type(children) is list:
            named = [_name(child) if _is_task(child) else "a Future" for child in children]
            more = ["..."] if len(named) > _NAMES else []
            what = f"gather of {', '.join([*named[:_NAMES], *more])}"
        return ": ".join(text for text in (called, what) if text) or "a Future"


def _walk(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _loops(stack: Iterable[FrameType]) -> list[Any]:
    """Return the event loops that a thread runs, found by the frames that run them."""
    return [frame.f_locals.get("self") for frame in stack if _runs_loop(frame)]


def _runs_loop(frame: FrameType) -> bool:
    code = frame.f_code
    return code.co_name == "run_forever" and code.co_filename.endswith(_LOOP_FILE)


def _tasks_of(loop: Any, all_tasks: Any) -> list[Any]:
    try:
        return sorted(all_tasks(loop), key=id)
    except RuntimeError:  # the tasks of another thread changed all the time
        return []


def _get(task: Any, name: str) -> Any:
    for cls in physical.mro(type(task)):
        entry: Any = physical.class_dict(cls).get(name)
        if physical.is_descriptor(entry):  # not what a subclass of the user's puts before it
            return entry.__get__(task)
    if physical.lookup(type(task), name) is not None:
        return None
    try:
        # A future's dictionary has no descriptor, and no class has this name: nothing of them runs.
        return object.__getattribute__(task, name)
    except AttributeError:
        return None


def _is_future(value: object) -> bool:
    modules = ("_asyncio", "asyncio.futures")
    return any(physical.module_of(cls) in modules for cls in physical.mro(type(value)))


def _is_task(value: object) -> bool:
    wanted = (("_asyncio", "Task"), ("asyncio.tasks", "Task"), ("asyncio.tasks", "_PyTask"))
    mro = physical.mro(type(value))
    return any((physical.module_of(cls), physical.name_of(cls)) in wanted for cls in mro)


def _name(task: Any) -> str:
    given = _c_method(task, "get_name")
    return str(given() if given is not None else _get(task, "_name") or "task")


def _c_method(task: Any, name: str) -> Any:
    """Return a method of asyncio's own class in C, whatever a subclass makes of it."""
    cls = physical.loaded("_asyncio", "Task")
    if not (isinstance(cls, type) and physical.inherits(type(task), cls)):
        return None
    return physical.class_dict(cls)[name].__get__(task)


def _state(one: _Task) -> str:
    if one.is_running:
        return "running"
    if _get(one.task, "_must_cancel") or _cancels(one.task):
        return "cancelling"
    return "ready" if _get(one.task, "_fut_waiter") is None else "waiting"


def _cancels(task: Any) -> int:
    cancelling = _c_method(task, "cancelling")
    found = _get(task, "_num_cancels_requested") if cancelling is None else cancelling()
    return int(found or 0)


def _frames_of(root: Any, stack: list[FrameType]) -> tuple[tuple[FrameType, ...], bool]:
    """Return the frames of a task's coroutines, innermost first, and whether they run now."""
    first = _frame(root)
    if first is not None and any(first is frame for frame in stack):
        above = itertools.takewhile(lambda frame: frame is not first, stack)
        return (*above, first), True
    found: list[FrameType] = []
    awaited = root
    while awaited is not None and len(found) < _DEEPEST:
        frame = _frame(awaited)
        if frame is not None:
            found.append(frame)
        awaited = _awaited_by(awaited)
    return tuple(reversed(found)), False


def _frame(awaited: Any) -> FrameType | None:
    kind = type(awaited)
    if kind is CoroutineType:
        frame: FrameType | None = awaited.cr_frame
    elif kind is GeneratorType:
        frame = awaited.gi_frame
    elif kind is AsyncGeneratorType:
        frame = awaited.ag_frame
    else:
        frame = None
    return frame


def _awaited_by(awaited: Any) -> Any:
    """Return what a coroutine or the like waits for in its turn, None at the chain's end."""
    kind = type(awaited)
    if kind is CoroutineType:
        return awaited.cr_await
    if kind is GeneratorType:
        return awaited.gi_yieldfrom
    if kind is AsyncGeneratorType:
        return awaited.ag_await
    if physical.module_of(kind) not in ("", "builtins"):
        return None
    # Of what `__anext__`, `asend` and `__await__` give, only the collector knows the inside.
    inside = gc.get_referents(awaited)
    return next((one for one in inside if _frame(one) is not None), None)


def _awaiting(task: Any, found: list[_Task]) -> list[_Task]:
    """Return the tasks that wait for ``task``, directly or through a gather, group or shield."""
    reached, waiting = {id(task): task}, [task]
    while waiting:
        for future in _futures_behind(waiting.pop()):
            if id(future) not in reached:
                reached[id(future)] = future
                waiting.append(future)
    return [one for one in found if id(_get(one.task, "_fut_waiter")) in reached]


def _futures_behind(future: Any) -> Iterator[Any]:
    """Yield the futures that a future's end may end, as its callbacks tell."""
    for entry in _get(future, "_callbacks") or ():
        callback = entry[0] if type(entry) is tuple else entry
        if type(callback) is FunctionType:
            yield from filter(_is_future, map(_content, callback.__closure__ or ()))
        elif type(callback) is MethodType:
            owner = callback.__self__
            if physical.module_of(type(owner)) == "asyncio.taskgroups":
                held = _get(owner, "_on_completed_fut")
                if held is not None:
                    yield held


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__") or "").partition(".")[0]


def _call_text(frame: FrameType) -> str:
    text = f"{_package(frame)}.{frame.f_code.co_qualname}"
    delay = frame.f_locals.get("delay") if text == "asyncio.sleep" else None
    return f"{text}({delay})" if type(delay) in (int, float) else text
