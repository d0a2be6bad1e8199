"""What becomes of an exception in one frame, judged before the interpreter goes there.

Owns the judgement of handlers from their bytecode; must not know filters or stops. It is sound, not
clever: what can't be told without running code is `UNSURE`. Runs on the user's thread while the
exception is raised, and runs none of the user's code.
"""

import _thread
import builtins
import io
import sys
from enum import Enum
from types import FrameType

from nbdebug.engine import physical
from nbdebug.engine.bytecode import UNKNOWN, Code, Values, jump_target

_REMEMBERED = 10_000  # judgements, and code objects
_LONG = 4_000  # instructions of a handler
_STOPITERATION_ERROR = 3  # dis: INTRINSIC_STOPITERATION_ERROR
_DECISIONS = ("CHECK_EXC_MATCH", "WITH_EXCEPT_START")
_CONSUMED = {"END_ASYNC_FOR": StopAsyncIteration, "CLEANUP_THROW": StopIteration}
_RETURNS = ("RETURN_VALUE", "RETURN_CONST")
_CONSUMERS = ("FOR_ITER", "SEND")
# Their __exit__ is C code that returns None or False. By exact type: a subclass may do otherwise.
_NEVER_SUPPRESS = frozenset(
    map(
        id,
        (
            type(_thread.allocate_lock()),
            type(_thread.RLock()),
            io.TextIOWrapper,
            io.BufferedReader,
            io.BufferedWriter,
            io.BufferedRandom,
            io.FileIO,
            io.StringIO,
            io.BytesIO,
        ),
    )
)


class Fate(Enum):
    """What one frame does to an exception."""

    CAUGHT = "caught"
    PASSES = "passes"
    UNSURE = "unsure"


class Handlers:
    """Judges frames, and remembers what doesn't depend on the frame's own variables."""

    def __init__(self) -> None:
        self._codes: dict[int, Code] = {}
        self._known: dict[tuple[int, int, int], Fate] = {}
        self._classes: dict[int, type] = {}  # kept, so that an id stays its class's

    def forget(self) -> None:
        """Judge anew from now on: names may stand for something else."""
        self._codes, self._known, self._classes = {}, {}, {}

    def code_of(self, frame: FrameType) -> Code:
        """Return a frame's code, decoded."""
        code = frame.f_code
        known = self._codes.get(id(code))
        if known is None:
            if len(self._codes) > _REMEMBERED:
                self.forget()
            known = self._codes[id(code)] = Code(code)
        return known

    def is_lasting(self, frame: FrameType, cls: type) -> bool:
        """True if the judgement holds for every frame of this code at this place."""
        return (id(frame.f_code), frame.f_lasti, id(cls)) in self._known

    def fate(self, frame: FrameType, cls: type) -> Fate:
        """Return what the frame, at the place where it is, does to an exception of this class."""
        at = frame.f_lasti
        key = id(frame.f_code), at, id(cls)
        known = self._known.get(key)
        if known is not None:
            return known
        code = self.code_of(frame)
        judgement = _Judgement(code, frame, cls)
        ends_loop = physical.inherits(cls, StopIteration) and code.name_at(at) in _CONSUMERS
        found = Fate.CAUGHT if ends_loop else judgement.follow(code.handler_of(at))
        # That one can't tell is no less true for not telling the next time.
        if found is Fate.UNSURE or not judgement.is_of_this_frame:
            if len(self._known) > _REMEMBERED:
                self._known = {}
            self._classes[id(cls)] = cls
            self._known[key] = found
        return found


class _Judgement:
    """One walk over the paths that an exception may take through a frame's handlers."""

    def __init__(self, code: Code, frame: FrameType, cls: type) -> None:
        self.is_of_this_frame = False
        """True if it depends on what a variable of the frame holds."""
        self._has_loaded_own = False
        self._code = code
        self._frame = frame
        self._cls = cls
        self._seen: set[int] = set()
        self._waiting: list[int | None] = []

    def follow(self, handler: int | None) -> Fate:
        self._waiting = [handler]
        fates: set[Fate] = set()
        while self._waiting:
            start = self._waiting.pop()
            fate = Fate.PASSES if start is None else self._walk(start)
            if fate is not None:
                fates.add(fate)
            if len(fates) > 1 or len(self._seen) > _LONG:
                return Fate.UNSURE
        return fates.pop() if fates else Fate.UNSURE

    def _walk(self, start: int) -> Fate | None:
        """Follow one path to its end; None if it joins another or goes on to other handlers."""
        code, stack = self._code, Values()
        decided: bool | None = None
        offset = start
        while offset < len(code.units):
            if offset in self._seen:
                return None
            self._seen.add(offset)
            name, argument, following = code.at(offset)
            if self._goes_on(name, argument):
                self._waiting.append(code.handler_of(offset))
                return None
            if (end := self._end(name, argument, following)) is not None:
                return end
            target = jump_target(name, argument, following)
            if name in _DECISIONS:
                decided = self._decide(name, offset, stack)
            elif target is not None:
                stack.clear()
                following = self._jump(name, target, following, decided)
                decided = None
            elif name != "TO_BOOL":
                self._load(name, argument, stack)
            offset = following
        return Fate.UNSURE

    def _goes_on(self, name: str, argument: int) -> bool:
        """True for an instruction that raises the exception again."""
        if name == "RAISE_VARARGS":
            return not argument
        consumed = _CONSUMED.get(name)
        return name == "RERAISE" or (
            consumed is not None and not physical.inherits(self._cls, consumed)
        )

    def _decide(self, name: str, offset: int, stack: Values) -> bool | None:
        """Return what an instruction asks of the exception, if that can be told."""
        self.is_of_this_frame |= self._has_loaded_own
        if name == "CHECK_EXC_MATCH":
            return self._matches(stack.pop() if stack else UNKNOWN)
        return False if self._never_suppresses(offset) else None

    def _jump(self, name: str, target: int, following: int, decided: bool | None) -> int:
        """Return where to go at a jump; of two ways, the other one waits."""
        if decided is not None and name.startswith("POP_JUMP_IF_"):
            return target if decided is name.startswith("POP_JUMP_IF_TRUE") else following
        if name.startswith("JUMP"):
            return target
        self._waiting.append(target)
        return following

    def _end(self, name: str, argument: int, following: int) -> Fate | None:
        """Return what an instruction that ends the handling of the exception makes of it."""
        if name == "POP_EXCEPT":
            # Before a RERAISE it only clears away an exception that was handled before this one.
            return None if self._code.at(following)[0] == "RERAISE" else Fate.CAUGHT
        if name in _RETURNS or name in _CONSUMED:
            return Fate.CAUGHT
        if name == "RAISE_VARARGS":  # another exception takes its place
            return Fate.CAUGHT
        if name == "CHECK_EG_MATCH":
            return Fate.UNSURE
        if name == "CALL_INTRINSIC_1" and argument == _STOPITERATION_ERROR:
            return Fate.UNSURE if physical.inherits(self._cls, StopIteration) else None
        return None

    def _load(self, name: str, argument: int, stack: Values) -> None:
        if name in ("LOAD_DEREF", "LOAD_NAME") or name.startswith("LOAD_FAST"):
            is_own = name != "LOAD_NAME" or self._frame.f_locals is not self._frame.f_globals
            self._has_loaded_own |= is_own
        if not self._code.load(name, argument, self._frame, stack):
            stack.clear()
            self._has_loaded_own = False

    def _matches(self, wanted: object) -> bool | None:
        """Say whether `except wanted` takes the exception; the interpreter asks the MRO alone."""
        if physical.is_a(wanted, tuple):
            members: list[object] = physical.items(wanted, 0, sys.maxsize)
            answers = [self._matches(one) for one in members]
            if True in answers and None not in answers:
                return True
            return None if None in answers else False
        if wanted is UNKNOWN or not isinstance(wanted, type):
            return None
        if not physical.inherits(wanted, BaseException):
            return None
        return physical.inherits(self._cls, wanted)

    def _never_suppresses(self, offset: int) -> bool:
        """True for a `with` over a lock or file, as far as its expression says so."""
        code = self._code
        targets = [start for start, _, target in code.table if target <= offset < target + 12]
        at = code.start_of(min(targets, default=0) - 2)
        steps: list[int] = []
        while at > 0 and len(steps) < 12:
            steps.append(at)
            name = code.name_at(at)
            if name in ("BEFORE_WITH", "COPY"):
                break
            at = code.start_of(at - 2)
        else:
            return False
        at = code.start_of(steps[-1] - 2)
        self.is_of_this_frame = True
        if code.name_at(at).startswith("CALL"):
            return code.callee(at, self._frame) is builtins.open
        return id(type(self._loaded_at(at))) in _NEVER_SUPPRESS

    def _loaded_at(self, at: int) -> object:
        """Return the value that a name, or an attribute of one, has loaded."""
        code, loads = self._code, [at]
        while code.name_at(loads[0]) == "LOAD_ATTR" and loads[0] > 0:
            loads.insert(0, code.start_of(loads[0] - 2))
        stack = Values()
        for offset in loads:
            name, argument, _ = code.at(offset)
            if not code.load(name, argument, self._frame, stack):
                return UNKNOWN
        return stack[-1] if stack else UNKNOWN
