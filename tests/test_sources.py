"""Sources: what is loaded, where texts come from, and files that come late or change."""

import inspect
import linecache
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from debuggee import Debuggee, debuggee_in, load_module
from kernel_client import Json, Kernel, running_kernel

from nbdebug import errors
from nbdebug.engine import code_flags
from nbdebug.engine.model import BreakpointSpec, BreakpointState, LineTarget

MODULE = "def f():\n    x = 1\n    return x\n"


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Debuggee]:
    before = set(sys.modules)
    path = list(sys.path)
    with debuggee_in(tmp_path) as running:
        yield running
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def kernel(each_python: Path) -> Iterator[Kernel]:
    with running_kernel(python=str(each_python)) as running:
        yield running


@pytest.fixture(scope="module")
def vscode() -> Iterator[Kernel]:
    """A kernel whose client goes by DAP alone."""
    with running_kernel(enable=False) as running:
        running.ask("initialize", clientID="vscode", adapterID="python")
        running.ask("attach")
        yield running


def set_lines(program: Debuggee, path: Path, *lines: int) -> list[BreakpointState]:
    specs = [BreakpointSpec(LineTarget(str(path), line)) for line in lines]
    found = program.engine.breakpoints.set_lines(str(path), specs, keep_extras=False)
    return [one.state for one in found]


def stop_in(program: Debuggee, text: str) -> str:
    """Run a program; return the base name of the file and the line of its next stop."""
    program.write(text, "main.py")
    program.start()
    stop = program.stop = program.client.stops.get(timeout=20)
    return f"{Path(stop.location.path).name}:{stop.location.line}"


# -- files that come late, change, or have several names


def test_a_breakpoint_in_a_file_created_afterwards_is_hit(
    program: Debuggee, tmp_path: Path
) -> None:
    late = tmp_path / "late.py"
    assert set_lines(program, late, 2) == [BreakpointState.PENDING]
    late.write_text(MODULE)
    text = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport late\nlate.f()\n"
    assert stop_in(program, text) == "late.py:2"
    program.finish()


def test_two_modules_with_the_same_base_name_are_two_sources(
    program: Debuggee, tmp_path: Path
) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.py").write_text(MODULE)
    set_lines(program, tmp_path / "two" / "same.py", 2)
    one, two = (
        load_module(str(tmp_path / folder / "same.py"), f"same_{folder}")
        for folder in ("one", "two")
    )
    text = "import same_one, same_two\nsame_one.f()\nsame_two.f()\n"
    assert stop_in(program, text) == "same.py:2"
    assert program.stop is not None
    assert Path(program.stop.location.path).parent.name == "two"
    program.finish()
    assert one.f() == two.f() == 1


def test_a_file_is_the_same_behind_a_linked_folder(program: Debuggee, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "linked_mod.py").write_text(MODULE)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    set_lines(program, tmp_path / "real" / "linked_mod.py", 2)
    text = f"import sys\nsys.path.insert(0, {str(tmp_path / 'link')!r})\n"
    assert stop_in(program, text + "import linked_mod\nlinked_mod.f()\n") == "linked_mod.py:2"
    program.finish()
    set_lines(program, tmp_path / "real" / "linked_mod.py")
    set_lines(program, tmp_path / "link" / "linked_mod.py", 3)
    assert stop_in(program, "import linked_mod\nlinked_mod.f()\n") == "linked_mod.py:3"
    program.finish()


def test_a_module_of_a_namespace_package_stops(program: Debuggee, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder / "spacepkg").mkdir(parents=True)
    inner = tmp_path / "b" / "spacepkg" / "inner.py"
    inner.write_text(MODULE)
    set_lines(program, inner, 2)
    text = f"import sys\nsys.path[:0] = [{str(tmp_path / 'a')!r}, {str(tmp_path / 'b')!r}]\n"
    assert stop_in(program, text + "import spacepkg.inner as i\ni.f()\n") == "inner.py:2"
    program.finish()


def test_a_module_in_a_zip_file_stops_and_shows_its_text(program: Debuggee, tmp_path: Path) -> None:
    archive = tmp_path / "bundle.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped.py", MODULE)
    inside = archive / "zipped.py"
    assert set_lines(program, inside, 2) == [BreakpointState.PENDING]
    text = f"import sys\nsys.path.insert(0, {str(archive)!r})\nimport zipped\nzipped.f()\n"
    assert stop_in(program, text) == "zipped.py:2"
    sources = program.engine.sources
    assert sources.text(str(inside)) == MODULE
    assert sources.text(sources.path_of(sources.reference_of(str(inside)))) == MODULE
    program.finish()


def test_a_file_that_an_editor_replaced_is_bound_anew_when_it_is_reloaded(
    program: Debuggee, tmp_path: Path
) -> None:
    path = tmp_path / "edited.py"
    path.write_text(MODULE)
    sys.path.insert(0, str(tmp_path))
    set_lines(program, path, 2)
    assert stop_in(program, "import edited\nedited.f()\n") == "edited.py:2"
    program.finish()
    replacement = tmp_path / "edited.py.new"
    replacement.write_text("# one line more\n" + MODULE)
    replacement.replace(path)
    reload = "import importlib, edited\nimportlib.reload(edited)\nedited.f()\n"
    set_lines(program, path, 3)
    assert stop_in(program, reload) == "edited.py:3"
    program.finish()


# -- texts


def test_the_text_of_code_that_was_registered_in_linecache_is_told(program: Debuggee) -> None:
    text = "def made():\n    return 1\n"
    linecache.cache["<made>"] = len(text), None, text.splitlines(True), "<made>"
    try:
        sources = program.engine.sources
        reference = sources.reference_of("<made>")
        assert reference > 0 and sources.reference_of("<made>") == reference
        assert sources.text(sources.path_of(reference)) == text
    finally:
        del linecache.cache["<made>"]


def test_what_has_no_text_has_no_reference(program: Debuggee) -> None:
    assert program.engine.sources.reference_of("<nothing>") == 0
    assert program.engine.sources.reference_of(__file__) == 0
    for reference in (-1, 0, 99):
        with pytest.raises(errors.SourceUnavailable):
            program.engine.sources.path_of(reference)


def test_a_cell_that_was_never_dumped_has_a_reference_for_clients_that_need_one(
    vscode: Kernel,
) -> None:
    code = "def g():\n    return 1\n"
    vscode.run(code)
    vscode.ask("setFunctionBreakpoints", breakpoints=[{"name": "g"}])
    vscode.run_to_stop("g()")
    source = vscode.frames()[0]["source"]
    assert source["sourceReference"] > 0
    told = vscode.ask("source", sourceReference=source["sourceReference"])
    assert told["content"] == code
    assert vscode.refuse("source", sourceReference=4711) == "source-unavailable"
    vscode.ask("setFunctionBreakpoints", breakpoints=[])
    vscode.resume()


def test_jupyterlab_gets_a_path_and_no_reference(kernel: Kernel) -> None:
    kernel.run("def g():\n    return 1\n")
    kernel.ask("setFunctionBreakpoints", breakpoints=[{"name": "g"}])
    kernel.run_to_stop("g()")
    source = kernel.frames()[0]["source"]
    assert "sourceReference" not in source
    assert kernel.ask("source", source={"path": source["path"]})["content"].startswith("def g")
    kernel.resume()


# -- what is loaded


def test_loaded_sources_and_what_changes_in_them(vscode: Kernel, tmp_path: Path) -> None:
    path = tmp_path / "fresh.py"
    path.write_text(MODULE)
    vscode.run(f"import sys; sys.path.insert(0, {str(tmp_path)!r})")
    assert not [e for e in vscode.events if e["event"] == "loadedSource"]  # nobody has asked
    before = {source["path"] for source in vscode.ask("loadedSources")["sources"]}
    assert str(path) not in before and any(p.endswith("threading.py") for p in before)

    def told(reason: str, code: str) -> Json:
        since = len(vscode.events)
        vscode.run(code)
        is_it = lambda body: body["source"]["path"] == str(path)  # noqa: E731
        body = vscode.wait_for_event("loadedSource", since, is_it)
        assert body["reason"] == reason
        return body

    told("new", "import fresh")
    assert str(path) in {source["path"] for source in vscode.ask("loadedSources")["sources"]}
    told("changed", "import importlib; importlib.reload(fresh)")
    told("removed", "del sys.modules['fresh'], fresh")


def test_cells_are_among_the_loaded_sources(vscode: Kernel) -> None:
    vscode.ask("loadedSources")
    since = len(vscode.events)
    code = "loaded_cell = 1\n"
    path = vscode.ask("dumpCell", code=code)["sourcePath"]
    vscode.run(code)
    body = vscode.wait_for_event("loadedSource", since, lambda b: b["source"]["path"] == path)
    assert body["reason"] == "new"


def test_modules_are_paged(vscode: Kernel) -> None:
    vscode.ask("modules")  # imports what answering needs
    everything = vscode.ask("modules")
    page = vscode.ask("modules", startModule=3, moduleCount=5)
    assert page["modules"] == everything["modules"][3:8]
    assert page["totalModules"] == everything["totalModules"] == len(everything["modules"])


def test_breakpoint_locations_have_columns(vscode: Kernel, tmp_path: Path) -> None:
    path = tmp_path / "columns.py"
    path.write_text(MODULE)
    ask: Json = {"source": {"path": str(path)}, "line": 1, "endLine": 3}
    found = vscode.ask("breakpointLocations", **ask)["breakpoints"]
    assert found == [{"line": 1, "column": 1}, {"line": 2, "column": 5}, {"line": 3, "column": 5}]
    found = vscode.ask("breakpointLocations", **ask, column=2, endColumn=4)["breakpoints"]
    assert found == [{"line": 2, "column": 5}]


def test_the_flags_of_code_are_those_that_inspect_has() -> None:
    ours = {name: flag for name, flag in vars(code_flags).items() if name.startswith("CO_")}
    assert len(ours) > 4
    assert ours == {name: getattr(inspect, name) for name in ours}
