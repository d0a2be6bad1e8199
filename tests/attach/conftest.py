"""Targets for the tests of attach: real processes, each killed and collected at the test's end."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import targets
from attach_script import Marker
from targets import NEW, OLD, OLDER, NewTarget, Target, TargetPython


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    if not sys.platform.startswith("linux"):
        for item in items:
            if here in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="attach is tested on Linux"))


@pytest.fixture(params=NEW)
def new_python(request: pytest.FixtureRequest) -> TargetPython:
    """Run the test once for each Python with a safe way in."""
    return targets.require_target_python(request.param)


@pytest.fixture(params=OLD)
def old_python(request: pytest.FixtureRequest) -> TargetPython:
    """Run the test once for each Python that only ``--legacy`` gets into."""
    return targets.require_target_python(request.param)


@pytest.fixture(params=[*OLDER, *OLD])
def legacy_python(request: pytest.FixtureRequest) -> TargetPython:
    """Run the test once for each Python that has no safe point for scripts."""
    if request.param in OLD:
        return targets.require_target_python(request.param)
    return targets.require_older_python(request.param)


@pytest.fixture(params=[*OLD, *NEW])
def target_python(request: pytest.FixtureRequest) -> TargetPython:
    """Run the test once for each Python that a target may run on."""
    return targets.require_target_python(request.param)


@pytest.fixture(params=NEW)
def shared_python(request: pytest.FixtureRequest) -> TargetPython:
    """Run the test once for each new Python in a shared library."""
    return targets.require_shared_python(request.param)


@pytest.fixture
def python314() -> TargetPython:
    """The Python that most targets run on."""
    return targets.require_target_python("3.14")


@pytest.fixture
def marker(tmp_path: Path) -> Marker:
    """A script for targets to run."""
    return Marker.made_in(tmp_path)


@pytest.fixture
def new_target() -> Iterator[NewTarget]:
    """Start targets, as ``targets.start`` does: ``new_target("busy", python)``."""
    started: list[Target] = []

    def start(scenario: str, python: TargetPython | None = None, **more: object) -> Target:
        target = targets.start(
            scenario,
            python or targets.require_target_python("3.14"),
            **more,  # type: ignore[arg-type]  # the keywords of targets.start, as they are
        )
        started.append(target)
        return target

    yield start
    for target in started:
        for pid in [*targets.children_of(target.pid), target.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        target.kill()
