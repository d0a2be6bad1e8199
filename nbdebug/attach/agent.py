"""The agent: what runs in a process that another one attaches to, before the engine is there.

This file is sent as text, and its code is run in a namespace of its own; the process imports no
module of this name, and none of ours is ever in its `sys.modules`. Owns the connection until the
engine has it, and the loading of the engine. Must not raise, print, or hold up the program: all of
it runs on a thread of its own, and whatever fails is told to the attacher alone.

Runs on Python 3.8 and newer until the engine is asked for. It imports `_socket`, and what every
process has already.
"""

import _thread
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PROTOCOL = 1
"""Changes with what is said before the engine is there; both sides must have the same."""

HURRY_S = 101e-6
"""The interval at which other threads give the GIL away while something is done here: no round
number, so that it is known for ours."""

_LIGHT = {
    "dataclasses": "nbdebug.attach.lightclasses",
    "typing": "nbdebug.attach.lighttyping",
}
_LATE = (
    "ast", "cmath", "dis", "keyword", "linecache", "math", "reprlib", "socket", "textwrap",
    "warnings", "zlib",
)  # fmt: skip
"""Of the standard library: imported when something of them is first needed."""
_TICK_S = 0.5e-6
_LIMIT_S = 10.0
_END_LIMIT_S = 5.0
_LOOK_AGAIN_S = 0.002


def serve(settings: "Any", namespace: "Any", interval: float, go_on: "Any") -> None:
    """Connect, say hello, and do as told until told to leave. Called on the agent's own thread.

    ``interval`` is the program's switch interval, which is a shorter one meanwhile. Its main thread
    may wait until ``go_on`` is called.
    """
    pace = Pace(interval, go_on)
    try:
        channel = _connect(settings)
        try:
            if _greet(channel, settings):
                _obey(channel, namespace, pace)
        except BaseException as error:
            _tell_failure(settings, error)
        finally:
            channel.close()
    except BaseException as error:
        _tell_failure(settings, error)
    finally:
        if "handed_over" not in namespace:
            pace.calm_down()
            pace.go_on()
            namespace.clear()


class Pace:
    """How soon the program's threads give the GIL away: sooner while something is done here."""

    def __init__(self, interval: float, go_on: "Any") -> None:
        self.go_on = go_on
        """Lets the main thread go on that has waited for the agent. May be called again."""
        # An agent that is still leaving may hurry too: that one gives the interval back.
        self._interval = None if _is_ours(interval) else interval

    def hurry(self) -> None:
        """Have them give it away soon."""
        now = sys.getswitchinterval()
        if now > HURRY_S and not _is_ours(now):
            self._interval = now
            sys.setswitchinterval(HURRY_S)

    def calm_down(self) -> None:
        """Give the program its own interval back, unless it has set another one."""
        if self._interval is not None and _is_ours(sys.getswitchinterval()):
            sys.setswitchinterval(self._interval)


def _is_ours(interval: float) -> bool:
    return abs(interval - HURRY_S) < _TICK_S


def _connect(settings: "Any") -> "Any":
    import _socket

    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    channel.settimeout(_LIMIT_S)
    channel.connect(settings["socket"])
    if settings["uid"] is not None and hasattr(_socket, "SO_PEERCRED"):
        cred = channel.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        if int.from_bytes(cred[4:8], sys.byteorder) != settings["uid"]:
            channel.close()
            raise PermissionError("another user listens at the attacher's address")
    return channel


def _greet(channel: "Any", settings: "Any") -> bool:
    """Say who this is; return whether the other side has shown that it is the attacher."""
    import posix

    magic = sys.modules["_frozen_importlib_external"].MAGIC_NUMBER
    hello = {
        "token": settings["token"],
        "protocol": PROTOCOL,
        "pid": posix.getpid(),
        "version": sys.version.split()[0],
        "magic": magic,
        "name": _name(),
        "threads": len(sys._current_frames()) - 1,
    }
    _send(channel, hello)
    answer = _receive(channel)
    return answer is not None and answer.get("answer") == settings["answer"]


def _name() -> str:
    arguments = getattr(sys, "argv", None) or [""]
    return str(arguments[0]) or str(sys.executable)


def _obey(channel: "Any", namespace: "Any", pace: Pace) -> None:
    channel.settimeout(None)
    while True:
        order = _receive(channel)
        if order is None or order["command"] == "leave":
            return
        try:
            if order["command"] == "engine":
                _hand_over(channel, order, namespace, pace)
                return
            if order["command"] == "debugpy":
                _hand_to_debugpy(channel, order, namespace, pace)
                return
            answer = {"error": "unknown order"}
        except BaseException as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        _send(channel, answer)


def _hand_over(channel: "Any", order: "Any", namespace: "Any", pace: Pace) -> None:
    """Load the engine and give it the connection; this thread then ends."""
    modules: dict[str, Any] = {}
    try:
        import marshal

        import_ = importer(marshal.loads(order.pop("modules")), order["folder"], modules)
        resident = import_("nbdebug.attach.resident", None, None, ("Resident",)).Resident(
            order["settings"], pace
        )
        _send(channel, {"ready": True})
    except BaseException:
        modules.clear()
        raise
    namespace["handed_over"] = True
    builtins: Any = modules["nbdebug"].__builtins__

    def left() -> None:
        rest = namespace, modules, builtins, pace, order["collects"]
        _thread.start_new_thread(_clean_up, rest)

    resident.begin(channel.detach(), left)


def _hand_to_debugpy(channel: "Any", order: "Any", namespace: "Any", pace: Pace) -> None:
    """Put debugpy in on a thread that its own ones leave alone; this thread then ends."""
    import _socket
    import threading

    def run() -> None:
        kept = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, descriptor)
        try:
            kept.settimeout(_LIMIT_S)
            why = _debugpy_refusal()
            if why:
                _send(kept, {"refused": why})
            else:
                _load_debugpy(order["folder"])
                pace.calm_down()
                if _is_waited_for(kept):  # else debugpy would complain on the program's stderr
                    _connect_debugpy(order["address"], order["token"])
        except BaseException as error:
            _send(kept, {"error": f"{type(error).__name__}: {error}"})
        finally:
            kept.close()

    def run_quietly() -> None:
        try:
            run()
        except BaseException:  # nobody is there any more who could be told
            pass
        finally:
            pace.calm_down()
            pace.go_on()
            namespace.clear()

    thread: Any = threading.Thread(target=run_quietly, name="nbdebug-debugpy", daemon=True)
    thread.pydev_do_not_trace = thread.is_pydev_daemon_thread = True
    namespace["handed_over"] = True
    descriptor = channel.detach()
    thread.start()


def _debugpy_refusal() -> str:
    """Return why debugpy must not come in here; empty if it may."""
    import threading
    import time

    there: Any = sys.modules.get("pydevd")
    if there is None:
        hook = getattr(threading, "_trace_hook", None)
        module = getattr(hook, "__module__", None) or type(hook).__module__
        return "" if hook is None else f"it is traced already, by {module}"
    end = time.monotonic() + _END_LIMIT_S
    while there.get_global_debugger() is not None:  # the one before may be leaving
        if time.monotonic() > end:
            return "debugpy, or PyCharm's debugger, debugs it already"
        time.sleep(_LOOK_AGAIN_S)
    return ""


def _load_debugpy(folder: str) -> None:
    """Import debugpy from this folder, with nothing else of what lies beside it."""
    import importlib.util
    import os

    # No warning on the program's stderr; its speedups are those of the attacher's Python.
    asked = {"PYDEVD_DISABLE_FILE_VALIDATION": "1", "PYDEVD_USE_CYTHON": "NO"}
    before = {name: os.environ.get(name) for name in (*asked, "PYDEVD_USE_FRAME_EVAL")}
    writes_no_bytecode = sys.dont_write_bytecode
    try:
        sys.dont_write_bytecode = True
        os.environ.update(asked)
        if "debugpy" not in sys.modules:
            path = folder + "/__init__.py"
            spec: Any = importlib.util.spec_from_file_location(
                "debugpy", path, submodule_search_locations=[folder]
            )
            module = sys.modules["debugpy"] = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules["debugpy"]
                raise
        __import__("debugpy.server.api")
    finally:
        sys.dont_write_bytecode = writes_no_bytecode
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _is_waited_for(channel: "Any") -> bool:
    """Tell whether the attacher hasn't given up."""
    import _socket

    channel.settimeout(0)
    try:
        return bool(channel.recv(1, _socket.MSG_PEEK))
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        channel.settimeout(_LIMIT_S)


def _connect_debugpy(address: "Any", token: str) -> None:
    """Have debugpy connect to the attacher; returns when a client has configured it."""
    import importlib

    lifecycle: Any = importlib.import_module("_pydevd_bundle.pydevd_thread_lifecycle")
    debugpy: Any = sys.modules["debugpy"]
    lifecycle.resume_threads("*")  # to it, a client that died has left them stopped
    debugpy.configure(subProcess=False)  # children are started as ever
    debugpy.connect(tuple(address), access_token=token)


def _clean_up(
    namespace: "Any", modules: "Any", builtins: "Any", pace: Pace, collects: bool
) -> None:
    """Leave nothing behind, once no thread is in the engine's code. On a thread of its own."""
    try:
        import gc
        import time

        end = time.monotonic() + _END_LIMIT_S
        while _is_in_use(builtins) and time.monotonic() < end:
            time.sleep(_LOOK_AGAIN_S)
        pace.calm_down()
        modules.clear()
        builtins.clear()
        namespace.clear()
        # Classes refer to themselves: only a collection frees them. How large the process is, was
        # seen from outside: `sys.getallocatedblocks` fails while a subinterpreter ends.
        if collects and gc.isenabled():
            gc.collect()
    except BaseException:
        pass


def _is_in_use(builtins: "Any") -> bool:
    """Tell whether some thread, one of the program's too, has a frame of the engine's code."""
    for top in list(sys._current_frames().values()):
        frame: Any = top
        while frame is not None:
            if frame.f_builtins is builtins:
                return True
            frame = frame.f_back
    return False


def importer(sources: "Any", folder: str, modules: "Any") -> "Any":
    """Return an ``__import__`` that finds our modules in ``sources``, and others as always.

    ``sources`` is name -> (is a package, its code, packed or not, or its text). What is loaded
    stands in ``modules`` alone: the program's own nbdebug, if it has one, is another. For
    `dataclasses` and `typing`, ours get small stand-ins, if these are among the sources.
    """
    return _Importer(sources, folder, modules).import_


class _Importer:
    def __init__(self, sources: "Any", folder: str, modules: "Any") -> None:
        import builtins

        self._sources = sources
        self._folder = folder
        self._modules = modules
        self._lock = _thread.RLock()
        self._import: Any = builtins.__import__
        self._builtins = {**vars(builtins), "__import__": self.import_}

    def import_(
        self,
        name: str,
        outer: "Any" = None,
        inner: "Any" = None,
        some: "Any" = (),
        level: int = 0,
    ) -> "Any":
        if name in _LIGHT and (_LIGHT[name] in self._modules or _LIGHT[name] in self._sources):
            return self._load(_LIGHT[name])
        if name in _LATE and name not in sys.modules and not some:
            return _Late(name)
        if level or not (name == "nbdebug" or name.startswith("nbdebug.")):
            return self._import(name, outer, inner, some, level)
        module = self._load(name)
        for one in some or ():
            if not hasattr(module, one) and name + "." + one in self._sources:
                self._load(name + "." + one)
        return module if some else self._modules["nbdebug"]

    def _load(self, name: str) -> "Any":
        with self._lock:
            parent, _, last = name.rpartition(".")
            above = self._load(parent) if parent else None
            if name in self._modules:
                return self._modules[name]
            if name not in self._sources:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            is_package, code = self._sources[name]
            module = self._new_module(name, is_package)
            self._modules[name] = module
            try:
                exec(_code_of(code, module.__file__), vars(module))
            except BaseException:
                del self._modules[name]
                raise
            del self._sources[name]
            if above is not None:
                setattr(above, last, module)
            return module

    def _new_module(self, name: str, is_package: bool) -> "Any":
        path = self._folder + name.replace(".", "/")[len("nbdebug") :]
        path += "/__init__.py" if is_package else ".py"
        module: Any = type(sys)(name)
        module.__file__ = path
        module.__builtins__ = self._builtins
        module.__package__ = name if is_package else name.rpartition(".")[0]
        if is_package:
            module.__path__ = [path.rpartition("/")[0]]
        return module


class _Late:
    """Stands for a module until something of it is needed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> "Any":
        return getattr(__import__(self._name), name)


def _code_of(sent: "Any", path: str) -> "Any":
    import marshal

    if isinstance(sent, bytes):
        import zlib

        return marshal.loads(zlib.decompress(sent))
    return compile(sent, path, "exec", 0, True) if isinstance(sent, str) else sent


def _send(channel: "Any", message: "Any") -> None:
    # As text: the attacher unpacks nothing that another process has packed.
    data = repr(message).encode("utf-8", "backslashreplace")
    channel.sendall(len(data).to_bytes(4, "little") + data)


def _receive(channel: "Any") -> "Any":
    """Return the next message, None at the end of the connection."""
    import marshal

    head = _read(channel, 4)
    data = head and _read(channel, int.from_bytes(head, "little"))
    return marshal.loads(data) if data else None


def _read(channel: "Any", size: int) -> "Any":
    import _socket

    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        # In one call: each gives the GIL away, which a busy program gives back after 5 ms.
        got = channel.recv_into(view[done:], size - done, _socket.MSG_WAITALL)
        if not got:
            return None
        done += got
    return data


def _tell_failure(settings: "Any", error: BaseException) -> None:
    """Leave the reason where the attacher looks, as far as that can be done."""
    try:
        with open(settings["failure"], "x", encoding="utf-8") as file:
            file.write(f"{type(error).__name__}: {error}")
    except BaseException:
        pass
