"""What a time limit promises: it ends the call, and nothing of it is felt afterwards."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from nbdebug.engine.bounded import Bounded, NotRun, UserCode
from nbdebug.engine.model import Limits
from nbdebug.errors import TookTooLong

SOON_S = 0.02
LONG_S = 60.0


@pytest.fixture(autouse=True)
def _of_others() -> None:
    """Other tests of this run may have left a watchdog that is still to end by itself."""
    others[:] = threading.enumerate()


others: list[threading.Thread] = []


@pytest.fixture
def bounded() -> Iterator[Bounded]:
    made = Bounded()
    yield made
    made.close()


def spin() -> None:
    while True:
        pass


def work_for(seconds: float) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return "done"


def watchdogs() -> list[threading.Thread]:
    return [
        thread
        for thread in threading.enumerate()
        if thread.name == "nbdebug-watchdog" and thread not in others
    ]


def test_the_result_is_handed_through(bounded: Bounded) -> None:
    assert bounded.call(lambda: 42, LONG_S) == 42


def test_a_call_past_its_limit_is_ended(bounded: Bounded) -> None:
    with pytest.raises(TookTooLong, match=r"took longer than 0\.02 s"):
        bounded.call(spin, SOON_S)


def test_an_exception_of_the_function_propagates_as_itself(bounded: Bounded) -> None:
    error = KeyError("k")

    def fail() -> None:
        raise error

    with pytest.raises(KeyError) as caught:
        bounded.call(fail, LONG_S)
    assert caught.value is error


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_not_an_exception_propagates_too(
    bounded: Bounded, error: type[BaseException]
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(error):
        bounded.call(fail, LONG_S)


def test_keyboard_interrupt_of_the_user_passes_through(bounded: Bounded) -> None:
    def interrupted() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        work_for(LONG_S)

    with pytest.raises(KeyboardInterrupt):
        bounded.call(interrupted, LONG_S)


def test_code_that_swallows_the_interruption_is_interrupted_again(bounded: Bounded) -> None:
    caught: list[BaseException] = []

    def stubborn() -> str:
        while len(caught) < 3:
            try:
                spin()
            except BaseException as error:
                caught.append(error)
        return "survived"

    with pytest.raises(TookTooLong):
        bounded.call(stubborn, SOON_S)
    assert len(caught) == 3


def test_an_exception_made_of_the_interruption_is_a_time_out_too(bounded: Bounded) -> None:
    def disguise() -> None:
        try:
            spin()
        except BaseException:
            raise ValueError("something else") from None

    with pytest.raises(TookTooLong):
        bounded.call(disguise, SOON_S)


def test_nothing_arrives_after_a_call_that_ends_just_at_its_limit(bounded: Bounded) -> None:
    ended = {"in time": 0, "too late": 0}
    for round_ in range(300):
        try:
            bounded.call(lambda: work_for(0.001), 0.001 + (round_ % 7 - 3) * 0.00005)
            ended["in time"] += 1
        except TookTooLong:
            ended["too late"] += 1
        work_for(0.0005)  # a late one would be raised here, or by the next call
    assert sum(ended.values()) == 300


def test_nothing_arrives_where_calls_on_many_threads_end_at_their_limits(bounded: Bounded) -> None:
    leaked: list[BaseException] = []

    def hammer() -> None:
        try:
            for _ in range(100):
                try:
                    bounded.call(lambda: work_for(0.002), 0.002)
                except TookTooLong:
                    pass
                work_for(0.0005)
        except BaseException as error:
            leaked.append(error)

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
    assert not leaked
    assert len(watchdogs()) == 1


def test_an_inner_limit_ends_only_the_inner_call(bounded: Bounded) -> None:
    def outer() -> str:
        with pytest.raises(TookTooLong, match=r"0\.02 s"):
            bounded.call(spin, SOON_S)
        return "outer goes on"

    assert bounded.call(outer, LONG_S) == "outer goes on"


def test_an_outer_limit_ends_the_inner_call_with_it(bounded: Bounded) -> None:
    inner_saw = []

    def outer() -> None:
        try:
            bounded.call(spin, LONG_S)
        except Exception as error:
            inner_saw.append(error)

    with pytest.raises(TookTooLong, match=r"0\.02 s"):
        bounded.call(outer, SOON_S)
    assert not inner_saw


def test_an_outer_limit_still_holds_after_an_inner_call(bounded: Bounded) -> None:
    def outer() -> None:
        assert bounded.call(lambda: 1, LONG_S) == 1
        spin()

    with pytest.raises(TookTooLong):
        bounded.call(outer, SOON_S)


def test_nested_calls_that_all_time_out_leave_nothing_behind(bounded: Bounded) -> None:
    def nest(depth: int) -> None:
        if depth == 0:
            spin()
        bounded.call(lambda: nest(depth - 1), SOON_S)

    for _ in range(10):
        with pytest.raises(TookTooLong):
            bounded.call(lambda: nest(5), SOON_S)
        work_for(0.002)


def test_each_thread_has_its_own_limit(bounded: Bounded) -> None:
    outcomes: dict[str, str] = {}
    both = threading.Barrier(2)

    def run(name: str, limit_s: float) -> None:
        both.wait(LONG_S)
        try:
            outcomes[name] = bounded.call(lambda: work_for(0.3), limit_s)
        except TookTooLong:
            outcomes[name] = "ended"

    threads = [
        threading.Thread(target=run, args=args) for args in (("short", SOON_S), ("long", LONG_S))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
    assert outcomes == {"short": "ended", "long": "done"}


def test_the_watchdog_starts_with_the_first_call_and_is_left_alone_by_debuggers(
    bounded: Bounded,
) -> None:
    assert not watchdogs()
    bounded.call(int, LONG_S)
    (watchdog,) = watchdogs()
    assert watchdog.daemon
    assert vars(watchdog)["pydev_do_not_trace"] is True
    assert vars(watchdog)["is_pydev_daemon_thread"] is True


def test_close_ends_the_watchdog_and_a_later_call_starts_another(bounded: Bounded) -> None:
    bounded.call(int, LONG_S)
    bounded.close()
    assert not watchdogs()
    with pytest.raises(TookTooLong):
        bounded.call(spin, SOON_S)
    assert len(watchdogs()) == 1


def test_an_idle_watchdog_ends_by_itself() -> None:
    bounded = Bounded(idle_s=SOON_S)
    bounded.call(int, SOON_S)
    (watchdog,) = watchdogs()
    watchdog.join(LONG_S)
    assert not watchdogs()
    with pytest.raises(TookTooLong):
        bounded.call(spin, SOON_S)
    bounded.close()


def test_calls_on_end_and_start_of_the_watchdog_are_all_watched() -> None:
    bounded = Bounded(idle_s=0.001)
    for round_ in range(50):
        time.sleep(0.001 * (round_ % 3))  # so that calls meet a watchdog about to end
        with pytest.raises(TookTooLong):
            bounded.call(spin, 0.001)
    bounded.close()
    assert not watchdogs()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_limits_too(bounded: Bounded) -> None:
    bounded.call(int, LONG_S)
    child = os.fork()
    if child == 0:
        try:
            bounded.call(spin, SOON_S)
        except TookTooLong:
            os._exit(17)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17


def test_no_frame_is_kept_after_a_time_out(bounded: Bounded) -> None:
    class Held:
        pass

    held = Held()
    before = sys.getrefcount(held)

    def hold() -> None:
        kept = held
        while kept is held:
            pass

    with pytest.raises(TookTooLong) as caught:
        bounded.call(hold, SOON_S)
    del caught
    del hold
    assert sys.getrefcount(held) == before


def test_user_code_that_may_not_run_is_refused(bounded: Bounded) -> None:
    code = UserCode(bounded, Limits(), enabled=False)
    with pytest.raises(NotRun):
        code.run(int)


def test_all_runs_of_one_listing_together_have_a_limit(bounded: Bounded) -> None:
    code = UserCode(bounded, Limits(repr_s=SOON_S))
    outcomes: list[str] = []
    while "used up its time" not in " ".join(outcomes):
        with pytest.raises((TookTooLong, NotRun)) as caught:
            code.run(spin)
        outcomes.append(str(caught.value))
    assert 2 <= len(outcomes) <= 5
    code.begin()
    assert code.run(int) == 0
