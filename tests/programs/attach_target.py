"""A process that others attach to: ``attach_target.py SCENARIO``; runs on Python 3.8 and newer.

It says that it is ready through the descriptor in TARGET_READY, and ends at SIGTERM: it prints what
came of it and exits with 3, whatever it waited for.
"""

import os
import signal
import sys
import threading
import time

SCENARIO = sys.argv[1]
ANSWER = {"text": "unchanged", "numbers": [1, 2, 3]}


def ready():
    descriptor = int(os.environ.pop("TARGET_READY", "-1"))
    if descriptor >= 0:
        os.write(descriptor, b"ready\n")
        os.close(descriptor)


def on_term(number, frame):
    # In the callback of a WeakSet, as threads have, it would be lost and printed: it is asked again.
    if frame is None or frame.f_code.co_name != "_remove":
        sys.exit(3)


def busy():
    ready()
    total = 0
    while True:
        total += 1


def ten_busy_threads():
    def spin():
        total = 0
        while True:
            total += 1

    for _ in range(9):
        threading.Thread(target=spin, daemon=True).start()
    ready()
    spin()


def calls():
    def leaf(number):
        return number + 1

    ready()
    total = 0
    while True:
        total = leaf(total)  # @mark call


def sleep():
    ready()
    time.sleep(3600)


def naps():
    ready()
    while True:
        time.sleep(0.01)


def accept():
    import socket

    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    ready()
    server.accept()


def recv():
    import socket

    ours, theirs = socket.socketpair()
    ready()
    ours.recv(1)


def read_line():
    ready()
    input()


def lock():
    held = threading.Lock()
    held.acquire()
    ready()
    held.acquire()


def timed_lock():
    held = threading.Lock()
    held.acquire()
    ready()
    held.acquire(timeout=3600)


def event():
    ready()
    threading.Event().wait()


def queue():
    import queue

    ready()
    queue.Queue().get()


def join():
    waiting = threading.Event()
    thread = threading.Thread(target=waiting.wait, daemon=True)
    thread.start()
    ready()
    thread.join()


def select():
    import select

    ours, theirs = os.pipe()
    ready()
    select.select([ours], [], [])


def child():
    import subprocess

    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        ready()
        process.wait()
    finally:
        process.kill()
        process.wait()


def native():
    """A long C call that holds the GIL."""
    ready()
    sum(range(10**12))


def native_for_a_while():
    ready()
    while True:
        sum(range(10**7))


def asyncio_idle():
    import asyncio

    async def main():
        ready()
        await asyncio.Event().wait()

    asyncio.run(main())


def threads():
    waiting = threading.Event()
    for _ in range(199):
        threading.Thread(target=waiting.wait, daemon=True).start()
    ready()
    while True:
        time.sleep(0.01)


def short_threads():
    ready()
    while True:
        some = [threading.Thread(target=sum, args=(range(100),)) for _ in range(4)]
        for one in some:
            one.start()
        for one in some:
            one.join()


def subinterpreter():
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    made = interpreters.create()
    try:
        ready()
        while True:
            time.sleep(0.01)
    finally:
        interpreters.destroy(made)


def toggling():
    monitoring = sys.monitoring
    monitoring.use_tool_id(2, "target")
    monitoring.register_callback(2, monitoring.events.PY_START, lambda code, offset: None)

    def leaf():
        return 1

    ready()
    while True:
        monitoring.set_events(2, monitoring.events.PY_START)
        leaf()
        monitoring.set_events(2, 0)
        leaf()


def pool():
    import multiprocessing

    context = multiprocessing.get_context("fork")
    quiet = (signal.SIGTERM, signal.SIG_DFL)  # as which the pool ends its workers
    with context.Pool(3, signal.signal, quiet) as workers:
        workers.map(abs, range(10))
        ready()
        while True:
            workers.map(abs, range(100))
            time.sleep(0.005)


def exits():
    ready()
    sys.stdin.readline()
    print("left")
    os._exit(7)


def slow_exit():
    """The interpreter is finalizing for as long as standard input is open."""
    descriptor = int(os.environ.pop("TARGET_READY"))

    class Last:
        def __del__(self, write=os.write, close=os.close, read=os.read):
            write(descriptor, b"ready\n")
            close(descriptor)
            read(0, 1)

    sys.last_thing = Last()
    sys.exit(0)


def full_queue():
    """The main thread waits for a lock, and its queue of pending calls is full."""
    import ctypes

    function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(lambda argument: 0)
    held = threading.Lock()
    held.acquire()

    def fill():
        time.sleep(0.2)  # the main thread waits by then
        while not ctypes.pythonapi.Py_AddPendingCall(function, None):
            pass
        ready()

    threading.Thread(target=fill, daemon=True).start()
    held.acquire()


def veto():
    def hook(event, arguments):
        if event.startswith("cpython.remote_debugger_script"):
            raise RuntimeError("no scripts here")

    sys.addaudithook(hook)
    ready()
    while True:
        time.sleep(0.01)


def undumpable():
    import ctypes

    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
    ready()
    while True:
        time.sleep(0.01)


def working():
    """Computes something that is wrong if anything goes wrong here, until it is told to end."""
    import hashlib

    ready()
    digest = hashlib.sha256()
    state = b""
    for number in range(10**9):
        state = hashlib.sha256(state + str(number).encode()).digest()
        if number % 1000 == 0 and os.path.exists(sys.argv[2]):
            break
    check = b""
    for again in range(number + 1):
        check = hashlib.sha256(check + str(again).encode()).digest()
    print("right" if check == state else "WRONG")
    sys.exit(5)


class Tick(Exception):
    pass


def ticks():
    """A signal comes when the first thread begins; what its handler raises is raised here."""
    import _thread

    fired = caught = 0
    ends = []

    def on_alarm(number, frame):
        nonlocal fired
        fired += 1
        raise Tick(fired)

    def send():
        usual = _thread._count()
        while not ends:
            if _thread._count() > usual:
                signal.pthread_kill(main, signal.SIGALRM)
                while _thread._count() > usual and not ends:
                    time.sleep(0.001)
            time.sleep(0.0005)

    signal.signal(signal.SIGALRM, on_alarm)
    signal.signal(signal.SIGTERM, lambda number, frame: ends.append(number))
    usual = signal.getsignal(signal.SIGURG)
    main = _thread.get_ident()
    threading.Thread(target=send, daemon=True).start()
    ready()
    total = 0
    while not ends:
        try:
            while not ends:
                total += 1
        except Tick as tick:
            caught += tick.args == (fired,)
    print("caught", caught, "of", fired, "and SIGURG is", signal.getsignal(signal.SIGURG) is usual)
    sys.exit(3)


def hostile():
    """Many threads that allocate, hash, sleep; a main thread in imports, locks, input and output."""
    import hashlib
    import importlib
    import json
    import random
    import re

    def work(number):
        while True:
            kept = {i: bytearray(random.randrange(1, 5000)) for i in range(200)}
            hashlib.sha256(b"x" * 300000).digest()
            json.dumps(list(range(500)))
            if number % 2:
                time.sleep(random.random() * 0.005)

    for number in range(3):
        threading.Thread(target=work, args=(number,), daemon=True).start()
    guard = threading.Lock()
    ready()
    rounds = 0
    while True:
        rounds += 1
        for name in ("json.decoder", "string", "textwrap"):
            importlib.reload(importlib.import_module(name))
        texts = [str(i) * 3 for i in range(2000)]
        "".join(texts).encode()
        with guard:
            re.compile("a" * (rounds % 50 + 1))
        with open(os.devnull, "w") as file:
            file.write("x" * 100000)
        time.sleep(random.random() * 0.004)
        os.listdir("/usr/lib")
        assert sum(range(1000)) == 499500 and texts[1999] == "199919991999"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, on_term)
    print("started", SCENARIO, flush=True)
    try:
        globals()[SCENARIO]()
    finally:
        print("ended", SCENARIO, ANSWER, flush=True)
