"""A program under nbdebug, without a client, runs and ends as with Python alone."""

import sys
from pathlib import Path

import pytest
from script import plain, running


def served(
    folder: Path, target: list[str], python: str | Path = sys.executable
) -> tuple[int, str, str]:
    """Run the same under nbdebug, with no client."""
    with running(folder, target, options=(), python=python) as script:
        return script.finish()


SHOW = """\
import __main__, os, pickle, sys, threading
class Thing: pass
print(sys.argv, sys.path[0], __name__, __file__, __package__, __doc__, type(__builtins__).__name__)
print(__main__.Thing is Thing, type(pickle.loads(pickle.dumps(Thing()))) is Thing)
print(type(__loader__).__name__, __spec__ and __spec__.name, sorted(vars(__main__)))
print(os.path.dirname(sys._getframe().f_code.co_filename) == os.getcwd())
import neighbour
"""

PROGRAMS = {
    "shows": SHOW,
    "raises": "def f():\n    raise ValueError('no')\ntry:\n    f()\nexcept ValueError as e:\n"
    "    raise KeyError('x') from e\n",
    "exits_3": "import sys\nsys.exit(3)\n",
    "exits_with_words": "raise SystemExit('enough')\n",
    "is_interrupted": "raise KeyboardInterrupt\n",
    "is_killed": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nsignal.pause()\n",
    "has_no_syntax": "x = (1,\n\ny = 2\n",
    "ends_late": "import atexit, threading, time\natexit.register(print, 'at exit')\n"
    "t = threading.Timer(0.05, print, ['thread'])\nt.start()\nprint('main')\n"
    "class D:\n    def __del__(self): print('del')\nd = D()\n",
    "has_a_hook": "import sys\nsys.excepthook = lambda *e: print('hook', e[0].__name__)\n1/0\n",
    "has_a_bad_hook": "import sys\nsys.excepthook = lambda *e: 1/0\nraise ValueError\n",
    "has_a_group": "raise ExceptionGroup('all', [ValueError(1), TypeError(2)])\n",
    "leaves_at_once": "import os\nprint('x', flush=True)\nos._exit(7)\n",
    "spawns": "import multiprocessing as mp\ndef f(x): return x * 2\n"
    "if __name__ == '__main__':\n"
    "    with mp.get_context('spawn').Pool(1) as pool: print(pool.map(f, [1, 2]))\n",
    "uses_last_exc": "import sys, atexit\n"
    "atexit.register(lambda: print(repr(sys.last_exc)))\n1/0\n",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_script_runs_and_ends_as_with_python_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "program.py").write_text(PROGRAMS[name])
    (tmp_path / "neighbour.py").write_text("")
    target = ["program.py", "an", "--argument"]
    assert served(tmp_path, target) == plain(tmp_path, target)


@pytest.mark.parametrize("name", ["shows", "raises", "exits_3", "is_interrupted", "has_no_syntax"])
def test_a_module_runs_and_ends_as_with_python_alone(tmp_path: Path, name: str) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__main__.py").write_text(PROGRAMS[name])
    (tmp_path / "neighbour.py").write_text("")
    target = ["-m", "package", "-x"]
    assert served(tmp_path, target) == plain(tmp_path, target)


@pytest.mark.parametrize(
    "code",
    [
        "import sys; print(sys.argv, repr(sys.path[0]), sorted(globals()), __name__)",
        "def f():\n    1/0\nf()",
        "raise KeyboardInterrupt",
        "1 +",
    ],
)
def test_code_runs_and_ends_as_with_python_alone(tmp_path: Path, code: str) -> None:
    assert served(tmp_path, ["-c", code, "a"]) == plain(tmp_path, ["-c", code, "a"])


def test_a_folder_runs_as_with_python_alone(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "__main__.py").write_text("import sys\nprint(sys.argv, sys.path[0], __file__)\n1/0\n")
    assert served(tmp_path, ["app", "a"]) == plain(tmp_path, ["app", "a"])


def test_every_python_runs_a_script_as_it_does_alone(tmp_path: Path, each_python: Path) -> None:
    (tmp_path / "neighbour.py").write_text("")
    for name in ("shows", "raises", "is_interrupted"):
        (tmp_path / "program.py").write_text(PROGRAMS[name])
        target = ["program.py", "a"]
        assert served(tmp_path, target, each_python) == plain(tmp_path, target, each_python)


@pytest.mark.parametrize("target", [["missing.py"], ["-m", "missing_module"]])
def test_what_isnt_there_is_told_in_pythons_words(tmp_path: Path, target: list[str]) -> None:
    code, _, said = plain(tmp_path, target)
    ours = plain(tmp_path, target, options=("-m", "nbdebug", "--listen", "127.0.0.1:0"))
    assert ours[0] == code and said in ours[2]


def test_isolated_python_puts_no_folder_first_in_the_path(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import sys; print(sys.path)")
    alone = plain(tmp_path, ["program.py"], options=("-P",))
    ours = plain(
        tmp_path, ["--listen", "127.0.0.1:0", "program.py"], options=("-P", "-m", "nbdebug")
    )
    assert ours[1] == alone[1]
