"""Hard cells: magics, shell lines, awaits, cells with the same text, on a real kernel."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_client import Json, Kernel, line_of, running_kernel

BODY = "x = 1\ny = x + 1  # @hit\nprint('y is', y)\n"


@pytest.fixture(scope="module")
def shared() -> Iterator[Kernel]:
    with running_kernel() as running:
        yield running


@pytest.fixture
def here(shared: Kernel) -> Iterator[Kernel]:
    """The module's kernel, without a breakpoint."""
    yield shared
    assert shared.ask("debugInfo")["stoppedThreads"] == []
    shared.run("%bp clear all")


def stops_in_cell(kernel: Kernel, code: str, mark: str = "hit") -> None:
    """Run a cell to its marked line, and see that the client is shown that line of the cell."""
    [breakpoint_] = kernel.break_at(code, mark)
    assert (breakpoint_["verified"], breakpoint_["line"]) == (True, line_of(code, mark))
    kernel.run_to_stop(code)
    top = kernel.frames()[0]
    assert (top["source"]["path"], top["line"]) == (kernel.path, line_of(code, mark))


MAGICS = [
    "%%time\n",
    "%%timeit -n1 -r1\n",
    "%%timeit -n1 -r1 z = 3\n",
    "%%capture out\n",
    "%%prun -q\n",
    "%%prun -q z = 3\n",
    "%%capture out\n%%time\n",
    "%%time\n%%capture out\n",
    "%%capture out\n\n%%timeit -n1 -r1\n\n",
    "\n\n%%time\n\n",
    "  \n%%capture\n# a comment\n\n",
]


@pytest.mark.parametrize("magic", MAGICS)
def test_a_breakpoint_in_a_cell_magics_body_hits_on_its_line(here: Kernel, magic: str) -> None:
    stops_in_cell(here, magic + BODY)
    assert here.evaluate("x") == "1"
    here.move("next")
    assert here.where()[1] == line_of(magic + BODY, "hit") + 1
    assert here.evaluate("y") == "2"
    here.ask("setBreakpoints", source={"path": here.path}, breakpoints=[])
    assert here.resume()["status"] == "ok"


def test_magics_bodies_hit_on_each_python(kernel: Kernel) -> None:
    for magic in ("%%time\n", "%%capture\n", "%%timeit -n1 -r1\n", "%%prun -q\n"):
        stops_in_cell(kernel, magic + BODY)
        assert kernel.resume()["status"] == "ok"


def test_a_function_that_a_magics_body_defined_stops_and_steps(here: Kernel) -> None:
    code = "%%time\ndef g(a):\n    b = a * 2  # @hit\n    return b\ng(2)\n"
    stops_in_cell(here, code)
    assert [(f["name"], f["line"]) for f in here.frames()] == [
        ("g", 3),
        ("<module>", 5),
        ("<module>", 1),  # the magic itself
    ]
    assert "4" in here.resume()["output"]
    here.run_to_stop("g(5)")  # from another cell
    assert here.where() == ("g", 3)
    here.resume()


def untimed(text: str) -> str:
    """Return what a magic printed without its figures."""
    return re.sub(r"\d+(\.\d+)?( ?\w?s\b)?", "N", text)


OUTPUTS = [
    "%%time\nx = 1\nprint(x)\nx + 1\n",
    "%%time\nx + 1",
    "%%timeit -n2 -r2\nx = 1\n",
    "%%capture out\nprint('captured')\n7\n",
    "%%capture out\nprint('captured');\n7;\n",
    "%%time\nif True:\nprint(1)\n",
    "%%capture\nif True:\nprint(1)\n",
    "%%time\n",
    "%%nosuchmagic\nx\n",
    "%%bash\necho hello\n",
]


def test_a_magics_output_and_results_are_as_without_a_debugger(here: Kernel) -> None:
    with running_kernel(load=False, enable=False) as plain:
        for code in OUTPUTS:
            replies = [one.run(code) for one in (plain, here)]
            for reply in replies:
                reply["output"] = untimed(re.sub(r"ipykernel_\d+", "ipykernel", reply["output"]))
            with_us, without = replies[1], replies[0]
            assert with_us["status"] == without["status"], code
            assert with_us.get("ename") == without.get("ename"), code
            if with_us["status"] == "ok":
                assert with_us["output"] == without["output"], code
        for kernel in (plain, here):
            assert kernel.run("%%capture out\nprint('a')\n5")["status"] == "ok"
        assert plain.run("out.stdout")["output"] == here.run("out.stdout")["output"]


def test_an_error_in_a_magics_body_shows_the_cells_line(here: Kernel) -> None:
    reply = here.run("%%time\nx = 1\n1 / 0  # @boom\n")
    assert reply["ename"] == "ZeroDivisionError"
    assert "----> 3 1 / 0" in reply["output"], reply["output"]


@pytest.mark.parametrize(
    "code",
    [
        "%%bash\necho hit\n",
        "%%script python\nprint(1)\n",
        "%%html\n<b>x</b>\n",
        "%%javascript\nlet x = 1\n",
        "%%writefile {folder}/written.py\nx = 1\n",
        "%%debug\nx = 1\n",
    ],
)
def test_a_magic_whose_body_is_no_code_here_refuses_with_the_reason(
    here: Kernel, code: str, tmp_path: Path
) -> None:
    text = code.format(folder=tmp_path)
    path = here.ask("dumpCell", code=text)["sourcePath"]
    [found] = set_lines(here, path, 2)
    assert (found["verified"], found["reason"]) == (False, "failed")
    assert f"`{text.split()[0]}`" in found["message"]


def set_lines(kernel: Kernel, path: str, *lines: int, **source: object) -> list[Json]:
    wanted = [{"line": line} for line in lines]
    found: list[Json] = kernel.ask(
        "setBreakpoints", source={"path": path, **source}, breakpoints=wanted
    )["breakpoints"]
    return found


OWN_MAGIC = """from IPython.core.magic import register_cell_magic
@register_cell_magic
def twice(line, cell):
    for _ in range(2):
        {run}
"""


@pytest.mark.parametrize(
    "run",
    [
        "get_ipython().run_cell(cell)",
        "exec(get_ipython().compile(cell, '<mine>', 'exec'), get_ipython().user_ns)",
    ],
)
def test_a_users_magic_that_runs_its_body_through_ipython_is_pending_then_hits(
    here: Kernel, run: str
) -> None:
    here.run(OWN_MAGIC.format(run=run))
    code = f"%%twice {len(run)}\n" + BODY
    [found] = here.break_at(code, "hit")
    assert (found["verified"], found["reason"]) == (False, "pending")
    assert "`%%twice`" in found["message"]
    since = len(here.events)
    here.run_to_stop(code)
    assert here.where()[1] == line_of(code, "hit")
    assert here.frames()[0]["source"]["path"] == here.path
    told = here.wait_for_event("breakpoint", since)
    assert told["breakpoint"]["verified"]
    here.move("continue")
    assert here.where()[1] == line_of(code, "hit")
    assert here.resume()["output"] == "y is 2\ny is 2\n"


def test_a_users_magic_that_runs_its_body_by_itself_fails_with_the_reason_once_it_has_run(
    here: Kernel,
) -> None:
    here.run(OWN_MAGIC.format(run="exec(cell, {})"))
    code = "%%twice by itself\n" + BODY
    here.break_at(code, "hit")
    since = len(here.events)
    assert here.run(code)["output"] == "y is 2\ny is 2\n"
    told = here.wait_for_event("breakpoint", since)["breakpoint"]
    assert (told["verified"], told["reason"]) == (False, "failed")
    assert "`%%twice`" in told["message"]


def test_unloading_leaves_ipythons_compiler_and_profiler_as_they_were(kernel: Kernel) -> None:
    kernel.run("%unload_ext nbdebug")
    reply = kernel.run(
        "ip = get_ipython()\nprint(type(ip.compile).__module__, *vars(ip.compile))\n"
        "from IPython.core.magics.execution import ExecutionMagics as E\n"
        "print(E._run_with_profiler.__module__)\n"
    )
    compiler, profiler = (
        "ipykernel.compiler flags _filename_map log",
        "IPython.core.magics.execution",
    )
    assert reply["output"] == f"{compiler}\n{profiler}\n"


# -- cells with the same text

TWIN = "a = 1  # @a\nb = 2\n"


def run_as(kernel: Kernel, cell: str, code: str) -> str:
    """Run a cell as a client does that tells cells' ids; don't wait for it."""
    content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
    message = kernel.client.session.msg("execute_request", content, metadata={"cellId": cell})
    kernel.client.shell_channel.send(message)
    kernel.executing = message["header"]["msg_id"]
    return kernel.executing


def test_a_breakpoint_for_one_cell_leaves_another_with_the_same_text_alone(kernel: Kernel) -> None:
    path = kernel.ask("dumpCell", code=TWIN)["sourcePath"]
    [found] = set_lines(kernel, path, 1, adapterData={"cellId": "second"})
    assert found["verified"] and "message" not in found
    kernel.finish(run_as(kernel, "first", TWIN))
    since = len(kernel.events)
    run_as(kernel, "second", TWIN)
    kernel.stop = kernel.wait_for_event("stopped", since)
    assert kernel.where()[1] == 1
    [of_source] = kernel.ask("debugInfo")["breakpoints"]
    assert of_source["breakpoints"][0]["cellId"] == "second"
    assert kernel.resume()["status"] == "ok"
    kernel.finish(run_as(kernel, "first", TWIN))


def test_a_function_belongs_to_the_cell_that_defined_it(here: Kernel) -> None:
    code = "def twin():\n    return 1  # @in\n"
    path = here.ask("dumpCell", code=code)["sourcePath"]
    here.finish(run_as(here, "third", code))
    here.run("kept = twin")
    here.finish(run_as(here, "fourth", code))
    set_lines(here, path, 2, adapterData={"cellId": "third"})
    assert here.run("twin()")["output"] == "1"
    here.run_to_stop("kept()")
    assert here.where()[0] == "twin"
    assert here.resume()["output"] == "1"
    set_lines(here, path, adapterData={"cellId": "third"})


def test_one_breakpoint_of_a_cell_is_added_beside_those_of_its_twin(here: Kernel) -> None:
    code = TWIN + "# added\n"
    path = here.ask("dumpCell", code=code)["sourcePath"]
    for cell in ("fifth", "sixth"):
        here.ask(
            "nbdebug/setBreakpoint",
            source={"path": path, "adapterData": {"cellId": cell}},
            breakpoint={"line": 1, "logMessage": f"in the {cell}"},
        )
    assert here.finish(run_as(here, "fifth", code))["output"] == "in the fifth\n"
    assert here.finish(run_as(here, "sixth", code))["output"] == "in the sixth\n"


def test_a_breakpoint_that_cells_share_says_so(here: Kernel) -> None:
    code = TWIN + "# shared\n"
    path = here.ask("dumpCell", code=code)["sourcePath"]
    here.finish(run_as(here, "one", code))
    [alone] = set_lines(here, path, 2)
    assert "message" not in alone
    since = len(here.events)
    run_as(here, "two", code)
    told = here.wait_for_event("breakpoint", since)["breakpoint"]
    assert told["message"] == "2 cells have this text; the breakpoint is in both."
    here.stop = here.wait_for_event("stopped", since)
    here.resume()
    since = len(here.events)
    here.finish(run_as(here, "two", code + "c = 3\n"))  # edited: the first is alone again
    assert "message" not in here.wait_for_event("breakpoint", since)["breakpoint"]


# -- lines that hit, move, or are refused

HARD = [
    ("%time f()  # @hit", "hit"),
    ("%timeit -n1 -r1 f()  # @hit", "hit"),
    ("%prun -q f()  # @hit", "hit"),
    ("!true  # @hit", "hit"),
    ("files = !true  # @hit", "hit"),
    ("\n\n\nx = 1  # @hit", "hit"),
    ("x = 1;  # @hit", "hit"),
    ("a = 1; b = 2; c = 3  # @hit", "hit"),
    ("import asyncio\nawait asyncio.sleep(0)  # @hit", "hit"),
    ("import asyncio\nasync with asyncio.timeout(9):\n    x = 1  # @hit", "hit"),
    ("def g():\n    yield 1  # @hit\nlist(g())", "hit"),
    ("x = [\n    1,\n    f(),  # @hit\n]", "hit"),
]


@pytest.mark.parametrize(("code", "mark"), HARD)
def test_a_breakpoint_on_a_hard_line_hits_there(here: Kernel, code: str, mark: str) -> None:
    here.run("def f():\n    return 1")
    stops_in_cell(here, code, mark)
    assert here.resume()["status"] == "ok"


def test_a_breakpoint_on_a_help_line_hits_there(here: Kernel) -> None:
    path = here.ask("dumpCell", code="x = 1\nlen?")["sourcePath"]
    assert set_lines(here, path, 2)[0]["verified"]
    here.run_to_stop("x = 1\nlen?")
    assert here.where()[1] == 2
    assert here.resume()["status"] == "ok"


BRANCH = """x = 0
if x:
    y = 1
else:
    y = 2
# a comment

try:
    z = 3
finally:
    z = 4
# the end
"""


def test_a_line_without_code_moves_forward_and_never_into_another_branch(here: Kernel) -> None:
    path = here.ask("dumpCell", code=BRANCH)["sourcePath"]
    found = set_lines(here, path, 4, 6, 7, 10, 12, 40)
    assert [b.get("line") for b in found[:4]] == [5, 8, 8, 11]
    assert all(b["verified"] for b in found[:4])
    assert [b["reason"] for b in found[4:]] == ["failed", "failed"]
    assert "past the last line" in found[5]["message"]
    set_lines(here, path, 4)
    here.run_to_stop(BRANCH)
    assert here.where()[1] == 5
    here.resume()


def test_a_cell_that_does_not_compile_is_pending_and_an_empty_one_refused(here: Kernel) -> None:
    path = here.ask("dumpCell", code="x = (\n")["sourcePath"]
    [found] = set_lines(here, path, 1)
    assert found["reason"] == "pending" and "doesn't compile" in found["message"]
    assert here.run("x = (\n")["ename"] in ("SyntaxError", "_IncompleteInputError")
    for code in ("\n\n", "# only a comment\n"):
        path = here.ask("dumpCell", code=code)["sourcePath"]
        [found] = set_lines(here, path, 1)
        assert (found["verified"], found["reason"]) == (False, "failed")


def test_a_script_that_a_line_magic_runs_stops(here: Kernel, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("a = 1\nb = a + 1\n")
    for command in (f"%run {script}", f"%run -n {script}", f"%run -i {script}"):
        set_lines(here, str(script), 2)
        here.run_to_stop(command)
        assert here.where()[1] == 2
        assert here.frames()[0]["source"]["path"] == str(script)
        assert here.resume()["status"] == "ok"
