"""Stacks that are seen in another process, in the words in which tests compare them."""

import targets

from nbdebug.attach.looking import Look
from nbdebug.attach.stacks import Snapshot, ThreadStack


def places(thread: ThreadStack) -> list[list[object]]:
    return [[frame.function, frame.file, frame.line] for frame in thread.frames]


def by_name(snapshot: Snapshot) -> dict[str, ThreadStack]:
    return {thread.name: thread for thread in snapshot.threads}


def functions(thread: ThreadStack) -> list[str]:
    return [frame.function for frame in thread.frames]


def begun(look: Look) -> None:
    """Return when the target has come back from saying that it is ready."""
    targets.wait_until(
        lambda: not any("ready" in functions(thread) for thread in look.stacks(limit_s=5).threads)
    )
