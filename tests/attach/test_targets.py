"""The targets themselves: each is what it says, and ends as it says."""

import pytest
import targets
from targets import NewTarget, TargetPython

SCENARIOS = ("busy", "lock", "sleep", "asyncio_idle", "subinterpreter", "pool", "threads", "veto")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_target_starts_and_ends_in_its_own_way(
    new_target: NewTarget, target_python: TargetPython, scenario: str
) -> None:
    target = new_target(scenario, target_python)
    code, output, errors = target.finish()
    assert (code, errors) == (3, "")
    assert output.startswith(f"started {scenario}\nended {scenario} ")


@pytest.mark.parametrize("scenario", targets.BLOCKED)
def test_a_blocked_target_is_blocked_when_it_is_handed_out(
    new_target: NewTarget, python314: TargetPython, scenario: str
) -> None:
    target = new_target(scenario, python314)
    assert targets.state_of(target.pid) == "S"


def test_a_program_that_embeds_python_has_it_in_a_shared_library(
    new_target: NewTarget, shared_python: TargetPython
) -> None:
    target = new_target("sleep", shared_python)
    with open(f"/proc/{target.pid}/maps") as maps:
        assert "libpython" in maps.read()
