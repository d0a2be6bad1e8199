"""The magics of a real kernel, and the settings that change what it does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_client import Kernel, running_kernel


@pytest.fixture(scope="module")
def shared() -> Iterator[Kernel]:
    with running_kernel() as running:
        yield running


def test_settings_change_what_is_the_users_code(here: Kernel) -> None:
    code = "import textwrap\nx = textwrap.dedent(' a')  # @x\ny = 1\n"
    here.break_at(code, "x")
    here.run_to_stop(code)
    here.move("stepIn")
    assert here.where() == ("<module>", 3)
    here.resume()
    assert here.run("%config Nbdebug.include = ['textwrap']")["output"] == ""
    here.run_to_stop(code)
    here.move("stepIn")
    assert here.where()[0] == "dedent"
    here.resume()
    assert "just my code" in here.run("%nbdebug")["output"]
    assert "Nbdebug" in here.run("%config Nbdebug")["output"]


def test_settings_are_read_from_ipythons_config_file(tmp_path: Path) -> None:
    profile = tmp_path / "profile_default"
    profile.mkdir()
    lines = [
        "c.InteractiveShellApp.extensions = ['nbdebug']",
        "c.Nbdebug.condition_errors = 'output'",
        "c.Nbdebug.just_my_code = False",
    ]
    (profile / "ipython_config.py").write_text("\n".join(lines))
    with running_kernel(load=False, IPYTHONDIR=str(tmp_path)) as kernel:
        code = "def f(a):\n    return a  # @b\nprint(f(3))"
        kernel.break_at(code, "b", condition="nosuch")
        output = kernel.run(code)["output"]
        assert "3" in output and "NameError" in output and "nosuch" in output
        table = kernel.run("%nbdebug")["output"]
        assert ["just", "my", "code", "off"] in [line.split() for line in table.splitlines()]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%bp nosuch.py", "neither FILE:LINE nor a function's name"),
        ("%bp mymod.py:3 if", "no condition after `if`"),
        ("%bp mymod.py:3 if x >", "isn't a Python expression"),
        ("%bp --hits often f", "isn't a hit condition"),
        ("%bp --hits", "needs a value"),
        ("%bp --log '{x' f", "doesn't parse"),
        ("%bp --what f", "no option `--what`"),
        ("%bp f g", "names 2"),
        ("%bp 'f", "can't be read"),
        ("%bp clear", "needs the numbers"),
        ("%bp clear 99", "no breakpoint 99"),
        ("%bp enable x", "needs the numbers"),
        ("%stack nosuch", "doesn't know `nosuch`"),
        ("%nbdebug nosuch", "takes nothing"),
    ],
)
def test_a_magic_used_wrongly_says_how_it_is_used(shared: Kernel, line: str, said: str) -> None:
    reply = shared.run(line)
    assert reply["status"] == "ok" and said in reply["output"], reply["output"]
    assert "Traceback" not in reply["output"]
    assert shared.run("%bp")["output"] == "No breakpoints."


def test_magics_set_list_disable_and_clear(here: Kernel) -> None:
    out = here.run('def f(a):\n    return a\n%bp --hits ">=2" f if a > 0\n')["output"]
    assert "f()" in out and "if a > 0, hits >=2" in out and "bound" in out
    here.run("%bp --log 'a={a}' f")
    rows = here.run("%bp")["output"].splitlines()
    assert len(rows) == 2 and "log 'a={a}'" in rows[1]
    assert here.run("print(f(1))")["output"] == "a=1\n1\n"
    assert "bound, disabled" in here.run("%bp disable 1")["output"]
    assert here.run("print(f(1))")["output"] == "1\n"
    assert "cleared" in here.run("%bp clear all")["output"]
    assert here.run("%bp")["output"] == "No breakpoints."


def test_a_bare_line_number_is_a_line_of_this_cell(here: Kernel) -> None:
    code = "%bp 3\nx = 1\ny = x + 1\nprint(y)"
    here.run_to_stop(code)
    assert here.where() == ("<module>", 3)
    here.resume()


def test_every_magic_has_help_with_examples(shared: Kernel) -> None:
    for name in ("bp", "stack", "postmortem", "nbdebug"):
        message = shared.send_cell(f"%{name}?")
        payload = shared.finish(message)["payload"]
        assert f"%{name}" in payload[0]["data"]["text/plain"]


def test_the_stack_magic_shows_threads_and_the_stop(here: Kernel) -> None:
    rows = here.run("def f():\n    get_ipython().run_line_magic('stack', '')\n    %stack\n%stack")[
        "output"
    ]
    assert "MainThread (running)" in rows and "<module>" in rows
