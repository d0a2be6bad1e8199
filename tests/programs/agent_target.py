"""A process that tells what is in it: ``agent_target.py WHAT``, for the tests of the agent.

It writes a line of JSON at each line that comes in, from a thread of its own: what somebody who
attaches and leaves must not have changed.
"""

import atexit
import json
import os
import signal
import sys
import threading
import time
import warnings

MONITORING = sys.monitoring
STATE = {"stop": False, "count": 0}


def report():
    tools = {i: MONITORING.get_tool(i) for i in range(6)}
    return {
        "pid": os.getpid(),
        "count": STATE["count"],
        "threads": sorted(os.listdir("/proc/self/task")),
        "known": sorted(thread.name for thread in threading.enumerate()),
        "descriptors": sorted(os.listdir("/proc/self/fd")),
        "modules": sorted(sys.modules),
        "ours": sorted(name for name in sys.modules if name.startswith("nbdebug")),
        "path": sys.path,
        "finders": [repr(one) for one in (*sys.meta_path, *sys.path_hooks)],
        "signals": [repr(signal.getsignal(number)) for number in signal.valid_signals()],
        "tools": tools,
        "events": {i: MONITORING.get_events(i) for i in tools if tools[i]},
        "local": {i: MONITORING.get_local_events(i, step.__code__) for i in tools if tools[i]},
        "trace": repr((sys.gettrace(), sys.getprofile(), threading.gettrace())),
        "hooks": repr((sys.breakpointhook, sys.excepthook, threading.excepthook)),
        "filters": len(warnings.filters),
        "atexit": atexit._ncallbacks(),
        "interval": sys.getswitchinterval(),
        "streams": [sorted(vars(one)) for one in (sys.stdout, sys.stderr)],
    }


def tell():
    for _ in sys.stdin:
        print(json.dumps(report()), flush=True)
    STATE["stop"] = True


def ready():
    ready_to = int(os.environ.pop("TARGET_READY"))
    os.write(ready_to, b"ready\n")
    os.close(ready_to)
    telling = threading.Thread(target=tell, daemon=True, name="tell")
    telling.pydev_do_not_trace = True  # it tells while the others are stopped
    telling.start()


def step(number):
    doubled = number * 2  # @doubled
    return doubled - number  # @return


def busy():
    ready()
    work()


def work():
    while not STATE["stop"]:
        STATE["count"] += step(1)  # @call


def one_line():
    ready()
    while not STATE["stop"]: STATE["count"] += 1  # fmt: skip  # @one


def naps():
    ready()
    while not STATE["stop"]:
        time.sleep(0.002)
        step(1)


def threads():
    others = [threading.Thread(target=work, name=f"worker {i}") for i in range(2)]
    for one in others:
        one.start()
    ready()
    work()
    for one in others:
        one.join()


def forks():
    """Forks now and then; a child says what is in it, then ends with 5."""
    ready()
    while not STATE["stop"]:
        step(1)
        time.sleep(0.01)
        if os.path.exists(sys.argv[2]):
            os.unlink(sys.argv[2])
            pid = os.fork()
            if not pid:
                step(2)
                found = report()
                with open(sys.argv[2] + ".told", "w") as file:
                    json.dump(found, file)
                os.rename(sys.argv[2] + ".told", sys.argv[2] + ".child")
                os._exit(5)
            print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])), flush=True)


def other_user():
    """Becomes another user, who may read the interpreter's files wherever they lie."""
    import ctypes
    import struct

    libc = ctypes.CDLL(None)
    libc.prctl(8, 1, 0, 0, 0)  # PR_SET_KEEPCAPS
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    may_read = 1 << 2  # CAP_DAC_READ_SEARCH
    header = struct.pack("Ii", 0x20080522, 0)
    assert libc.capset(header, struct.pack("6I", may_read, may_read, 0, 0, 0, 0)) == 0
    libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE
    busy()


def stuck():
    ready()
    tries, done = 0, False
    while not done:
        tries += 1  # @stuck
        time.sleep(0.005)
    print("let go", flush=True)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    print(json.dumps("ended"), flush=True)
    sys.exit(4)
