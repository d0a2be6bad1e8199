"""A client's names for files, lines and columns: mappings, URIs, counting from 0."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_client import Kernel, running_kernel

from nbdebug.dap.paths import Edge, Mapping

HERE = Mapping("/home/me/project", "/srv")
WINDOWS = Mapping("C:\\Users\\me\\project", "/srv")


@pytest.mark.parametrize(
    ("mapping", "local", "remote"),
    [
        (HERE, "/home/me/project/a/b.py", "/srv/a/b.py"),
        (Mapping("/home/me/project/", "/srv/"), "/home/me/project/a.py", "/srv/a.py"),
        (WINDOWS, "C:\\Users\\me\\project\\a\\b.py", "/srv/a/b.py"),
        (Mapping("c:/Users/me", "/srv"), "c:/Users/me\\a.py", "/srv/a.py"),
        (Mapping("/p", "."), "/p/a.py", os.path.join(os.getcwd(), "a.py")),
        (Mapping("/p", "~/q"), "/p/a.py", os.path.expanduser("~/q/a.py")),
    ],
)
def test_a_path_is_mapped_there_and_back(mapping: Mapping, local: str, remote: str) -> None:
    edge = Edge((mapping,))
    assert edge.received({"source": {"path": local}}) == {"source": {"path": remote}}
    back = edge.told({"source": {"path": remote}})["source"]["path"]
    assert edge.received({"source": {"path": back}}) == {"source": {"path": remote}}
    assert Path(back.replace("\\", "/")) == Path(local.replace("\\", "/"))


def test_windows_paths_differ_in_case_and_separator_only() -> None:
    edge = Edge((WINDOWS,))
    for path in ("c:\\users\\ME\\project\\a.py", "C:/Users/me/project/a.py"):
        assert edge.received({"source": {"path": path}}) == {"source": {"path": "/srv/a.py"}}


def test_a_folder_whose_name_only_begins_alike_is_another() -> None:
    edge = Edge((HERE,))
    for path in ("/home/me/project2/a.py", "/home/me", "/tmp/a.py", "<string>"):
        assert edge.received({"source": {"path": path}}) == {"source": {"path": path}}


def test_the_longest_root_counts() -> None:
    edge = Edge((Mapping("/p", "/a"), Mapping("/p/lib", "/usr/lib/x")))
    assert edge.received({"source": {"path": "/p/lib/m.py"}})["source"]["path"] == "/usr/lib/x/m.py"
    assert edge.received({"source": {"path": "/p/m.py"}})["source"]["path"] == "/a/m.py"


def test_a_linked_root_is_known_by_both_names(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    edge = Edge((Mapping("/p", str(tmp_path / "link")),))
    for root in ("link", "real"):
        told = edge.told({"source": {"path": str(tmp_path / root / "a.py")}})
        assert told["source"]["path"] == "/p/a.py"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///srv/a%20b.py", "/srv/a b.py"),
        ("file:///srv/%C3%A9.py", "/srv/é.py"),
        ("file://localhost/srv/a.py", "/srv/a.py"),
    ],
)
def test_uris_name_files(uri: str, path: str) -> None:
    edge = Edge(uses_uris=True)
    assert edge.received({"source": {"path": uri}}) == {"source": {"path": path}}
    told = edge.told({"source": {"path": path}})
    assert edge.received(told) == {"source": {"path": path}}
    assert told["source"]["path"].startswith("file:///srv/")


def test_uris_and_mappings_together() -> None:
    edge = Edge((WINDOWS,), uses_uris=True)
    uri = "file:///c%3A/Users/me/project/a.py"
    assert edge.received({"source": {"path": uri}}) == {"source": {"path": "/srv/a.py"}}
    told = edge.told({"stackFrames": [{"source": {"path": "/srv/a.py"}}]})
    assert told == {"stackFrames": [{"source": {"path": "file:///C:/Users/me/project/a.py"}}]}
    assert edge.told({"source": {"path": "<string>"}}) == {"source": {"path": "<string>"}}


def test_lines_and_columns_from_0() -> None:
    edge = Edge(first_line=0, first_column=0)
    asked = {"breakpoints": [{"line": 0, "column": 4}], "line": 3}
    assert edge.received(asked) == {"breakpoints": [{"line": 1, "column": 5}], "line": 4}
    told = {"line": 2, "endLine": 3, "column": 1, "endColumn": 9, "id": 7}
    assert edge.told(told) == {"line": 1, "endLine": 2, "column": 0, "endColumn": 8, "id": 7}


def test_what_is_the_users_stays_as_it_is() -> None:
    edge = Edge((HERE,), uses_uris=True, first_line=0, first_column=0)
    data = {"data": {"application/json": {"line": 3, "source": {"path": "/srv/a.py"}}}}
    assert edge.told(data) == data
    variables = {"variables": [{"name": "path", "value": "/srv/a.py"}]}
    assert edge.told(variables) == variables


# -- in a kernel


@pytest.fixture
def plain() -> Iterator[Kernel]:
    with running_kernel(enable=False) as running:
        yield running


def test_a_client_with_other_folders_and_numbers_debugs_a_module(
    plain: Kernel, tmp_path: Path
) -> None:
    (tmp_path / "mapped.py").write_text("def f():\n    x = 1\n    return x\n")
    plain.run(f"import sys; sys.path.insert(0, {str(tmp_path)!r})")
    plain.ask(
        "initialize",
        clientID="vscode",
        adapterID="python",
        linesStartAt1=False,
        columnsStartAt1=False,
        pathFormat="uri",
    )
    mapping = {"localRoot": "/home/me/project", "remoteRoot": str(tmp_path)}
    plain.ask("attach", pathMappings=[mapping])
    source = {"path": "file:///home/me/project/mapped.py"}
    [found] = plain.ask("setBreakpoints", source=source, breakpoints=[{"line": 1}])["breakpoints"]
    assert (found["line"], found["source"]["path"]) == (1, source["path"])
    since = len(plain.events)
    plain.run_to_stop("import mapped; mapped.f()")
    told = plain.wait_for_event("breakpoint", since)["breakpoint"]
    assert (told["line"], told["source"]["path"]) == (1, source["path"])
    top = plain.frames()[0]
    assert (top["line"], top["column"], top["source"]["path"]) == (1, 8, source["path"])
    assert plain.ask("source", source=source)["content"].startswith("def f")
    places = plain.ask("breakpointLocations", source=source, line=0, endLine=9)["breakpoints"]
    assert places == [{"line": 0, "column": 0}, {"line": 1, "column": 4}, {"line": 2, "column": 4}]
    assert source["path"] in {s.get("path") for s in plain.ask("loadedSources")["sources"]}
    plain.resume()


def test_mappings_may_be_configured(plain: Kernel, tmp_path: Path) -> None:
    (tmp_path / "configured.py").write_text("x = 1\n")
    mapping = {"localRoot": "/client", "remoteRoot": str(tmp_path)}
    assert plain.run(f"%config Nbdebug.path_mappings = [{mapping}]")["status"] == "ok"
    plain.enable()
    plain.ask("setBreakpoints", source={"path": "/client/configured.py"}, breakpoints=[{"line": 1}])
    plain.run_to_stop(f"%run {tmp_path}/configured.py")
    assert plain.frames()[0]["source"]["path"] == "/client/configured.py"
    plain.resume()


def test_a_mapping_without_a_root_is_refused(plain: Kernel) -> None:
    plain.ask("initialize", clientID="vscode", adapterID="python")
    assert plain.refuse("attach", pathMappings=[{"localRoot": "/a"}]) == "bad-arguments"
    assert plain.refuse("initialize", adapterID="x", pathFormat="other") == "bad-arguments"
