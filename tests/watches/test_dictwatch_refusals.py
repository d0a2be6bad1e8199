"""Where dicts can't be watched the reason is told: no compiled part, no watcher, no own dict."""

import shutil
from pathlib import Path

import pytest
from interpreters import ROOT
from watched_dicts import logged, run

from nbdebug import errors
from nbdebug.engine import dictwatch

WITHOUT = """
from nbdebug import errors
from nbdebug.engine import dictwatch, monitor
try:
    dictwatch.start(monitor.Monitor())
except errors.NotSupported as error:
    assert str(error) == dictwatch.why_not()
    print(error)
dictwatch.stop()
"""


def test_without_the_compiled_part_the_reason_is_told(each_python: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "nbdebug", tmp_path / "nbdebug", ignore=shutil.ignore_patterns("*.so"))
    reason = run(each_python, WITHOUT, PYTHONPATH=str(tmp_path))
    assert reason.startswith("This nbdebug has no compiled part: ")


def test_the_compiled_part_can_be_imported_anew_and_not_in_a_second_interpreter(
    compiled: Path,
) -> None:
    program = """
dictwatch.stop()
for name in [name for name in sys.modules if name.startswith("nbdebug")]:
    del sys.modules[name]
from nbdebug.engine import dictwatch
from nbdebug.engine.monitor import Monitor
dictwatch.start(Monitor())
d = {"k": 0}
handle = dictwatch.watch(d, "k")
d["k"] = 1
log = [record.new for record in dictwatch.take()]
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
second = interpreters.create()
said = interpreters.run_string(second, '''if 1:
    from nbdebug.engine import dictwatch
    assert "interpreter" in dictwatch.why_not(), dictwatch.why_not()
''')
interpreters.destroy(second)
assert said is None, said
"""
    assert logged(compiled, program) == [1]


def test_the_compiled_part_can_be_turned_off(each_python: Path) -> None:
    assert "NBDEBUG_PURE is set" in run(each_python, WITHOUT, NBDEBUG_PURE="1")


def test_where_all_watchers_of_the_interpreter_are_taken_the_reason_is_told(compiled: Path) -> None:
    taken = """
import ctypes
callback = ctypes.PYFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 4)(lambda *_: 0)
try:
    while True:
        ctypes.pythonapi.PyDict_AddWatcher(callback)
except RuntimeError:
    pass
"""
    assert run(compiled, taken + WITHOUT).startswith("Python gives no watcher of dicts: ")


@pytest.mark.parametrize("value", [int, 5, object(), (1,)])
def test_what_has_no_dict_of_attributes_is_refused_with_the_reason(value: object) -> None:
    with pytest.raises(errors.NotSupported, match=r"has no __dict__|attributes are fixed"):
        dictwatch.namespace_of(value)


def test_an_instances_dict_that_is_in_use_is_refused_only_where_python_is_deaf(
    compiled: Path,
) -> None:
    program = """
class Thing: pass
thing = Thing(); thing.a = 1
held = thing.__dict__
try:
    dictwatch.namespace_of(thing)
    log = "served"
except Exception as error:
    log = str(error)
assert thing.__dict__ is held
"""
    said = logged(compiled, program)
    assert said == "served" or ("3.13.0" in said and "gh-125608" in said)
