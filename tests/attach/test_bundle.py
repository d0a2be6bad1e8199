"""What is sent into a target: every module loads there, without a place in sys.modules."""

import marshal
import subprocess
from importlib.util import MAGIC_NUMBER
from pathlib import Path

from targets import TargetPython

from nbdebug.attach import bundle, loader

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


def loaded(
    python: TargetPython,
    folder: Path,
    modules: bundle.Modules,
    program: str = LOADS,
    version: int = 4,
) -> str:
    """Load all modules in a new process; return what the program says.

    ``version`` is that of marshal's format.
    """
    (folder / "agent.py").write_text(loader.agent_source())
    (folder / "modules").write_bytes(marshal.dumps(modules, version))
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
    assert loaded(new_python, tmp_path, modules) == f"{len(modules)}\n"


def test_every_module_loads_from_its_code(python314: TargetPython, tmp_path: Path) -> None:
    modules = bundle.modules_for(MAGIC_NUMBER)
    assert not any(isinstance(code, str) and code for _, code in modules.values())
    assert loaded(python314, tmp_path, modules, version=marshal.version) == f"{len(modules)}\n"


def test_the_engine_begins_without_what_is_large_or_keeps_files_open(
    new_python: TargetPython, tmp_path: Path
) -> None:
    # The library of ctypes keeps a descriptor open in some builds.
    told = loaded(new_python, tmp_path, bundle.modules_for(b""), ENGINE)
    assert told.split()[0] == "True"


def test_what_is_sent_is_what_the_engine_begins_with(
    python314: TargetPython, tmp_path: Path
) -> None:
    modules = bundle.modules_for(MAGIC_NUMBER)
    told = loaded(python314, tmp_path, modules, ENGINE, marshal.version)
    assert told.split()[1:] == sorted(bundle.LATER)
