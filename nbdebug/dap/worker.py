"""A thread that does what must not keep others waiting: requests that run user code, say.

Owns one queue and the thread that empties it, in order; knows nothing of its jobs.

Threads: any may call. The worker, a daemon, is started by the first job and ends after some idle
seconds. `relieve` has another one take over the queue while this one still
waits: the answer to what it waits for may depend on jobs that come later.
"""

import threading
from _queue import Empty, SimpleQueue  # without the rest of `queue`, for a target's memory
from collections import deque
from collections.abc import Callable

from nbdebug.engine.locks import locked, new_lock

_IDLE_S = 10.0

Job = Callable[[], None]


class Worker:
    """Does jobs one after another; ``key`` names a job for `take_back` and `is_doing`."""

    def __init__(self, name: str, idle_s: float = _IDLE_S) -> None:
        self._name = name
        self._idle_s = idle_s
        self._jobs: deque[tuple[object, Job, Job]] = deque()
        self._signal: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._doing: dict[threading.Thread, object] = {}
        self._lock = new_lock()

    @locked
    def put(self, key: object, job: Job, dropped: Job) -> None:
        """Have ``job`` done after those before it, or else ``dropped``. Neither may raise."""
        self._jobs.append((key, job, dropped))
        if self._thread is None:
            self._start()
        self._signal.put(None)

    @locked
    def take_back(self, key: object) -> bool:
        """Drop a job that hasn't begun; False if there is none of this key."""
        found = next((entry for entry in self._jobs if entry[0] == key), None)
        if found is None:
            return False
        self._jobs.remove(found)
        found[2]()
        return True

    @property
    def is_idle(self) -> bool:
        """True if nothing is being done, and nothing waits."""
        return not (self._jobs or self._doing)

    @locked
    def is_doing(self, key: object) -> bool:
        """True while a job of this key is being done."""
        return key in self._doing.values()

    @locked
    def relieve(self) -> None:
        """Have another thread do what is and will be in the queue, if this one is at a job."""
        if self._thread not in self._doing or self._thread is threading.current_thread():
            return
        self._thread = None
        if self._jobs:
            self._start()

    @locked
    def close(self) -> None:
        """Drop the jobs that haven't begun, and end the thread after the present one."""
        while self._jobs:
            self._jobs.popleft()[2]()
        self._thread = None
        self._signal.put(None)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        # pydevd and our own engine leave threads alone that carry these.
        self._thread.pydev_do_not_trace = True  # type: ignore[attr-defined]
        self._thread.is_pydev_daemon_thread = True  # type: ignore[attr-defined]
        self._thread.start()

    def _run(self) -> None:
        me, signal = threading.current_thread(), self._signal
        while True:
            is_idle = False
            try:
                signal.get(timeout=self._idle_s)
            except Empty:
                is_idle = True
            job = self._next(me, is_idle)
            if job is None:
                return
            try:
                job()
            finally:
                self._doing.pop(me, None)

    @locked
    def _next(self, me: threading.Thread, is_idle: bool) -> Job | None:
        """Return the next job for this thread, None where it is to end."""
        if self._thread is not me:
            self._signal.put(None)  # it may have been for the thread that took over
            return None
        if not self._jobs:
            if is_idle:
                self._thread = None
                return None
            return _nothing
        key, job, _ = self._jobs.popleft()
        self._doing[me] = key
        return job


def _nothing() -> None:
    """What is left of a job that was taken back."""
