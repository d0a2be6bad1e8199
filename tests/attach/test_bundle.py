"""What is sent into a target: every module loads there, without a place in sys.modules."""

import marshal
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any

import pytest
from targets import TargetPython

from nbdebug.attach import bundle, lean, loader

LOADS = """
import marshal, sys
namespace = {"__name__": "agent"}
exec(compile(open(sys.argv[1]).read(), "agent", "exec"), namespace)
with open(sys.argv[2], "rb") as file:
    sources = marshal.load(file)
modules = {}
import_ = namespace["importer"](sources, sys.argv[3], modules)
for name in sorted(sources):
    import_(name, None, None, ("anything",))
assert not [name for name in sys.modules if name.startswith("nbdebug")], sys.modules
print(len(modules))
"""


ENGINE = (
    LOADS.partition("for name in")[0]
    + """
resident = import_("nbdebug.attach.resident", None, None, ("Resident",))
resident.Resident({"silence_s": 1, "name": "x"}, None)
print(not {"_ctypes", "dataclasses", "inspect", "traceback"} & set(sys.modules), *sorted(sources))
"""
)
"""Says whether it is without what it should be, and which modules it didn't load."""


def loaded(python: TargetPython, folder: Path, modules: bytes, program: str = LOADS) -> str:
    """Load all modules in a new process; return what the program says."""
    (folder / "agent.py").write_text(loader.agent_source())
    (folder / "modules").write_bytes(modules)
    files = [str(folder / "agent.py"), str(folder / "modules"), str(bundle.FOLDER)]
    done = subprocess.run(
        [str(python.path), "-I", "-c", program, *files],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_loads_from_its_text(new_python: TargetPython, tmp_path: Path) -> None:
    modules = bundle.modules_for(b"")
    assert loaded(new_python, tmp_path, modules) == f"{len(marshal.loads(modules))}\n"


def test_every_module_loads_from_its_code(python314: TargetPython, tmp_path: Path) -> None:
    modules = bundle.modules_for(MAGIC_NUMBER)
    found = marshal.loads(modules)
    assert not any(isinstance(code, str) for _, code in found.values())
    assert loaded(python314, tmp_path, modules) == f"{len(found)}\n"


def test_the_engine_begins_without_what_is_large_or_keeps_files_open(
    new_python: TargetPython, tmp_path: Path
) -> None:
    # The library of ctypes keeps a descriptor open in some builds.
    told = loaded(new_python, tmp_path, bundle.modules_for(b""), ENGINE)
    assert told.split()[0] == "True"


def test_what_is_sent_is_what_the_engine_begins_with(
    python314: TargetPython, tmp_path: Path
) -> None:
    told = loaded(python314, tmp_path, bundle.modules_for(MAGIC_NUMBER), ENGINE)
    assert told.split()[1:] == sorted(bundle.LATER)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the code is kept in this test, and not read from memory."""
    path = tmp_path / "cache" / "attach.modules"
    monkeypatch.setattr(bundle, "_KEPT", path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    bundle._code.cache_clear()
    yield path
    bundle._code.cache_clear()


def test_the_code_is_kept_until_a_file_changes(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def code_of(text: str, path: str) -> CodeType:
        made.append(path)
        return lean.code_of(text, path)

    monkeypatch.setattr(bundle, "lean", SimpleNamespace(code_of=code_of, __file__=lean.__file__))
    first = bundle.modules_for(MAGIC_NUMBER)
    count = len(made)
    assert count == len(marshal.loads(first))
    assert os.listdir(kept.parent) == [kept.name]
    bundle._code.cache_clear()
    assert bundle.modules_for(MAGIC_NUMBER) == first
    assert len(made) == count
    stamp = bundle._stamp
    monkeypatch.setattr(bundle, "_stamp", lambda path: (*stamp(path)[:2], 0))
    bundle._code.cache_clear()
    bundle.modules_for(MAGIC_NUMBER)
    assert len(made) == 2 * count


@pytest.mark.parametrize("content", [b"", b"no marshal", marshal.dumps(1), marshal.dumps(([], 1))])
def test_a_broken_file_of_code_is_made_anew(kept: Path, content: bytes) -> None:
    kept.parent.mkdir()
    kept.write_bytes(content)
    made = bundle.modules_for(MAGIC_NUMBER)
    assert len(marshal.loads(made)) > 90
    assert marshal.loads(kept.read_bytes())[1] == made


def test_a_folder_that_cant_be_written_is_no_failure(kept: Path) -> None:
    kept.parent.write_text("not a folder")
    assert len(marshal.loads(bundle.modules_for(MAGIC_NUMBER))) > 90


LEAN = """\
'''A module.'''
from nbdebug.attach import lightclasses
from typing import NamedTuple
def double[T](one: "T", *others: int, sign: str = "+", **more: int) -> "list[T]":
    "Its docstring."
    found: list[T] = [one, one]
    empty: int
    return found
async def later() -> int:
    return 1
@lightclasses.dataclass(slots=True)
class Place:
    "A place."
    path: str
    line: int = 1
    seen: list[int] = lightclasses.field(default_factory=list)
    def moved(self) -> "Place":
        return Place(self.path, self.line + 1)
class Pair(NamedTuple):
    one: int
class Plain[T]:
    field: int
    other: int = 3
    def fail(self, value: int) -> None:
        raise ValueError(value)
number: int = 7
"""


def test_lean_code_does_what_the_text_does() -> None:
    found: dict[str, Any] = {"__name__": "lean_module"}
    exec(lean.code_of(LEAN, "lean_module.py"), found)
    assert found["double"](1) == [1, 1] and found["number"] == 7
    place = found["Place"]
    assert place("a") == place("a", 1, []) and place("a").moved() == place("a", 2)
    with pytest.raises(AttributeError):
        place("a").other = 1
    assert found["Pair"](2).one == 2 and found["Plain"].other == 3
    with pytest.raises(ValueError, match="5") as caught:
        found["Plain"]().fail(5)
    assert LEAN.splitlines()[caught.traceback[-1].lineno].strip() == "raise ValueError(value)"
    functions = [found["double"], found["later"], found["Plain"].fail]
    assert [one.__annotations__ for one in functions] == [{}, {}, {}]
    assert [one.__doc__ for one in (*functions, found["Plain"])] == [None] * 4
    assert found.get("__doc__") is None
