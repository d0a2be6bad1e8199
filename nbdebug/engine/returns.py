"""What the functions returned that a stepped frame called.

Owns which calls are watched and the values, which are held until the thread is let run on. Called
on the stepping thread. A value is known where a Python function of the user's was called directly:
not for what C code, operators, properties, special methods or constructors return, nor for a
function that came back some tens of times before, as one that recurs much does.
"""

from collections import deque
from collections.abc import Sequence
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, MethodType

from nbdebug.engine import monitor
from nbdebug.engine.code_flags import CO_ASYNC_GENERATOR, CO_GENERATOR
from nbdebug.engine.model import Returned
from nbdebug.engine.monitor import Monitor
from nbdebug.engine.usercode import UserCode

_GENERATING = CO_GENERATOR | CO_ASYNC_GENERATOR
_KEPT = 10
_INNER_RETURNS = 50  # so a step over fib(22) stays as fast as the call
_CALLS_SEEN = 1000


class ReturnedValues:
    """The values of one step, from its beginning to its stop."""

    def __init__(self, monitor_: Monitor, user_code: UserCode, home: FrameType, ident: int) -> None:
        self._monitor = monitor_
        self._user_code = user_code
        self._home = home
        self._values: deque[tuple[CodeType | None, Returned]] = deque(maxlen=_KEPT)
        self._left: dict[int, int] = {}  # id of code -> inner returns that are still borne
        self._calls_left = _CALLS_SEEN
        self._calls, self._returns = f"calls of {ident}", f"returns of {ident}"
        monitor_.arm(home.f_code, self._calls, monitor.CALL)

    @property
    def values(self) -> Sequence[Returned]:
        """The last values, in the order of the calls."""
        return tuple(value for _, value in self._values)

    def calls(self, called: object) -> bool:
        """Take note of a call that the frame makes; False if the place doesn't matter again."""
        code = code_of(called)
        if code is None:
            return type(called) is not BuiltinFunctionType
        self._calls_left -= 1
        if self._calls_left < 0:
            self._give_up()
            return False
        if id(code) not in self._left and not (code.co_flags & _GENERATING or _is_special(code)):
            self._left[id(code)] = _INNER_RETURNS
            self._monitor.arm(code, self._returns, monitor.PY_RETURN)
        return True

    def returns(self, frame: FrameType, value: object) -> None:
        """Take note of a frame that returns ``value``, in the same thread."""
        code = frame.f_code
        left = self._left.get(id(code), -1)
        if left < 0:
            return
        if frame.f_back is self._home:
            if self._user_code.is_user(frame):
                self._values.append((code, Returned(_name(code), value)))
            return
        self._left[id(code)] = left - 1
        if left == 0:
            self._monitor.disarm(code, self._returns)
            kept = [one for one in self._values if one[0] is not code]
            self._values = deque(kept, maxlen=_KEPT)

    def go_on_in(self, home: FrameType) -> None:
        """Watch another frame, too: the next statement on a cell line."""
        self._home = home
        self._monitor.arm(home.f_code, self._calls, monitor.CALL)

    def left(self, frame: FrameType, value: object) -> None:
        """Take note that the stepped frame itself has returned: its value is the only one."""
        self._values.clear()
        if not frame.f_code.co_flags & _GENERATING:
            self._values.append((None, Returned(_name(frame.f_code), value)))

    def end(self) -> None:
        """Watch nothing more; the values stay."""
        self._monitor.disarm_all(self._calls)
        self._monitor.disarm_all(self._returns)

    def _give_up(self) -> None:
        self.end()
        self._left.clear()
        self._values.clear()


def code_of(called: object) -> CodeType | None:
    """Return the code that a call of this will run, if it is a Python function or method."""
    function = called.__func__ if type(called) is MethodType else called
    return function.__code__ if type(function) is FunctionType else None


def _is_special(code: CodeType) -> bool:
    # `with` calls __enter__ and __exit__: on 3.14 as calls like others, before not.
    return code.co_name.startswith("__") and code.co_name.endswith("__")


def _name(code: CodeType) -> str:
    return code.co_qualname.replace("<locals>.", "")
