"""Watches in a real kernel: the magics, data breakpoints as VS Code sets them, the object."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel_client import Kernel, running_kernel

from nbdebug.engine import hardware

FIT = """def fit(n):
    global x
    for i in range(n):
        x = i + 10  # @write
    return x  # @end
"""


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with running_kernel(enable=False) as running:
        yield running


@pytest.fixture
def panel() -> Iterator[Kernel]:
    with running_kernel() as running:
        yield running


def out(kernel: Kernel, code: str) -> str:
    reply = kernel.run(code)
    assert reply["status"] == "ok", reply
    text: str = reply["output"]
    return text


def test_a_watch_prints_who_changed_it_where_no_debugger_is_open(each_python: Path) -> None:
    with running_kernel(python=str(each_python), enable=False) as kernel:
        out(kernel, "x = 3\n%watch x")
        number = int(out(kernel, "print(len(In) - 1)"))
        assert out(kernel, FIT + "z = fit(2)").splitlines() == [
            f"x changed: 3 -> 10 at cell [{number + 1}] line 4, in fit()",
            f"x changed: 10 -> 11 at cell [{number + 1}] line 4, in fit()",
        ]
        between = f"the end of cell [{number + 1}] and the end of cell [{number + 2}]"
        assert out(kernel, "globals()['x'] = 5").splitlines() == [
            f"x changed outside watched code between {between}: 11 -> 5"
        ]
        listing = out(kernel, "%watch")
        assert "store sites" in listing and "globals()[...] =" in listing
        assert "x changed: 10 -> 11" in out(kernel, "%watch x --history")
        assert "1   x" in out(kernel, "%unwatch x")
        assert out(kernel, "x = 6") == ""
        assert out(kernel, "%watch") == "Nothing is watched."


ALIASES = "alias = data\nnp.add(alias, 1, out=alias)\nalias.fill(3)"
AWAITS = """import asyncio
def work():
    np.negative(data, data)
await asyncio.sleep(0)
work()"""


def test_an_element_is_compared_at_lines_where_the_processor_may_not(each_python: Path) -> None:
    python = str(each_python)
    with running_kernel(python=python, enable=False, NBDEBUG_NO_HARDWARE="1") as kernel:
        out(kernel, "import numpy as np\ndata = np.zeros(4)\n%watch data[2]")
        number = int(out(kernel, "print(len(In) - 1)"))
        assert out(kernel, ALIASES).splitlines() == [
            f"data[2] changed: 0.0 -> 1.0 at cell [{number + 1}] line 2",
            f"data[2] changed: 1.0 -> 3.0 at cell [{number + 1}] line 3",
        ]
        assert out(kernel, AWAITS).splitlines() == [
            f"data[2] changed: 3.0 -> -3.0 at cell [{number + 2}] line 3, in work()"
        ]
        listing = " ".join(out(kernel, "%watch").split())
        for said in ("compare at lines", "NBDEBUG_NO_HARDWARE is set", "20 to 40 times"):
            assert said in listing
        for option, mechanism in (("--sites", "store sites"), ("--lines", "compare at lines")):
            out(kernel, f"%unwatch --all\n%watch data[2] {option}")
            assert mechanism in out(kernel, "%watch")


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        ("--if 'new > 10'", "x = 5\nx = 11", ["x changed: 5 -> 11"]),
        ("--if='old == 5'", "x = 5\nx = 11", ["x changed: 5 -> 11"]),
        ("--hits 2", "x = 5\nx = 6\nx = 7", ["x changed: 5 -> 6"]),
        ("--on write", "x = 1", ["x was written: 1"]),
        ("--on read", "y = x", ["x was read"]),
        ("--on delete", "del x", ["x was deleted"]),
        ("--on change,read", "x = 2\ny = x", ["x changed: 1 -> 2", "x was read"]),
        ("--log --stack --keep 5", "x = 2", ["x changed: 1 -> 2"]),
        ("--thread MainThread", "x = 2", ["x changed: 1 -> 2"]),
        ("--thread nobody", "x = 2", []),
        ("--call print", "x = 2", ["WatchEvent("]),
    ],
)
def test_every_option_does_what_it_says(
    kernel: Kernel, options: str, code: str, expected: list[str]
) -> None:
    out(kernel, f"x = 1\n%watch x {options}")
    lines = [line for line in out(kernel, code).splitlines() if line]
    out(kernel, "%unwatch --all")
    assert len(lines) == len(expected), lines
    assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True)), lines


def test_a_watch_may_raise_in_the_cell(kernel: Kernel) -> None:
    out(kernel, "x = 1\n%watch x --raise")
    reply = kernel.run("x = 2\nreached = True")
    out(kernel, "%unwatch --all")
    assert (reply["status"], reply["ename"]) == ("error", "DataChanged")
    assert out(kernel, "print(x, 'reached' in globals())") == "2 False\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%watch 3", "is a literal"),
        ("%watch x +", "isn't an expression"),
        ("%watch nope", "--pending"),
        ("%watch x --often", "no option `--often`"),
        ("%watch x --stop --log", "One of --stop"),
        ("%watch x --on sleep", "`--on` takes change, write, delete, read"),
        ("%watch x --keep none", "`--keep` needs a number"),
        ("%watch x --if", "`--if` needs a value"),
        ("%watch x --if 'new >'", "isn't a Python expression"),
        ("%watch x --call nope", "`nope` can't be called"),
        ("%watch --log x", "What is to be watched comes first"),
        ("%watch y --history", "Nothing is watched as `y`"),
        ("%unwatch y", "Nothing is watched as `y`"),
        ("%unwatch", "needs what is watched"),
    ],
)
def test_bad_input_says_what_is_wrong(kernel: Kernel, line: str, said: str) -> None:
    out(kernel, "x = 1")
    assert said in out(kernel, line)
    assert out(kernel, "%watch") == "Nothing is watched."


WAYS = pytest.mark.parametrize("way", ["--sites", "--exact"])


@WAYS
def test_a_cell_that_is_run_again_is_watched_again(kernel: Kernel, way: str) -> None:
    out(kernel, f"x = 0\n%watch x --log {way}\n" + FIT)
    out(kernel, "%watch fit:i --log")
    first = out(kernel, FIT + "z = fit(1)")
    again = out(kernel, FIT + "z = fit(1)")
    edited = out(kernel, "# edited\n" + FIT + "z = fit(2)")
    out(kernel, "%unwatch --all")
    assert len(first.splitlines()) == 2 and "fit:i" in first
    assert len(again.splitlines()) == 1  # x has the value already
    assert len(edited.splitlines()) == 3 and "line 5" in edited


@WAYS
def test_a_reloaded_module_is_watched_on(kernel: Kernel, tmp_path: Path, way: str) -> None:
    (tmp_path / "shaky.py").write_text(
        "rate = 1\ndef set(value):\n    global rate\n    rate = value\n"
    )
    out(kernel, "import sys; sys.modules.pop('shaky', None)")
    out(kernel, f"sys.path.insert(0, {str(tmp_path)!r}); import shaky, importlib")
    out(kernel, f"%watch shaky.rate {way}")
    assert "shaky.rate changed: 1 -> 2" in out(kernel, "shaky.set(2)")
    assert "shaky.rate changed: 2 -> 3 at cell" in out(kernel, "shaky.rate = 3")
    assert "shaky.rate changed: 3 -> 1 at shaky.py line 1" in out(
        kernel, "_ = importlib.reload(shaky)"
    )
    out(kernel, "%unwatch --all")


def test_autoreload_keeps_a_watch(kernel: Kernel, tmp_path: Path) -> None:
    file = tmp_path / "drifting.py"
    file.write_text("def work(n):\n    total = n\n    return total\n")
    out(kernel, f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import drifting")
    out(kernel, "%load_ext autoreload\n%autoreload 2")
    out(kernel, "%watch drifting.work:total")
    assert "drifting.work:total changed: <not there> -> 1" in out(kernel, "_ = drifting.work(1)")
    file.write_text("# more\n\ndef work(n):\n    total = n + 50\n    return total\n")
    assert "<not there> -> 51 at drifting.py line" in out(kernel, "_ = drifting.work(1)")
    out(kernel, "%autoreload 0\n%unwatch --all")


def test_autoreload_is_told_of_as_the_writer_of_a_class_attribute(
    kernel: Kernel, tmp_path: Path
) -> None:
    file = tmp_path / "shifting.py"
    file.write_text("class Config:\n    rate = 1\n")
    out(kernel, f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import shifting")
    out(kernel, "%load_ext autoreload\n%autoreload 2\nConfig = shifting.Config")
    out(kernel, "%watch Config.rate --log --exact")
    file.write_text("# more\nclass Config:\n    rate = 50\n")
    assert "Config.rate changed: 1 -> 50 at" in out(kernel, "_ = shifting")
    out(kernel, "%autoreload 0\n%unwatch --all")


def test_an_exact_watch_names_the_writer_that_no_store_site_shows(kernel: Kernel) -> None:
    out(kernel, "x, n, d = 1, 2, {'k': 1}\n%watch x --exact\n%watch d['k']")
    listing = out(kernel, "%watch")
    assert listing.count("dict watcher") == 4 and "exact" in listing
    assert "x changed: 1 -> 2 at cell" in out(kernel, "globals()['x'] = 2")
    assert "x changed: 2 -> 3 at" in out(kernel, "get_ipython().push({'x': 3})")
    assert "d['k'] changed: 1 -> 5 at cell" in out(kernel, "d.update(k=5)")
    out(kernel, "%unwatch --all")


# -- a debug client


def data_breakpoint(kernel: Kernel, **which: Any) -> str:
    info = kernel.ask("dataBreakpointInfo", **which)
    assert info["dataId"] is not None, info
    data_id: str = info["dataId"]
    return data_id


def test_a_variable_of_the_variables_view_is_watched(panel: Kernel) -> None:
    kernel = panel
    kernel.run("x = 3")
    kernel.break_at(FIT + "fit(3)", "write", condition="i == 1")
    kernel.run_to_stop(FIT + "fit(3)")
    scopes = kernel.ask("scopes", frameId=kernel.frames()[0]["id"])["scopes"]
    reference = {scope["name"]: scope["variablesReference"] for scope in scopes}
    info = kernel.ask("dataBreakpointInfo", variablesReference=reference["Globals"], name="x")
    assert info["accessTypes"] == ["write", "read", "readWrite"] and info["canPersist"] is False
    of_local = data_breakpoint(kernel, variablesReference=reference["Locals"], name="i")
    [of_x, of_i] = kernel.ask(
        "setDataBreakpoints",
        breakpoints=[{"dataId": info["dataId"]}, {"dataId": of_local, "condition": "new == 99"}],
    )["breakpoints"]
    assert of_x["verified"] and of_i["verified"]
    stop = kernel.move("continue")
    assert stop["reason"] == "data breakpoint"
    assert stop["hitBreakpointIds"] == [of_x["id"]]
    assert stop["description"] == stop["text"]
    assert stop["text"].startswith("x changed: 10 -> 11 at cell [")
    assert stop["text"].endswith("line 4, in fit()")
    assert kernel.evaluate("x") == "11"
    kernel.ask("setDataBreakpoints", breakpoints=[])
    assert kernel.resume()["status"] == "ok"


def test_expressions_and_parts_of_values_are_watched(panel: Kernel) -> None:
    kernel = panel
    kernel.run("class P:\n    pass\np = P()\np.a = 1\nd = {'k': [1]}")
    data_id = data_breakpoint(kernel, name="d['k']")
    code = "p.b = 1  # @first\np.a = 2\nd['k'].append(2)\nd['j'] = 0"
    kernel.break_at(code, "first")
    kernel.run_to_stop(code)
    of_p = kernel.ask("evaluate", expression="p", frameId=kernel.frames()[0]["id"])
    of_a = data_breakpoint(kernel, variablesReference=of_p["variablesReference"], name="a")
    kernel.ask("setDataBreakpoints", breakpoints=[{"dataId": data_id}, {"dataId": of_a}])
    assert "p.a changed: 1 -> 2" in kernel.move("continue")["text"]
    assert "d['k'] changed: [1] -> [1, 2]" in kernel.move("continue")["text"]
    assert kernel.resume()["status"] == "ok"


def test_a_read_stops_before_it(panel: Kernel) -> None:
    kernel = panel
    kernel.run("x = 3")
    data_id = data_breakpoint(kernel, name="x")
    kernel.ask("setDataBreakpoints", breakpoints=[{"dataId": data_id, "accessType": "read"}])
    stop = kernel.run_to_stop("y = 1\ny = x + 1")
    assert stop["text"].startswith("x was read at cell [")
    assert kernel.evaluate("y") == "1"
    kernel.resume()


def test_what_cannot_be_watched_is_said_in_the_reply(panel: Kernel) -> None:
    kernel = panel
    info = kernel.ask("dataBreakpointInfo", name="3")
    assert info["dataId"] is None and "is a literal" in info["description"]
    kernel.run("x = 1")
    for asked, said in (
        ({"name": "nowhere", "asAddress": True}, "isn't an address"),
        ({"name": "0x10", "asAddress": True, "bytes": 8}, "Nothing can be read at 0x10"),
        ({"name": "x", "bytes": 8}, "A int has no buffer to watch"),
    ):
        info = kernel.ask("dataBreakpointInfo", asked)
        assert info["dataId"] is None and said in info["description"], info
    good = data_breakpoint(kernel, name="x")
    wanted = [
        {"dataId": "gone"},
        {"dataId": good, "condition": "new >"},
        {"dataId": good, "hitCondition": "often"},
        {"dataId": good},
    ]
    found = kernel.ask("setDataBreakpoints", breakpoints=wanted)["breakpoints"]
    assert [one["verified"] for one in found] == [False, False, False, True]
    assert all(one["message"] for one in found[:3])


def test_elements_slots_and_reads_of_them_are_watched(panel: Kernel) -> None:
    kernel = panel
    code = (
        "import array\nclass P:\n    __slots__ = ('a', '__weakref__')\n"
        "p = P(); p.a = 1; data = array.array('q', [0] * 8); pair = (1, 2)"
    )
    kernel.run(code)
    of_slot = kernel.ask("dataBreakpointInfo", name="p.a")
    assert of_slot["accessTypes"] == ["write", "read", "readWrite"]
    code = "x = 1  # @first\ndata[2] = 5\ny = p.a\ndata.reverse()\nz = 1"
    kernel.break_at(code, "first")
    kernel.run_to_stop(code)
    of_data = kernel.ask("evaluate", expression="data", frameId=kernel.frames()[0]["id"])
    element = kernel.ask(
        "dataBreakpointInfo", variablesReference=of_data["variablesReference"], name="2"
    )
    reads = ["read", "readWrite"] if hardware.why_not() is None else []
    assert (element["accessTypes"], element["description"]) == (["write", *reads], "data[2]")
    wanted = [
        {"dataId": element["dataId"], "accessType": "write"},
        {"dataId": of_slot["dataId"], "accessType": "read"},
    ]
    [of_2, of_a] = kernel.ask("setDataBreakpoints", breakpoints=wanted)["breakpoints"]
    stop = kernel.move("continue")
    assert (stop["reason"], stop["hitBreakpointIds"]) == ("data breakpoint", [of_2["id"]])
    assert stop["text"].startswith("data[2] changed: 0 -> 5 at cell [")
    stop = kernel.move("continue")
    assert stop["hitBreakpointIds"] == [of_a["id"]]
    assert stop["text"].startswith("p.a was read at cell [")
    assert kernel.move("continue")["text"].startswith("data[2] changed: 5 -> 0 at cell [")
    assert kernel.resume()["status"] == "ok"


def test_bytes_of_a_buffer_and_memory_by_its_address_are_watched(panel: Kernel) -> None:
    kernel = panel
    assert kernel.enable()["supportsDataBreakpointBytes"]
    kernel.run("import array\ndata = array.array('q', range(40))")
    address = int(out(kernel, "print(data.buffer_info()[0])"))
    whole = kernel.ask("dataBreakpointInfo", name="data", bytes=16)
    assert whole["description"] == "16 bytes of data"
    large = kernel.ask("dataBreakpointInfo", name="data", bytes=160)
    wanted = [{"dataId": whole["dataId"]}, {"dataId": large["dataId"]}]
    if hardware.why_not() is None:
        raw = kernel.ask("dataBreakpointInfo", name=hex(address + 8), asAddress=True, bytes=8)
        assert raw["description"] == f"8 bytes at {address + 8:#x}"
        assert raw["accessTypes"] == ["write", "read", "readWrite"]
        wanted.append({"dataId": raw["dataId"]})
    found = kernel.ask("setDataBreakpoints", breakpoints=wanted)["breakpoints"]
    assert all(one["verified"] for one in found), found
    stop = kernel.run_to_stop("x = 1\ndata[30] = 5\ndata[1] = 7\ny = 2")
    assert sorted(stop["hitBreakpointIds"]) == [one["id"] for one in found]
    for text in stop["text"].split("; "):
        assert text.endswith("line 3"), stop
    kernel.ask("setDataBreakpoints", breakpoints=[])
    kernel.resume()


def test_one_data_breakpoint_too_many_is_refused_and_the_others_stand(panel: Kernel) -> None:
    reason = hardware.why_not()
    if reason is not None:
        pytest.skip(f"no hardware watches here: {reason}")
    kernel = panel
    kernel.run("import array\ndata = array.array('q', range(8))")
    ids = [data_breakpoint(kernel, name=f"data[{i}]") for i in range(5)]
    wanted = [{"dataId": one, "accessType": "read"} for one in ids]
    found = kernel.ask("setDataBreakpoints", breakpoints=wanted)["breakpoints"]
    assert [one["verified"] for one in found] == [True] * 4 + [False]
    assert "All 4 watchpoints of the processor are in use" in found[4]["message"]
    # Those that go make room for those that come.
    found = kernel.ask("setDataBreakpoints", breakpoints=wanted[1:])["breakpoints"]
    assert [one["verified"] for one in found] == [True] * 4
    stop = kernel.run_to_stop("x = data[0]\nx = data[4]\ny = 1")
    assert stop["text"].startswith("data[4] was read at cell [") and "line 2" in stop["text"]
    kernel.ask("setDataBreakpoints", breakpoints=[])
    kernel.resume()


def test_clients_watches_go_with_the_client_and_the_users_stay(panel: Kernel) -> None:
    kernel = panel
    kernel.run("x = 1\n%watch x --log")
    data_id = data_breakpoint(kernel, name="x")
    kernel.ask("setDataBreakpoints", breakpoints=[{"dataId": data_id}])
    kernel.ask("disconnect")
    assert out(kernel, "x = 2").startswith("x changed: 1 -> 2 at cell")


# -- from Python


def test_a_watch_object_has_a_history_that_is_shown_and_framed(kernel: Kernel) -> None:
    out(kernel, "import nbdebug, json\nx = 0")
    code = (
        "with nbdebug.watch('x', action='call', call=lambda event: None) as seen:\n"
        "    for i in (3, 1, 2): x = i\n"
        "x = 9\n"
        "frame = seen.history.to_frame()\n"
        "print(json.dumps([[e.new for e in seen.history], list(frame['new']), seen.hits,"
        " '<svg' in seen.history._repr_html_()]))"
    )
    assert json.loads(out(kernel, code)) == [[3, 1, 2], [3, 1, 2], 3, True]


def test_a_decorated_function_is_watched_while_it_runs(kernel: Kernel) -> None:
    out(kernel, "import nbdebug\nx = 0\nseen = nbdebug.watch('x', action='log')")
    out(kernel, "@seen\ndef work(n):\n    global x\n    x = n\n    return n")
    assert out(kernel, "x = 5") == ""
    assert "x changed: 5 -> 7" in out(kernel, "_ = work(7)")
    assert out(kernel, "x = 8") == ""
