"""Evaluating at a stop of a real kernel, and while nothing is stopped: it harms nothing."""

import time

from kernel_client import Kernel, line_of

CELL = """import asyncio
def double(n):
    m = n * 2  # @double
    return m
class Box:
    @property
    def content(self):
        raise RuntimeError('run by a hover')
    def __repr__(self):
        raise RuntimeError('shown by a hover')
async def later(n):
    await asyncio.sleep(0.001)
    return n
async def waits():
    box, n = Box(), 5
    await asyncio.sleep(0)  # @await
    print('n is', n)
    return n
def plain():
    n, done = 3, []
    done.append(n)  # @plain
    print('done', done)
    return double(n)
"""
PLAIN = CELL + "plain()\n"
ASYNC = CELL + "await waits()\n"


def stop_at(kernel: Kernel, code: str, *marks: str) -> None:
    kernel.break_at(code, *marks)
    kernel.run_to_stop(code)
    assert kernel.where()[1] == line_of(code, marks[0])


def post_evaluate(kernel: Kernel, text: str, context: str = "repl") -> tuple[str, int]:
    frame = kernel.frames()[0]["id"]
    posted = kernel.post("evaluate", expression=text, frameId=frame, context=context)
    return posted, kernel.sequence


def test_an_evaluated_call_stops_at_a_breakpoint_and_goes_on(kernel: Kernel) -> None:
    stop_at(kernel, PLAIN, "plain", "double")
    outer, since = kernel.stop, len(kernel.events)
    posted, _ = post_evaluate(kernel, "double(n + 4)")
    inner = kernel.wait_for_event("stopped", since)
    assert inner["reason"] == "breakpoint"
    assert kernel.where() == ("double", line_of(PLAIN, "double"))
    assert kernel.scope()["n"]["value"] == "7"
    assert kernel.evaluate("n * 100") == "700"
    kernel.move("next")
    assert kernel.where() == ("double", line_of(PLAIN, "double") + 1)
    assert kernel.scope()["m"]["value"] == "14"

    since = len(kernel.events)
    assert not kernel.ask("continue", threadId=1)["allThreadsContinued"]
    assert kernel.reply_to(posted)["body"]["result"] == "14"
    assert kernel.wait_for_event("stopped", since) == outer
    assert kernel.where() == ("plain", line_of(PLAIN, "plain"))
    assert kernel.scope()["n"]["value"] == "3"

    kernel.move("continue")  # the breakpoint in the call that the cell itself makes
    assert kernel.where() == ("double", line_of(PLAIN, "double"))
    assert kernel.resume()["output"] == "done [3]\n6"


def test_a_step_out_of_an_evaluated_call_ends_with_it(here: Kernel) -> None:
    stop_at(here, PLAIN, "plain", "double")
    since = len(here.events)
    posted, _ = post_evaluate(here, "double(1)")
    here.wait_for_event("stopped", since)
    since = len(here.events)
    here.ask("stepOut", threadId=1)
    assert here.reply_to(posted)["body"]["result"] == "2"
    here.wait_for_event("stopped", since)
    assert here.where()[0] == "plain"
    here.ask("setBreakpoints", source={"path": here.path}, breakpoints=[])
    assert here.resume()["output"] == "done [3]\n6"


def test_an_evaluation_may_stop_in_an_evaluation(here: Kernel) -> None:
    stop_at(here, PLAIN, "plain", "double")
    replies = []
    for depth in range(3):
        since = len(here.events)
        replies.append(post_evaluate(here, f"double({depth})")[0])
        here.wait_for_event("stopped", since)
        assert here.scope()["n"]["value"] == str(depth)
    for depth in (2, 1, 0):
        since = len(here.events)
        here.ask("continue", threadId=1)
        assert here.reply_to(replies[depth])["body"]["result"] == str(2 * depth)
        here.wait_for_event("stopped", since)
    assert here.where()[0] == "plain"
    here.ask("setBreakpoints", source={"path": here.path}, breakpoints=[])
    assert here.resume()["output"] == "done [3]\n6"


def test_disconnecting_in_a_nested_stop_lets_everything_run_on(here: Kernel) -> None:
    stop_at(here, PLAIN, "plain", "double")
    since = len(here.events)
    posted, _ = post_evaluate(here, "double(1)")
    here.wait_for_event("stopped", since)
    here.ask("disconnect")
    assert here.reply_to(posted)["body"]["result"] == "2"
    assert here.finish()["output"] == "done [3]\n6"


def test_interrupting_a_nested_stop_ends_the_evaluation_only(here: Kernel) -> None:
    stop_at(here, PLAIN, "plain", "double")
    since = len(here.events)
    posted, _ = post_evaluate(here, "double(1)")
    here.wait_for_event("stopped", since)
    since = len(here.events)
    here.manager.interrupt_kernel()
    reply = here.reply_to(posted)
    assert not reply["success"]
    assert "KeyboardInterrupt" in reply["message"]
    here.wait_for_event("stopped", since)
    assert here.where()[0] == "plain"
    here.ask("setBreakpoints", source={"path": here.path}, breakpoints=[])
    assert here.resume()["output"] == "done [3]\n6"


def test_shutting_down_in_a_nested_stop_ends_the_kernel(here: Kernel) -> None:
    stop_at(here, PLAIN, "plain", "double")
    since = len(here.events)
    post_evaluate(here, "double(1)")
    here.wait_for_event("stopped", since)
    here.client.shutdown()
    end = time.monotonic() + 20
    while here.manager.is_alive():
        assert time.monotonic() < end, "the kernel is still alive"
        time.sleep(0.05)


def test_only_the_repl_stops_at_breakpoints(here: Kernel) -> None:
    stop_at(here, PLAIN, "plain", "double")
    for context in ("watch", "clipboard", "variables"):
        assert here.evaluate("double(4)", context) == "8"
    here.ask("setBreakpoints", source={"path": here.path}, breakpoints=[])
    assert here.resume()["status"] == "ok"


def test_an_evaluation_while_nothing_is_stopped_may_stop(here: Kernel) -> None:
    here.break_at(CELL, "double")
    assert here.run(CELL)["status"] == "ok"
    assert here.ask("evaluate", expression="double(2)", context="watch")["result"] == "4"
    since = len(here.events)
    posted = here.post("evaluate", expression="double(3)", context="repl")
    here.stop = here.wait_for_event("stopped", since)
    assert here.where() == ("double", line_of(CELL, "double"))
    assert here.scope()["n"]["value"] == "3"
    here.ask("continue", threadId=1)
    assert here.reply_to(posted)["body"]["result"] == "6"
    assert here.run("1 + 1")["output"] == "2"


def test_an_endless_evaluation_leaves_the_control_channel_free_and_can_be_cancelled(
    kernel: Kernel,
) -> None:
    stop_at(kernel, PLAIN, "plain")
    posted, sequence = post_evaluate(kernel, "while True: pass")
    assert kernel.ask("debugInfo")["stoppedThreads"] == [1]
    kernel.ask("cancel", requestId=sequence)
    reply = kernel.reply_to(posted)
    assert (reply["success"], reply["message"]) == (False, "cancelled")
    assert kernel.evaluate("n") == "3"
    assert kernel.resume()["output"] == "done [3]\n6"


def test_a_cancelled_evaluation_that_sleeps_in_native_code_ends(here: Kernel) -> None:
    stop_at(here, PLAIN, "plain")
    posted, sequence = post_evaluate(here, "__import__('time').sleep(600)")
    here.ask("cancel", requestId=sequence)
    reply = here.reply_to(posted)
    assert (reply["success"], reply["message"]) == (False, "cancelled")
    assert here.resume()["output"] == "done [3]\n6"


def test_a_request_that_waits_behind_another_can_be_cancelled(here: Kernel) -> None:
    stop_at(here, PLAIN, "plain")
    endless, first = post_evaluate(here, "while True: pass")
    waiting, second = post_evaluate(here, "n")
    here.ask("cancel", requestId=second)
    assert here.reply_to(waiting)["message"] == "cancelled"
    here.ask("cancel", requestId=first)
    assert here.reply_to(endless)["message"] == "cancelled"
    here.ask("cancel", requestId=12345)  # there is none such, and nothing happens
    here.ask("cancel")
    assert here.resume()["output"] == "done [3]\n6"


def test_continuing_during_an_endless_evaluation_goes_on_when_it_is_cancelled(
    here: Kernel,
) -> None:
    stop_at(here, PLAIN, "plain")
    posted, sequence = post_evaluate(here, "while True: pass")
    here.ask("continue", threadId=1)
    here.ask("cancel", requestId=sequence)
    assert here.reply_to(posted)["message"] == "cancelled"
    assert here.finish()["output"] == "done [3]\n6"


def test_await_is_run_at_a_stop(kernel: Kernel) -> None:
    stop_at(kernel, PLAIN, "plain")
    assert kernel.evaluate("await later(n)") == "3"
    assert kernel.evaluate("k = await later(4)\nk + n") == "7"
    assert kernel.resume()["output"] == "done [3]\n6"


def test_await_is_run_at_a_stop_inside_a_task(kernel: Kernel) -> None:
    stop_at(kernel, ASYNC, "await")
    assert kernel.evaluate("await later(n * 2)") == "10"
    assert kernel.evaluate("sum(await asyncio.gather(later(1), later(2)))") == "3"
    reply = kernel.resume()
    assert (reply["status"], reply["output"]) == ("ok", "n is 5\n5")
    assert kernel.run("await later(8)")["output"] == "8"


def test_await_is_run_while_nothing_is_stopped(here: Kernel) -> None:
    here.run(CELL)
    assert here.ask("evaluate", expression="await later(6)", context="repl")["result"] == "6"
    assert here.run("await later(8)")["output"] == "8"


def test_what_an_evaluation_raises_exits_or_asks_for_ends_it_alone(kernel: Kernel) -> None:
    stop_at(kernel, PLAIN, "plain")
    for text, said in (
        ("__import__('sys').exit(1)", "SystemExit: 1"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("input('name? ')", "does not support input"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ):
        posted, _ = post_evaluate(kernel, text)
        reply = kernel.reply_to(posted)
        assert not reply["success"]
        assert said in reply["message"]
    assert kernel.evaluate("print('said in the cell')") == ""
    assert kernel.evaluate("__import__('IPython').display.display({'a': n})") == ""
    assert kernel.resume()["output"] == "said in the cell\n{'a': 3}done [3]\n6"
    asked = kernel.client.execute("input('name? ')", allow_stdin=True)
    request = kernel.client.get_stdin_msg(timeout=20)
    assert request["content"]["prompt"] == "name? "
    kernel.client.input("Ada")
    assert kernel.finish(asked)["output"] == "'Ada'"


def test_a_hover_runs_no_code(here: Kernel) -> None:
    stop_at(here, ASYNC, "await")
    assert "Box object at" in here.evaluate("box", "hover")
    frame = here.frames()[0]["id"]
    reply = here.request("evaluate", expression="box.content", frameId=frame, context="hover")
    assert not reply["success"]
    assert "it is a property" in reply["message"]
    assert here.resume()["status"] == "ok"
