"""Why an attach didn't come about: one class for each reason.

Owns the sentences and what to do about each; finds out nothing itself, and knows no other module
of attach. ``of`` makes an error from the facts; the plain constructor takes a ready sentence, as
for all errors of ours, for one that another process has told of.
"""

from typing import Self

from nbdebug.errors import ClientError, NbdebugError, NotSupported, TargetError, UsageError


class AttachError(NbdebugError):
    """Base of all that keeps an attach from coming about, or a look from being had."""

    slug = "attach"
    id = 260
    advice = ""
    sentence = "The attach to process {pid} failed: {why}"
    fix = ""
    """The advice with the facts of the case in it; ``advice`` stands where they aren't known."""
    pid = 0

    @classmethod
    def of(cls, pid: int, **facts: object) -> Self:
        """Make the error from the facts that its sentence and its fix name."""
        error = cls(cls.sentence.format(pid=pid, **facts))
        error.pid = pid
        if cls.fix:
            error.advice = cls.fix.format(pid=pid, **facts)
        return error


# -- what was asked for


class NoSuchProcess(AttachError, ClientError):
    """No process has this pid."""

    slug = "no-such-process"
    id = 160
    sentence = "There is no process {pid}."
    advice = "`%processes` or `python -m nbdebug ps` lists those that there are."


class NoSuchTarget(AttachError, ClientError):
    """No Python process fits a name, a notebook's path or a part of a command. Facts: name."""

    slug = "no-such-target"
    id = 161
    sentence = "No Python process fits `{name}`."
    advice = "`%processes` or `python -m nbdebug ps` lists those that there are; name one by pid."


class AmbiguousTarget(AttachError, ClientError):
    """Several processes fit. Facts: name, found."""

    slug = "ambiguous-target"
    id = 162
    sentence = "`{name}` fits several processes: {found}."
    advice = "Name one by its pid."


class NotPython(AttachError, ClientError):
    """No CPython runtime is in the process. Facts: command."""

    slug = "not-python"
    id = 163
    sentence = "Process {pid} ({command}) is not a CPython program."
    advice = "`%processes` lists the Python processes; yours may be a child of this one."


class ThisProcess(AttachError, ClientError):
    """A process can't attach to itself."""

    slug = "this-process"
    id = 164
    sentence = "Process {pid} is this one."
    advice = "A kernel debugs itself: `%load_ext nbdebug`, then `%bp` and JupyterLab's panel."


class AlreadyAttached(AttachError, ClientError):
    """We are attached to it ourselves."""

    slug = "already-attached"
    id = 165
    sentence = "This process is attached to {pid} already."
    advice = "`%session` shows and chooses the session; `%detach` ends it."


class AttachedByOther(AttachError, ClientError):
    """Another nbdebug attaches, or is attached. Facts: holder (a pid, or 0)."""

    slug = "attached-by-other"
    id = 166
    sentence = "Another debugger, process {holder}, attaches to {pid} or is attached to it."
    advice = "Detach there first."
    fix = "Detach there first, or end process {holder}."


class InspectOnly(AttachError, ClientError):
    """What was asked for would run code in a process that is only looked at. Facts: command."""

    slug = "inspect-only"
    id = 167
    sentence = "`{command}` would run code in process {pid}, which is only looked at."
    advice = "Attach without `--inspect`."
    fix = "Attach without `--inspect`: `%attach {pid}`."


class NotAllowed(AttachError, ClientError):
    """NBDEBUG_ATTACH, or the trait, forbids it. Facts: wanted, level, where."""

    slug = "attach-not-allowed"
    id = 168
    sentence = "`{wanted}` isn't allowed here: {where} is `{level}`."
    advice = "Set NBDEBUG_ATTACH, or `c.Nbdebug.attach`, to `inspect`, `safe` or `legacy`."
    fix = "Set {where} to `{wanted}`, if that is for you to decide."


class BadScriptPath(AttachError, ClientError):
    """The path of the script doesn't fit into the request. Facts: size, limit."""

    slug = "script-path-too-long"
    id = 169
    sentence = "The script's path has {size} bytes, and process {pid} takes at most {limit}."
    advice = "Set TMPDIR to a folder with a shorter path."


class ScriptUnreadable(AttachError, ClientError):
    """The target can't read the script. Facts: path, why."""

    slug = "script-unreadable"
    id = 170
    sentence = "Process {pid} can't read {path}: {why}."
    advice = (
        "Set TMPDIR to a folder that the process sees under the same name and may read; a "
        "container shares one with `-v`."
    )


class SocketFolderUnwritable(AttachError, ClientError):
    """The folder for the socket and the script can't be made. Facts: path, why."""

    slug = "socket-folder-unwritable"
    id = 171
    sentence = "No folder for the socket can be made in {path}: {why}."
    advice = "Set TMPDIR, or XDG_RUNTIME_DIR, to a folder that you may write to."


# -- the target's state


class ProcessEnded(AttachError, TargetError):
    """The process, or its main thread, has gone while we were at it. Facts: phase."""

    slug = "process-ended"
    id = 261
    sentence = "Process {pid} ended during the attach ({phase})."
    advice = "Start it again, or attach to another."


class TargetStopped(AttachError, TargetError):
    """SIGSTOP, SIGTSTP: it runs nothing until it is continued."""

    slug = "target-stopped"
    id = 262
    sentence = "Process {pid} is stopped by a signal, and runs nothing."
    advice = "Let it go on with `kill -CONT PID`, or look at it with `--inspect`."
    fix = "Let it go on with `kill -CONT {pid}`, or look at it with `--inspect`."


class TargetZombie(AttachError, TargetError):
    """It has ended, and waits for its parent. Facts: parent."""

    slug = "target-zombie"
    id = 263
    sentence = "Process {pid} has ended; its parent {parent} hasn't collected it yet."
    advice = "There is nothing left to debug."


class TargetExiting(AttachError, TargetError):
    """The interpreter is finalizing."""

    slug = "target-exiting"
    id = 264
    sentence = "Process {pid} is shutting down, and runs no more code for others."
    advice = "Start it again; to see what keeps it from ending, look with `--inspect`."
    fix = "Start it again; to see what keeps it from ending: `%stack {pid}`."


class TargetStarting(AttachError, TargetError):
    """The interpreter isn't initialized yet."""

    slug = "target-starting"
    id = 265
    sentence = "Process {pid} has only started: it has no Python interpreter yet."
    advice = "Attach again in a moment."


class TargetTraced(AttachError, TargetError):
    """ptrace has one tracer per thread. Facts: tracer, name."""

    slug = "target-traced"
    id = 266
    sentence = "Process {pid} is traced by another debugger: {name}, process {tracer}."
    advice = "Detach the other debugger first; `--wake never` does without tracing."
    fix = "Detach process {tracer} first, or wait for the target with `--wake never`."


class HoldsGil(AttachError, TargetError):
    """A thread is in C code and keeps the GIL. Facts: thread, place, native (or "")."""

    slug = "blocked-in-native"
    id = 267
    sentence = "Thread {thread} of process {pid} is in C code and holds the GIL, called at {place}."
    advice = "Nothing of Python can run there until the call returns: wait, or look with `%stack`."
    fix = "Nothing can run there until the call returns: wait longer, or look: `%stack {pid}`."


class ScriptNotRun(AttachError, TargetError):
    """The request was taken, and the script then refused there. Facts: why."""

    slug = "script-vetoed"
    id = 268
    sentence = "Process {pid} took the request and didn't run the script: {why}."
    advice = (
        "An audit hook of the program may forbid it (`cpython.remote_debugger_script`, `open`): "
        "see what it wrote to its standard error; `--inspect` needs no code there."
    )


class AgentRefused(AttachError, TargetError):
    """The agent ran there and said no. Facts: why."""

    slug = "agent-refused"
    id = 269
    sentence = "The agent in process {pid} refused: {why}."
    advice = "Attach with the nbdebug, and as the user, that the process accepts."


class AgentCrashed(AttachError, TargetError):
    """The agent ran there and failed. Facts: why."""

    slug = "agent-crashed"
    id = 270
    sentence = "The agent in process {pid} failed: {why}."
    advice = "The program goes on; please report this, with the text."


class WriteFailed(AttachError, TargetError):
    """What was written isn't what is read back; it has been undone. Facts: what, undone."""

    slug = "write-not-verified"
    id = 271
    sentence = "The request written into process {pid} wasn't as it should be: {what}. {undone}"
    advice = "The process goes on. Attach again; if it happens again, please report it."


class MemoryInconsistent(AttachError, TargetError):
    """What is read contradicts itself, or points nowhere. Facts: what."""

    slug = "memory-inconsistent"
    id = 272
    sentence = "What process {pid} has in its memory makes no sense: {what}."
    advice = "Look again; if it stays so, the program may have overwritten its own memory."


class RequestPending(AttachError, TargetError):
    """A script of someone else's waits there to be run."""

    slug = "request-pending"
    id = 273
    sentence = "Another script waits in process {pid} to be run, by `sys.remote_exec` or `pdb -p`."
    advice = "Wait until the process has taken it, or end the program that wrote it."


class NoSafeMoment(AttachError, TargetError):
    """No moment came at which it is safe to write into an older Python. Facts: why."""

    slug = "no-safe-moment"
    id = 274
    sentence = "Process {pid} gave no moment at which it is safe to write into it: {why}."
    advice = "Attach again, with a longer time-out, or look at it with `--inspect`."


# -- time-outs, one for each phase


class AttachTimeout(AttachError, TargetError):
    """A phase of the attach took too long; what was asked for has been taken back."""

    slug = "attach-timeout"
    id = 280
    sentence = "The attach to process {pid} took longer than {limit_s:g} s."
    advice = "Attach again with a longer time-out: `--timeout 30`."


class LocateTimeout(AttachTimeout):
    """Facts, as for all of these: limit_s."""

    slug = "attach-timeout-locate"
    id = 281
    sentence = "The Python runtime of process {pid} wasn't found within {limit_s:g} s."


class OffsetsTimeout(AttachTimeout):
    """The table of offsets couldn't be read in time."""

    slug = "attach-timeout-offsets"
    id = 282
    sentence = "The layout of process {pid} wasn't read within {limit_s:g} s."


class SelectTimeout(AttachTimeout):
    """No thread could be chosen in time."""

    slug = "attach-timeout-select"
    id = 283
    sentence = "The main thread of process {pid} wasn't found within {limit_s:g} s."


class WriteTimeout(AttachTimeout):
    """The request couldn't be written in time."""

    slug = "attach-timeout-write"
    id = 284
    sentence = "The request couldn't be written into process {pid} within {limit_s:g} s."


class ClearedTimeout(AttachTimeout):
    """The target didn't take the request: it reached no safe point."""

    slug = "attach-timeout-cleared"
    id = 285
    sentence = (
        "Process {pid} reached no point within {limit_s:g} s at which it could run the agent; "
        "the request has been taken back."
    )
    advice = (
        "`%stack PID` shows what its main thread does; wait longer with `--timeout 30`, and don't "
        "use `--wake never` if it sleeps."
    )
    fix = (
        "`%stack {pid}` shows what its main thread does; wait longer with `--timeout 30`, and "
        "don't use `--wake never` if it sleeps."
    )


class ConnectedTimeout(AttachTimeout):
    """The script was taken, and the agent didn't connect."""

    slug = "attach-timeout-connected"
    id = 286
    sentence = "Process {pid} took the request, but its agent didn't connect within {limit_s:g} s."
    advice = (
        "See what the process wrote to its standard error; a seccomp filter may forbid sockets. "
        "Or attach again with a longer time-out: `--timeout 30`."
    )


class HelloTimeout(AttachTimeout):
    """The agent connected, and said nothing."""

    slug = "attach-timeout-hello"
    id = 287
    sentence = "The agent in process {pid} connected, and said no hello within {limit_s:g} s."


class EngineTimeout(AttachTimeout):
    """The agent is there, and the engine didn't start."""

    slug = "attach-timeout-engine"
    id = 288
    sentence = "The engine in process {pid} didn't start within {limit_s:g} s."


TIMEOUTS: dict[str, type[AttachTimeout]] = {
    "locate": LocateTimeout,
    "offsets": OffsetsTimeout,
    "select": SelectTimeout,
    "write": WriteTimeout,
    "cleared": ClearedTimeout,
    "connected": ConnectedTimeout,
    "hello": HelloTimeout,
    "engine": EngineTimeout,
}
"""The phases of an attach, in their order, and what is raised when one takes too long."""


# -- not to be had here


class PythonTooOld(AttachError, NotSupported):
    """Its Python has no safe way in. Facts: version."""

    slug = "python-too-old"
    id = 370
    sentence = "Process {pid} runs Python {version}, without the safe way in of 3.14."
    advice = "Look at it with `--inspect`, or read about `--legacy` in docs/attach.md."
    fix = "Look: `%attach {pid} --inspect`. Or get in by an older way: `%attach {pid} --legacy`."


class NoLegacyWay(AttachError, NotSupported):
    """Not even ``--legacy`` has a way in. Facts: version, why."""

    slug = "no-legacy-way"
    id = 371
    sentence = "There is no way into process {pid}, which runs Python {version}: {why}."
    advice = (
        "Look at it with `--inspect`, or start the program under a newer Python. For 3.8 and 3.9 "
        "install an older debugpy here, such as 1.8.17. `debugpy --pid` gets in by gdb; a program "
        "of several threads may hang for ever then."
    )


class NoDebugpy(AttachError, NotSupported):
    """``--legacy`` into 3.8 to 3.11 needs debugpy. Facts: version."""

    slug = "no-debugpy"
    id = 372
    sentence = (
        "Process {pid} runs Python {version}, on which only debugpy can debug, and debugpy isn't "
        "installed here."
    )
    advice = "Install it: `python -m pip install debugpy`. Or only look, with `--inspect`."


class HandedToDebugpy(AttachError, NotSupported):
    """No failure: it is told before debugpy goes in. Facts: version, debugpy."""

    slug = "handed-to-debugpy"
    id = 379
    sentence = (
        "Process {pid} runs Python {version}, which nbdebug's engine can't: debugpy {debugpy} goes "
        "into it, and stays there until the process ends."
    )
    advice = "Ctrl-C ends the attach; `--inspect` looks at it without running anything there."


class UnknownVersion(AttachError, NotSupported):
    """A Python whose layout this nbdebug doesn't know. Facts: version, known."""

    slug = "unknown-version"
    id = 373
    sentence = "Process {pid} runs Python {version}, whose layout isn't known here ({known} are)."
    advice = "Use a newer nbdebug: `python -m pip install --upgrade nbdebug`."


class FreeThreaded(AttachError, NotSupported):
    """A free-threaded build. Facts: version."""

    slug = "free-threaded"
    id = 374
    sentence = "Process {pid} runs a free-threaded Python {version}, which isn't understood here."
    advice = "Start the program with the usual build, or under `python -m nbdebug --listen`."


class RemoteDebugDisabled(AttachError, NotSupported):
    """The program doesn't want to be debugged by others."""

    slug = "remote-debug-disabled"
    id = 375
    sentence = "Process {pid} has remote debugging turned off."
    advice = "Start it without that; `--inspect` runs no code there."


class DisabledByFlag(RemoteDebugDisabled):
    """By ``-X disable-remote-debug``."""

    slug = "remote-debug-disabled-by-flag"
    id = 376
    sentence = "Process {pid} was started with `-X disable-remote-debug`."
    advice = "Start it without that option; `--inspect` looks at it as it is."


class DisabledByVariable(RemoteDebugDisabled):
    """By PYTHON_DISABLE_REMOTE_DEBUG, whatever its value."""

    slug = "remote-debug-disabled-by-variable"
    id = 377
    sentence = "Process {pid} was started with PYTHON_DISABLE_REMOTE_DEBUG set."
    advice = (
        "Start it without that variable (`env -u PYTHON_DISABLE_REMOTE_DEBUG`): any value, 0 and "
        "empty too, turns it off. `--inspect` looks at it as it is."
    )


class DisabledByBuild(RemoteDebugDisabled):
    """By ``configure --without-remote-debug``. Facts: version."""

    slug = "remote-debug-disabled-by-build"
    id = 378
    sentence = "Process {pid} runs a Python that was built without remote debugging."
    advice = (
        "Use a Python that was built without `--without-remote-debug`; `--inspect` looks at it "
        "as it is."
    )


class NoPermission(AttachError, NotSupported):
    """The system doesn't let us look into the process. Facts: why."""

    slug = "no-permission"
    id = 380
    sentence = "The system doesn't let this process look into {pid}: {why}."
    advice = "Attach as the same user as the process, or as root."


class OtherUser(NoPermission):
    """Facts: owner, user."""

    slug = "no-permission-other-user"
    id = 381
    sentence = "Process {pid} is {owner}'s, and this one is {user}'s."
    advice = "Attach as the process's user, or as root."
    fix = "Attach as that user: `sudo -u {owner} python -m nbdebug attach {pid}`, or as root."


class NotDumpable(NoPermission):
    """Our own user's, but it has protected itself: setuid, PR_SET_DUMPABLE, capabilities."""

    slug = "no-permission-protected"
    id = 382
    sentence = "Process {pid} is protected from its own user: it is setuid or asked for it (prctl)."
    advice = "Attach as root."
    fix = "Attach as root: `sudo python -m nbdebug attach {pid}`."


class ForbiddenByYama(NoPermission):
    """kernel.yama.ptrace_scope. Facts: scope, meaning, fix_command."""

    slug = "no-permission-yama"
    id = 383
    sentence = "kernel.yama.ptrace_scope is {scope}: {meaning}."
    advice = "Until the next boot: `sudo sysctl kernel.yama.ptrace_scope=0`; or attach as root."
    fix = "{fix_command}"


class InContainer(NoPermission):
    """Another user or pid namespace, or a capability that a container lacks. Facts: why."""

    slug = "no-permission-container"
    id = 384
    sentence = "A container stands between this process and {pid}: {why}."
    advice = (
        "Start the container with `--cap-add=SYS_PTRACE` (in Kubernetes: "
        "`securityContext.capabilities.add: [SYS_PTRACE]`), or attach from inside it."
    )


class NoWayHere(AttachError, NotSupported):
    """This system, or this Python, has no way to attach. Facts: why."""

    slug = "no-attach-here"
    id = 385
    sentence = "nbdebug can't attach to process {pid} from here: {why}."
    advice = "See docs/attach.md for where it can."


class WakeFailed(AttachError, NotSupported):
    """The target sleeps and can't be woken. Facts: why."""

    slug = "cannot-wake"
    id = 386
    sentence = "Process {pid} sleeps and can't be woken: {why}."
    advice = "Let the program do something (send it a request), or wait with `--wake never`."


class BadTarget(AttachError, UsageError):
    """Words that name no process. Facts: name."""

    slug = "bad-target"
    id = 460
    sentence = "`{name}` names no process."
    advice = "Name a pid, a kernel's notebook, or a part of a command: `%attach 1234`."
