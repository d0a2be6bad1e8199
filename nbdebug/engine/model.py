"""The values that the engine hands out: what a stop, a place, a breakpoint, a variable is.

Owns no state and knows no other module of the engine; every type here is immutable, so it may
cross threads. Lines and columns are 1-based, as in the Debug Adapter Protocol (DAP).
"""

from dataclasses import dataclass
from enum import Enum, StrEnum


@dataclass(frozen=True, slots=True)
class Location:
    """A place in source code. ``path`` is the file name as the code object has it."""

    path: str
    line: int
    function: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" + (f" in {self.function}" if self.function else "")


class StopReason(StrEnum):
    """Why a thread stopped; the values are DAP's ``StoppedEvent.reason``."""

    BREAKPOINT = "breakpoint"
    FUNCTION_BREAKPOINT = "function breakpoint"
    STEP = "step"
    PAUSE = "pause"
    ENTRY = "entry"
    EXCEPTION = "exception"
    DATA_BREAKPOINT = "data breakpoint"
    GOTO = "goto"


@dataclass(frozen=True, slots=True)
class Stop:
    """One stop of one thread: the reason, a sentence for a person, the thread and the place.

    ``error`` says what a condition raised, where that is why it stopped. ``text`` is the sentence
    where the description is an exception's. ``is_over`` is true where the code has ended, and its
    traceback is looked at.
    """

    reason: StopReason
    thread_id: int
    location: Location
    description: str
    breakpoint_ids: tuple[int, ...] = ()
    all_threads: bool = True
    error: str = ""
    text: str = ""
    is_over: bool = False


class BreakMode(StrEnum):
    """When an exception stops; the values are DAP's ``ExceptionBreakMode``."""

    NEVER = "never"
    ALWAYS = "always"
    UNHANDLED = "unhandled"
    USER_UNHANDLED = "userUnhandled"


@dataclass(frozen=True, slots=True)
class ExceptionFilter:
    """A kind of exception stop that a client turns on; ``condition`` narrows it down."""

    id: str
    condition: str | None = None


@dataclass(frozen=True, slots=True)
class ExceptionDetails:
    """An exception as a client sees it, with those that it came from or that it holds."""

    message: str
    type_name: str
    full_type_name: str
    stack_trace: str
    evaluate_name: str | None = None
    inner: tuple["ExceptionDetails", ...] = ()  # as one text it needs a module in sys.modules


class StepKind(StrEnum):
    """A way of stepping; the values are DAP's commands."""

    OVER = "next"
    INTO = "stepIn"
    OUT = "stepOut"


class Granularity(StrEnum):
    """How much one step runs; the values are DAP's."""

    STATEMENT = "statement"
    LINE = "line"
    INSTRUCTION = "instruction"


@dataclass(frozen=True, slots=True)
class CallTarget:
    """A call that a frame is still to make: its text, its place, and its instruction's offsets.

    ``first`` is the offset in bytes of the call's instruction, ``end`` that of the next one.
    """

    label: str
    line: int
    column: int
    end_line: int
    end_column: int
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Returned:
    """What a function returned that the stepped frame had called, or that was stepped out of."""

    function: str
    value: object


class BreakpointState(Enum):
    """Whether a breakpoint can stop the program now."""

    PENDING = "pending"
    BOUND = "bound"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class LineTarget:
    """A line of a file or cell. ``path`` is absolute, or a cell's file name.

    ``cell`` is the id of the one cell that is meant, where several have the same text and so path.
    """

    path: str
    line: int
    cell: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class ModuleTarget:
    """A line of a module by its import name; the file is known once it is imported or found."""

    module: str
    line: int

    def __str__(self) -> str:
        return f"{self.module}:{self.line}"


@dataclass(frozen=True, slots=True)
class FunctionTarget:
    """A function by qualified name: ``f``, ``Class.method`` or ``pkg.mod.Class.method``."""

    name: str

    def __str__(self) -> str:
        return self.name


Target = LineTarget | ModuleTarget | FunctionTarget


@dataclass(frozen=True, slots=True)
class BreakpointSpec:
    """What the user asked for, in the user's words; nothing here is checked yet."""

    target: Target
    condition: str | None = None
    hit_condition: str | None = None
    log_message: str | None = None

    @property
    def is_plain(self) -> bool:
        """True if it has neither condition, hit condition nor log message."""
        return not (self.condition or self.hit_condition or self.log_message)


@dataclass(frozen=True, slots=True)
class BreakpointInfo:
    """A breakpoint as it stands now: a snapshot for clients."""

    id: int
    spec: BreakpointSpec
    state: BreakpointState
    path: str | None
    line: int | None
    message: str
    hits: int
    enabled: bool


@dataclass(frozen=True, slots=True)
class ThreadInfo:
    """A user thread. ``state`` is "stopped" or "running"."""

    id: int
    name: str
    state: str


@dataclass(frozen=True, slots=True)
class FrameInfo:
    """A frame of a stopped or running thread, ``id`` valid until the thread runs on."""

    id: int
    name: str
    path: str
    line: int
    column: int
    end_line: int | None = None
    end_column: int | None = None
    is_user_code: bool = True
    module: str = ""
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """An asyncio task of the user's: ``state`` is "running", "ready", "waiting" or "cancelling".

    ``frames`` are the user's frames of its coroutines, innermost first. ``awaits`` says what it
    waits for, ``awaited_by`` names the tasks that wait for it.
    """

    id: int
    name: str
    state: str
    thread_id: int
    frames: tuple[Location, ...]
    awaits: str
    awaited_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """A named group of a frame's variables, opened through ``reference``."""

    name: str
    reference: int
    expensive: bool = False
    named_count: int | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Variable:
    """A name and a bounded view of its value.

    ``reference`` is 0 where nothing can be expanded. ``indexed_count`` and ``named_count`` say how
    many children ``VariableStore.children`` would give for each filter. ``kind``, ``attributes``
    and ``lazy`` are DAP's VariablePresentationHint. ``truncated`` is true where ``value`` was cut.
    ``location`` is 0, or refers to the place where what the value is was defined.
    """

    name: str
    value: str
    type: str
    reference: int = 0
    evaluate_name: str | None = None
    indexed_count: int | None = None
    named_count: int | None = None
    kind: str | None = None
    attributes: tuple[str, ...] = ()
    lazy: bool = False
    truncated: bool = False
    location: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of the user's code and data one look may cost.

    ``repr_s`` seconds for one call of user code, ``evaluate_s`` for an evaluation, ``value_chars``
    characters of one value, ``page`` children where a client asks for no count.
    """

    repr_s: float = 0.5
    evaluate_s: float = 10.0
    value_chars: int = 2000
    page: int = 100
