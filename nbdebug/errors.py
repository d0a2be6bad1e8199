"""Every error that nbdebug raises or answers with.

Owns the exception tree; imports nothing of ours. An error says whose fault it is by its branch,
has a ``slug`` (its heading in docs/messages.md), a number (DAP's ``Message.id``) and an ``advice``:
what the user can do.
"""


class NbdebugError(Exception):
    """Base of all errors. ``str(error)`` is one sentence for the user, without the advice."""

    slug = "internal"
    id = 1
    advice = "This is a fault of nbdebug; please report it with the text above."


class ClientError(NbdebugError):
    """The request was wrong: unknown, malformed, out of place."""

    slug = "bad-request"
    id = 100
    advice = "Check the request against the Debug Adapter Protocol."


class BadArguments(ClientError):
    """A request's arguments are missing or of the wrong shape."""

    slug = "bad-arguments"
    id = 101


class UnknownCommand(ClientError):
    """A request that nbdebug doesn't know."""

    slug = "unknown-command"
    id = 102
    advice = "See docs/protocol.md for the requests that are answered."


class NotStarted(ClientError):
    """A request that needs `initialize` first."""

    slug = "not-started"
    id = 103
    advice = "Turn the debugger on first: in JupyterLab, press the bug."


class NotStopped(ClientError):
    """A request that needs a stopped thread, and none is stopped."""

    slug = "not-stopped"
    id = 104
    advice = "Set a breakpoint and run the code, or pause it."


class UnknownThread(ClientError):
    """No user thread has this id."""

    slug = "unknown-thread"
    id = 105
    advice = "Ask for `threads` again: threads come and go."


class UnknownFrame(ClientError):
    """A frame id that is not of the present stop."""

    slug = "unknown-frame"
    id = 106
    advice = "Ask for `stackTrace` again: frame ids end when the program runs on."


class StaleReference(ClientError):
    """A variablesReference that is not of the present stop."""

    slug = "stale-reference"
    id = 107
    advice = "Ask for `scopes` and `variables` again: references end when the program runs on."


class UnknownVariable(ClientError):
    """No variable of this name is there."""

    slug = "unknown-variable"
    id = 108
    advice = "Check the name, and the frame that is selected."


class SourceUnavailable(ClientError):
    """The text of a source can't be had."""

    slug = "source-unavailable"
    id = 109
    advice = "The file may have been removed, or the code was made without a source."


class NoException(ClientError):
    """The thread isn't stopped at an exception."""

    slug = "no-exception"
    id = 111
    advice = "Set an exception filter, and ask while a thread is stopped by it."


class NoFailure(ClientError):
    """No traceback is there to be looked at."""

    slug = "no-failure"
    id = 112
    advice = "Run the cell that fails, then ask again."


class IsOver(ClientError):
    """The code that is looked at has ended, and can't be moved."""

    slug = "is-over"
    id = 113
    advice = "`continue` ends the look at it; set a breakpoint and run the cell again to step."


class UnknownFilter(ClientError):
    """No exception filter has this id."""

    slug = "unknown-filter"
    id = 114
    advice = "The filters are `raised`, `uncaught` and `userUnhandled`."


class BadBreakpoint(ClientError):
    """A breakpoint that can never work as written."""

    slug = "bad-breakpoint"
    id = 120
    advice = "Correct the breakpoint and set it again."


class BadCondition(BadBreakpoint):
    """A condition or log expression that isn't a Python expression."""

    slug = "bad-condition"
    id = 121
    advice = "Write a Python expression, such as `x > 3`."


class BadHitCondition(BadBreakpoint):
    """A hit condition of an unknown form."""

    slug = "bad-hit-condition"
    id = 122
    advice = "Write a number, or one of >, >=, ==, <, <=, % before a number: `5`, `>=5`, `%10`."


class BadExceptionCondition(BadBreakpoint):
    """An exception filter's condition that can't be read."""

    slug = "bad-exception-condition"
    id = 127
    advice = "Write classes, an expression, or both: `KeyError, pkg.Error if exception.args`."


class NoCodeAtLine(BadBreakpoint):
    """Neither this line nor any after it has code."""

    slug = "no-code-at-line"
    id = 123
    advice = "Choose a line that has a statement."


class BadLogMessage(BadBreakpoint):
    """A log message with an expression that can't be read."""

    slug = "bad-log-message"
    id = 125
    advice = "Write text with expressions in braces, such as `x={x}`; `{{` is a brace."


class InCellMagic(BadBreakpoint):
    """A line of a cell that a cell magic runs in its own way."""

    slug = "in-cell-magic"
    id = 126
    advice = "Put the code into a function of another cell, and the breakpoint there."


class NothingRuns(ClientError):
    """There is nothing that could be paused."""

    slug = "nothing-runs"
    id = 130
    advice = "Run a cell first."


class UnknownTarget(ClientError):
    """A target of goto or stepIn that is not of the present stop."""

    slug = "unknown-target"
    id = 131
    advice = "Ask for `gotoTargets` or `stepInTargets` again: targets end when the program runs on."


class CannotJump(ClientError):
    """Python can't go on from there."""

    slug = "cannot-jump"
    id = 132
    advice = "Step to the beginning of a line, or choose a line of the same block."


class UnknownBreakpoint(ClientError):
    """No breakpoint has this id or place."""

    slug = "unknown-breakpoint"
    id = 124
    advice = "List the breakpoints with `%bp`."


class NotWatchable(ClientError):
    """What is asked to be watched has no place that could change, or none that can be seen."""

    slug = "not-watchable"
    id = 140
    advice = (
        "Watch a name, an attribute or an item: `x`, `obj.attr`, `d['k']`, `arr[1:5]`, "
        "`func:local`."
    )


class NotThereYet(UnknownVariable):
    """What is to be watched isn't there, and could be waited for."""

    slug = "not-there-yet"
    id = 143
    advice = "Check the name; with `--pending` you are told when it is first made."


class BadWatch(ClientError):
    """A watch with options that don't go together, or that this target doesn't support."""

    slug = "bad-watch"
    id = 141
    advice = "`%watch?` shows all options; `%watch` tells what each watch can do."


class UnknownWatch(ClientError):
    """No watch has this id or text."""

    slug = "unknown-watch"
    id = 142
    advice = "List the watches with `%watch`."


class Cancelled(ClientError):
    """The client has cancelled the request."""

    slug = "cancelled"
    id = 110
    advice = ""


class MalformedMessage(ClientError):
    """Bytes that aren't a message; where the next one begins is unknown, so the connection ends."""

    slug = "malformed-message"
    id = 150
    advice = "Check that a debug client, and nothing else, uses this address."


class AuthRequired(ClientError):
    """A client that hasn't shown the token."""

    slug = "auth-required"
    id = 151
    advice = (
        "Put the token that was printed at the start into the attach arguments: `token`, in VS "
        "Code's launch.json as in others."
    )


class ClientBusy(ClientError):
    """Another client debugs this process, and there is one at a time."""

    slug = "already-debugged"
    id = 152
    advice = "Disconnect the other client first."


class NoSession(ClientError):
    """No session has this number, pid or name."""

    slug = "no-session"
    id = 180
    advice = "`%session` lists them; `kernel` is this notebook's."


class AmbiguousSession(NoSession):
    """Several sessions have this name."""

    slug = "ambiguous-session"
    id = 181
    advice = "Name it by its number or pid, as `%session` shows them."


class TargetError(NbdebugError):
    """The user's code did it: it raised, took too long, or can't be reached."""

    slug = "target"
    id = 200
    advice = ""


class EvaluationFailed(TargetError):
    """The evaluated code raised; the text is Python's."""

    slug = "evaluation-failed"
    id = 201


class TookTooLong(TargetError):
    """User code went past its time limit and was ended."""

    slug = "took-too-long"
    id = 202
    advice = "Ask again with more time, or look at a part of the value."


class ThreadIsRunning(TargetError):
    """The thread runs, or is blocked in native code, so nothing can be asked of it."""

    slug = "thread-is-running"
    id = 203
    advice = "Pause the program, or wait until its native call returns."


class NotAssignable(TargetError):
    """The value can't be set: the object refuses it, or it isn't a place."""

    slug = "not-assignable"
    id = 204


class DataChanged(TargetError):
    """Raised in the code that has changed what is watched with `--raise`."""

    slug = "data-changed"
    id = 240
    advice = "End the watch with `%unwatch`, or watch without `--raise`."


class ConnectionLost(TargetError):
    """The other side can't be reached, or went away."""

    slug = "connection-lost"
    id = 250
    advice = "Check that the program still runs, and the address."


class LaunchFailed(TargetError):
    """A program was started, and ended or said nothing before it could begin."""

    slug = "launch-failed"
    id = 290
    advice = "Run it without the debugger to see more; give `timeout_s` more time if it is slow."


class NotSupported(NbdebugError):
    """Not to be had here, with the reason as the sentence."""

    slug = "not-supported"
    id = 300
    advice = ""


class NoToolId(NotSupported):
    """Every id of sys.monitoring is held by other tools."""

    slug = "no-tool-id"
    id = 301
    advice = (
        "End another debugger, profiler or coverage tool in this process and load nbdebug again."
    )


class NoAddressWatch(NotSupported):
    """Data by its address can't be watched with what this installation has."""

    slug = "no-address-watch"
    id = 340
    advice = "Watch the variable, its attribute or item by name."


class NotOfThisSession(NotSupported):
    """What the current session can't do, though another could."""

    slug = "not-of-this-session"
    id = 390
    advice = "`%session kernel` switches to the notebook's own; `%session` lists all."


class EngineInUse(NotSupported):
    """Another engine of nbdebug debugs this process already."""

    slug = "engine-in-use"
    id = 350
    advice = (
        "Close the other first: `.close()` of what `nbdebug.listen()` returned, or `%unload_ext`."
    )


class UsageError(NbdebugError):
    """A magic or a command line was used wrongly; the advice shows how it is used."""

    slug = "usage"
    id = 400
    advice = "Add ? to the magic's name for its help."


class BadAddress(UsageError):
    """An address that can't be read or listened on."""

    slug = "bad-address"
    id = 450
    advice = "Write HOST:PORT, such as 127.0.0.1:5678, or unix:PATH; port 0 takes a free one."


class TokenNeeded(UsageError):
    """`--no-auth` where others than this machine's users could connect."""

    slug = "token-needed"
    id = 451
    advice = "Leave out --no-auth, or listen on 127.0.0.1 or unix:PATH."


class CannotLaunch(UsageError):
    """What is to be launched isn't there, or isn't a Python program."""

    slug = "cannot-launch"
    id = 480
    advice = "Name a script, `-m module` or `-c code`; `%debug_script?` shows the rest."


def by_slug(slug: str) -> type[NbdebugError]:
    """Return the class of an error that another process told of; ClientError if it isn't ours."""
    waiting = [NbdebugError]
    while waiting:
        error = waiting.pop()
        if error.slug == slug:
            return error
        waiting += error.__subclasses__()
    return ClientError
