"""The list of Python processes: what each runs, and whether it can be attached to, or why not."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import targets
from interpreters import ROOT
from kernel_client import running_kernel
from targets import NewTarget, TargetPython

import nbdebug
from nbdebug.attach import binaries, errors, policy, processes
from nbdebug.attach.locking import PidLock
from nbdebug.attach.processes import PythonProcess


def listed(pid: int, *, details: bool = False) -> PythonProcess:
    [found] = [one for one in processes.processes(details=details) if one.pid == pid]
    return found


def test_a_target_is_listed_with_all_that_is_known_of_it(
    new_target: NewTarget, target_python: TargetPython
) -> None:
    target = new_target("naps", target_python)
    one = listed(target.pid)
    assert one.version.startswith(f"{target_python.version}.")
    ask = "import platform; print(platform.python_version())"
    assert one.version == targets.ask(str(target_python.path), ask)
    assert one.title == f"{targets.PROGRAM} naps"
    assert one.parent == os.getpid()
    assert one.user == policy.name_of(os.getuid())
    assert one.threads == 1
    assert one.memory_bytes > 1 << 20
    assert 0 <= one.age_s < 600
    assert one.kernel is None
    is_new = target_python.minor >= (3, 14)
    assert one.access == ("attach" if is_new else "legacy")
    assert one.slug == ("" if is_new else "python-too-old")


def test_a_program_that_embeds_python_is_listed(
    new_target: NewTarget, shared_python: TargetPython
) -> None:
    one = listed(new_target("naps", shared_python).pid)
    assert one.version.startswith(shared_python.version)
    assert (one.build, one.access) == ("shared library", "attach")


def test_the_virtual_environment_is_told_by_the_path_of_the_program() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        targets.wait_until(lambda: any(one.pid == process.pid for one in processes.processes()))
        assert listed(process.pid).environment == sys.prefix
    finally:
        process.communicate(b"\n")


def test_details_come_from_the_memory(new_target: NewTarget, new_python: TargetPython) -> None:
    target = new_target("naps", new_python)
    one = listed(target.pid, details=True)
    assert one.details is not None
    prefix = targets.ask(str(new_python.path), "import sys; print(sys.prefix)")
    assert (one.details.prefix, one.details.base_prefix) == (prefix, prefix)
    assert one.details.modules > 10
    assert one.details.is_enabled is True


# -- kernels


def test_a_kernel_is_listed_with_its_notebook(tmp_path: Path) -> None:
    notebook = str(tmp_path / "analysis.ipynb")
    with running_kernel(enable=False, JPY_SESSION_NAME=notebook) as kernel:
        pid = int(kernel.run("import os; print(os.getpid())")["output"])
        one = listed(pid)
        assert one.kernel is not None
        assert one.kernel.notebook == notebook
        assert one.kernel.connection_file.endswith(".json")
        assert one.title == "kernel of analysis.ipynb"
        for name in (notebook, "analysis.ipynb", "analysis", str(pid)):
            assert processes.find(name) == pid


# -- who can't be attached to


def test_this_process_is_listed_and_not_to_be_attached_to() -> None:
    one = listed(os.getpid())
    assert (one.access, one.slug) == ("none", "this-process")


def test_a_stopped_process_can_only_be_looked_at_and_the_advice_says_how_it_goes_on(
    new_target: NewTarget,
) -> None:
    target = new_target("naps")
    os.kill(target.pid, signal.SIGSTOP)
    targets.wait_for_state(target.pid, "T")
    one = listed(target.pid)
    assert (one.access, one.slug) == ("inspect", "target-stopped")
    assert f"kill -CONT {target.pid}" in one.advice


@pytest.mark.parametrize(
    ("options", "environment", "slug"),
    [
        (["-X", "disable-remote-debug"], {}, "remote-debug-disabled-by-flag"),
        ([], {"PYTHON_DISABLE_REMOTE_DEBUG": ""}, "remote-debug-disabled-by-variable"),
    ],
)
def test_a_program_that_doesn_t_want_to_be_debugged_can_only_be_looked_at(
    new_target: NewTarget, options: list[str], environment: dict[str, str], slug: str
) -> None:
    target = new_target("naps", options=options, environment=environment)
    one = listed(target.pid)
    assert (one.access, one.slug) == ("inspect", slug)


def test_an_option_of_the_script_is_none_of_the_interpreter(new_target: NewTarget) -> None:
    target = new_target("naps", arguments=["-X", "disable-remote-debug"])
    assert listed(target.pid).access == "attach"
    other = new_target("naps", options=["-X", "disable_remote_debug"])
    assert listed(other.pid).access == "attach"


def test_one_that_another_debugs_names_it(new_target: NewTarget) -> None:
    target = new_target("naps")
    with PidLock(target.pid):
        assert listed(target.pid).slug == "already-attached"
    assert listed(target.pid).access == "attach"


def test_a_limit_of_ours_is_the_reason(
    new_target: NewTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = new_target("naps")
    monkeypatch.setenv("NBDEBUG_ATTACH", "inspect")
    one = listed(target.pid)
    assert (one.access, one.slug) == ("inspect", "attach-not-allowed")


AS_NOBODY = """
import json, os, sys
from nbdebug.attach import policy, processes
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
found = {{one.pid: one for one in processes.processes()}}
print(json.dumps(processes.as_json(found[{pid}])))
"""


def test_another_user_s_process_is_listed_with_the_exact_fix(new_target: NewTarget) -> None:
    if os.geteuid() != 0:
        pytest.skip("not root, so no other user's process can be started")
    target = new_target("naps")
    program = AS_NOBODY.format(pid=target.pid)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = subprocess.check_output(
        [sys.executable, "-c", program], text=True, timeout=60, env=environment
    )
    one = json.loads(told)
    assert (one["access"], one["slug"]) == ("none", "no-permission-other-user")
    assert one["why"] == f"Process {target.pid} is root's, and this one is nobody's."
    assert f"sudo -u root python -m nbdebug attach {target.pid}" in one["advice"]


# -- names


def test_a_name_must_mean_one_process(new_target: NewTarget) -> None:
    first, second = new_target("naps"), new_target("naps")
    with pytest.raises(errors.AmbiguousTarget) as caught:
        processes.find("attach_target.py")
    assert all(str(one.pid) in str(caught.value) for one in (first, second))
    other = new_target("threads")
    assert processes.find("attach_target.py threads") == other.pid
    with pytest.raises(errors.NoSuchTarget):
        processes.find("no-such-program.py")
    with pytest.raises(errors.BadTarget):
        processes.find(" ")


# -- program files


def test_what_isn_t_python_is_not_taken_for_one() -> None:
    for name in ("sh", "sleep", "ls"):
        path = shutil.which(name)
        assert path is not None
        assert binaries.binary_of(path) == binaries.NOTHING
    assert binaries.binary_of(__file__) == binaries.NOTHING


def test_a_damaged_program_file_is_no_python(tmp_path: Path) -> None:
    whole = Path(targets.require_target_python("3.14").path).read_bytes()
    for size in (10, 64, 4096):
        file = tmp_path / f"cut-{size}"
        file.write_bytes(whole[:size])
        assert binaries.binary_of(str(file)) == binaries.NOTHING


# -- how it is shown


def test_it_is_a_sequence_and_a_table(new_target: NewTarget) -> None:
    target = new_target("naps")
    found = nbdebug.processes()
    assert target.pid in [one.pid for one in found]
    assert len(found) == len(found.processes) and found[0] is found.processes[0]
    assert found[:1] == found.processes[:1]
    text, html = repr(found), found._repr_html_()
    assert str(target.pid) in text and "attach_target.py naps" in text
    assert html.count("<tr>") == len(found) + 1


def test_no_line_is_wider_than_the_terminal(
    new_target: NewTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    new_target("naps")
    assert max(map(len, repr(nbdebug.processes()).splitlines())) <= 70


def test_text_from_other_processes_is_no_markup(new_target: NewTarget) -> None:
    new_target("naps", arguments=["<script>alert(1)</script>"])
    assert "<script>" not in nbdebug.processes()._repr_html_()


def ps(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nbdebug", "ps", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
    )


def test_the_command_lists_what_fits(new_target: NewTarget) -> None:
    target = new_target("naps")
    done = ps("attach_target.py", str(target.pid))
    assert (done.returncode, done.stderr) == (0, "")
    head, line = done.stdout.splitlines()
    assert head.split()[:3] == ["pid", "Python", "runs"]
    assert line.split()[0] == str(target.pid)
    assert ps("no such words").stdout == "No Python process fits.\n"


def test_the_command_prints_json(new_target: NewTarget) -> None:
    target = new_target("naps")
    found = json.loads(ps("--json", "--details").stdout)
    [one] = [one for one in found if one["pid"] == target.pid]
    assert one["command"][-1] == "naps"
    assert one["details"]["is_enabled"] is True
    assert one["access"] == "attach"


def test_the_magic_shows_the_table_and_says_what_it_doesn_t_know(new_target: NewTarget) -> None:
    target = new_target("naps")
    with running_kernel() as kernel:
        shown = kernel.run("found = %processes attach_target.py\nprint(found)")
        assert str(target.pid) in shown["output"]
        wrong = kernel.run("%processes --all")
        assert "`%processes` has no option `--all`." in wrong["output"]
