"""Stacks as a client sees them, and the frame ids that live until the thread runs on.

Owns the ids; must not know stops. Reads frames only, runs no user code, so any thread may call.
"""

import itertools
from collections.abc import Iterator, Sequence
from types import CodeType, FrameType

from nbdebug import errors
from nbdebug.engine.failures import Place, place_of
from nbdebug.engine.locks import locked, new_lock
from nbdebug.engine.model import FrameInfo
from nbdebug.engine.usercode import UserCode

_Position = tuple[int, int | None, int | None]
"""Column, end line, end column; 1-based."""


class Stacks:
    """Turns frames into FrameInfos. A frame keeps its id for one stop, and has another at the next.

    JupyterLab takes a known id for no change, and at a new one brings the notebook to the front.
    """

    def __init__(self, user_code: UserCode) -> None:
        self._user_code = user_code
        self._ids = itertools.count(1)
        self._frames: dict[int, tuple[int, FrameType]] = {}
        self._known: dict[int, int] = {}  # id(frame) -> its id, while the frame is kept above
        self._lock = new_lock()

    def frames_of(self, top: FrameType) -> list[FrameType]:
        """Return the frames to show, innermost first.

        ``top`` is always among them, whoever's code it is. The machinery below the outermost user
        frame never is, and libraries in between only where just-my-code is off.
        """
        if not self._user_code.just_my_code:
            is_user = self._user_code.is_user
            return [frame for frame in _walk(top) if frame is top or is_user(frame)]
        found = [top]
        known: dict[int, bool] = {}  # by the id of the code, which lives as long as this walk
        frame = top.f_back
        while frame is not None:
            code = frame.f_code
            is_users = known.get(id(code))
            if is_users is None:
                is_users = known[id(code)] = self._user_code.is_user(frame)
            if is_users:
                found.append(frame)
            frame = frame.f_back
        return found

    @locked
    def describe(
        self, ident: int, stack: Sequence[Place | FrameType], start: int, levels: int
    ) -> tuple[list[FrameInfo], int]:
        """Return frames ``start`` to ``start + levels`` (0: all) of a stack, and its depth.

        A frame alone is shown where it is now; to ask that costs, and is done for the page only.
        """
        part = stack[start : start + levels] if levels else stack[start:]
        page = [one if isinstance(one, Place) else place_of(one) for one in part]
        positions: dict[tuple[int, int], _Position] = {}
        found = [self._info(self._id_of(ident, one.frame), one, positions) for one in page]
        return found, len(stack)

    def frame(self, id_: int) -> tuple[int, FrameType]:
        """Return (thread ident, frame) of an id. Raises UnknownFrame."""
        try:
            return self._frames[id_]
        except KeyError:
            raise errors.UnknownFrame(f"There is no frame {id_} at this stop.") from None

    @locked
    def forget(self, ident: int) -> None:
        """Drop the ids of a thread's frames: it runs on."""
        self._frames = {i: known for i, known in self._frames.items() if known[0] != ident}
        self._known = {id(frame): i for i, (_, frame) in self._frames.items()}

    def _id_of(self, ident: int, frame: FrameType) -> int:
        id_ = self._known.setdefault(id(frame), next(self._ids))
        self._frames[id_] = ident, frame
        return id_

    def _info(
        self,
        id_: int,
        place: Place,
        positions: dict[tuple[int, int], _Position],
    ) -> FrameInfo:
        frame, line, at = place
        code = frame.f_code
        key = id(code), at
        if key not in positions:
            positions[key] = _position(code, at)
        column, end_line, end_column = positions[key]
        return FrameInfo(
            id_,
            code.co_qualname if code.co_name != "<module>" else "<module>",
            code.co_filename,
            line,
            column,
            end_line,
            end_column,
            self._user_code.is_user(frame),
            str(frame.f_globals.get("__name__") or ""),
            hex(id(code) + max(at, 0)),
        )


def _walk(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _position(code: CodeType, at: int) -> _Position:
    """Return (column, end line, end column) of an instruction, or (1, None, None)."""
    place = next(itertools.islice(code.co_positions(), max(at, 0) // 2, None), None)
    if place is None or place[2] is None:
        return 1, None, None
    _, end_line, column, end_column = place
    return (column or 0) + 1, end_line, None if end_column is None else end_column + 1
