"""Limits, audit events, the log, records, and the reasons for which a system says no."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import targets
from attach_script import Marker, ask
from interpreters import ROOT
from targets import NewTarget

import nbdebug.attach
from nbdebug.attach import errors, policy, records
from nbdebug.attach.policy import Level
from nbdebug.errors import NbdebugError, UsageError


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    yield
    policy.configure("legacy")
    records.configure_log(None)


# -- limits


def test_without_a_limit_all_is_allowed() -> None:
    for level in Level:
        policy.require(level, 1)


@pytest.mark.parametrize("level", list(Level))
def test_the_variable_limits_what_is_allowed(monkeypatch: pytest.MonkeyPatch, level: Level) -> None:
    monkeypatch.setenv("NBDEBUG_ATTACH", level.name.lower())
    for wanted in Level:
        if wanted <= level:
            policy.require(wanted, 1)
        else:
            with pytest.raises(errors.NotAllowed, match="NBDEBUG_ATTACH is") as caught:
                policy.require(wanted, 1)
            assert f"Set NBDEBUG_ATTACH to `{wanted.name.lower()}`" in caught.value.advice


def test_the_narrower_of_variable_and_trait_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    policy.configure("inspect")
    monkeypatch.setenv("NBDEBUG_ATTACH", "legacy")
    with pytest.raises(errors.NotAllowed, match=r"c\.Nbdebug\.attach is `inspect`"):
        policy.require(Level.SAFE, 1)
    policy.require(Level.INSPECT, 1)


def test_a_word_that_isn_t_known_allows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBDEBUG_ATTACH", "sure")
    with pytest.raises(errors.NotAllowed, match="`sure`"):
        policy.require(Level.INSPECT, 1)
    with pytest.raises(UsageError, match="not `sure`"):
        policy.configure("sure")


# -- audit events, the log, records

HOOKED = """
import sys
sys.path.insert(0, {root!r})
from nbdebug.attach import policy
def hook(event, arguments):
    if event.startswith("nbdebug."):
        print(event, *arguments)
        if event == "nbdebug.evaluate":
            raise PermissionError("not here")
sys.addaudithook(hook)
policy.audit("attach", 7, way="safe")
policy.audit("detach", 7)
try:
    policy.audit("evaluate", 7, expression="x")
except PermissionError as error:
    print("refused:", error)
"""


def test_each_deed_raises_an_audit_event_that_a_hook_can_forbid() -> None:
    printed = subprocess.check_output(
        [sys.executable, "-c", HOOKED.format(root=str(ROOT))], text=True, timeout=60
    )
    assert printed.splitlines() == [
        "nbdebug.attach 7 {'way': 'safe'}",
        "nbdebug.detach 7 {}",
        "nbdebug.evaluate 7 {'expression': 'x'}",
        "refused: not here",
    ]


def test_the_log_has_each_deed_and_each_record(new_target: NewTarget, tmp_path: Path) -> None:
    log = tmp_path / "attach.log"
    records.configure_log(str(log))
    target = new_target("naps")
    policy.audit("attach", target.pid, way="safe")
    record = records.begin(target.pid, "safe")
    with record.phase("locate"):
        pass
    record.finish("attached")
    records.begin(1, "safe").fail(errors.TargetStopped.of(1))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["attach", "record", "record"]
    assert all(line["by"] == os.getpid() for line in lines)
    assert lines[1]["outcome"] == "attached" and "locate" in lines[1]["phases_s"]
    assert lines[2]["failure"] == "target-stopped"
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_log_that_can_t_be_written_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBDEBUG_ATTACH_LOG", "/proc/nowhere/attach.log")
    policy.audit("detach", 1)


def test_a_record_tells_the_user_one_line(new_target: NewTarget, tmp_path: Path) -> None:
    marker = Marker.made_in(tmp_path)
    target = new_target("sleep")
    record = records.begin(target.pid, "safe")
    asked = ask(target.pid, marker.script)
    assert asked.wake()
    marker.wait()
    asked.record.finish("attached")
    line = asked.record.line()
    assert line.startswith(f"Attached to process {target.pid} in ")
    assert "safe, woken from sleep" in line
    record.fail(errors.ProcessEnded.of(target.pid, phase="hello"))
    assert record.line().startswith(f"Not attached to process {target.pid}: process-ended")
    assert nbdebug.attach.records()[-1] is record


# -- the errors themselves


def subclasses(error: type[NbdebugError]) -> Iterator[type[NbdebugError]]:
    for one in error.__subclasses__():
        yield one
        yield from subclasses(one)


FACTS = {
    **dict.fromkeys(("why", "name", "found", "command", "wanted", "level", "where", "path"), "x"),
    **dict.fromkeys(("phase", "thread", "place", "what", "version", "python", "debugpy"), "x"),
    **dict.fromkeys(("known", "owner", "user", "meaning", "fix_command"), "x"),
    **dict.fromkeys(("holder", "size", "limit", "parent", "tracer", "scope"), 7),
    "undone": "It has been put back.",
    "limit_s": 2.5,
}


@pytest.mark.parametrize(
    "error", list(dict.fromkeys(subclasses(errors.AttachError))), ids=lambda error: error.slug
)
def test_every_error_has_a_sentence_and_an_advice(error: type[errors.AttachError]) -> None:
    made = error.of(4711, **FACTS)
    assert made.pid == 4711
    assert str(made).endswith(".") and "{" not in str(made)
    assert made.advice and "{" not in made.advice + error.advice
    assert made.advice[0].isupper() or made.advice[0] in "`x"


def test_a_time_out_has_a_class_for_each_phase() -> None:
    assert tuple(errors.TIMEOUTS) == records.PHASES
    for phase, error in errors.TIMEOUTS.items():
        assert error.slug == f"attach-timeout-{phase}"


# -- what the system allows

AS_OTHER = """
import os, sys
from nbdebug.attach import errors, memory, policy, runtime
if {user}:
    os.setgroups([])
    os.setgid({user})
    os.setuid({user})
try:
    runtime.locate(memory.Memory({pid}))
except errors.NoPermission:
    error = policy.no_permission({pid})
    print(error.slug, str(error), error.advice, sep="\\n")
else:
    print("allowed")
"""


def look_as(user: int, pid: int, prefix: tuple[str, ...] = ()) -> list[str]:
    program = AS_OTHER.format(user=user, pid=pid)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [*prefix, sys.executable, "-c", program]
    return subprocess.check_output(
        command, text=True, timeout=60, env=environment, stderr=subprocess.STDOUT
    ).splitlines()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="not root, so users can't be changed")


@needs_root
def test_another_user_s_process_is_refused_with_the_command_that_would_do(
    new_target: NewTarget,
) -> None:
    target = new_target("naps")
    slug, sentence, advice = look_as(65534, target.pid)
    assert slug == "no-permission-other-user"
    assert sentence == f"Process {target.pid} is root's, and this one is nobody's."
    assert f"`sudo -u root python -m nbdebug attach {target.pid}`" in advice


@needs_root
def test_root_without_the_capability_is_told_which_one_its_container_lacks(
    new_target: NewTarget,
) -> None:
    target = new_target("undumpable")
    setpriv = ("setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace")
    try:
        told = look_as(0, target.pid, setpriv)
    except FileNotFoundError:
        pytest.skip("no setpriv here")
    if told == ["allowed"]:
        pytest.skip("setpriv doesn't take the capability away here")
    assert told[0] in ("no-permission-protected", "no-permission-container")
    assert "sudo python -m nbdebug" in told[2] or "--cap-add=SYS_PTRACE" in told[2]


def test_yama_is_told_with_the_exact_command(
    new_target: NewTarget, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = new_target("naps")
    scope = tmp_path / "ptrace_scope"
    monkeypatch.setattr(policy, "_YAMA", scope)
    for number, fix in (("3", "/etc/sysctl.d"),):
        scope.write_text(f"{number}\n")
        error = policy.no_permission(target.pid)
        assert isinstance(error, errors.ForbiddenByYama)
        assert f"ptrace_scope is {number}" in str(error) and fix in error.advice


def test_a_container_is_told_by_its_namespaces(new_target: NewTarget) -> None:
    unshare = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here: the kernel forbids them")
    target = new_target("naps", prefix=unshare)
    [inside] = targets.children_of(target.pid)[-1:]
    error = policy.no_permission(inside)
    assert isinstance(error, errors.InContainer)
    assert "--cap-add=SYS_PTRACE" in error.advice
