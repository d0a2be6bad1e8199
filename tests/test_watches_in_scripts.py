"""Data breakpoints over a socket: in a script, and in a child process that the client follows."""

from pathlib import Path

from script import debugging, running
from test_children import Follower

PROGRAM = """\
import threading
total = 0
class Box:
    size = 1
box = Box()
def add(n):
    global total
    total += n  # @add
    box.size = n
    return total  # @end
add(0)  # @first
add(2)
worker = threading.Thread(target=add, args=(3,))
worker.start()
worker.join()
print(total)
"""

CHILD = """\
import multiprocessing
total = 0
def work(n):
    global total
    total = n  # @set
    return total  # @end
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=work, args=(21,))
    process.start()
    process.join()
    print(process.exitcode)
"""


def test_a_script_stops_right_after_the_write_in_whichever_thread(tmp_path: Path) -> None:
    with debugging(tmp_path, PROGRAM, "first") as (script, client):
        client.stopped()
        info = client.ask("dataBreakpointInfo", name="total")
        [watch] = client.ask("setDataBreakpoints", breakpoints=[{"dataId": info["dataId"]}])[
            "breakpoints"
        ]
        client.ask("setBreakpoints", source={"path": script.path}, breakpoints=[])
        client.resume()
        first = client.stopped()
        assert first["hitBreakpointIds"] == [watch["id"]]
        assert first["text"] == (
            f"total changed: 0 -> 2 at program.py line {script.line('add')}, in add()"
        )
        of_box = client.ask("dataBreakpointInfo", name="box.size")
        wanted = [{"dataId": info["dataId"]}, {"dataId": of_box["dataId"], "condition": "new > 2"}]
        found = client.ask("setDataBreakpoints", breakpoints=wanted)["breakpoints"]
        assert found[0]["id"] == watch["id"], "what stays keeps its id and its history"
        client.resume()
        second = client.stopped()
        assert second["threadId"] != 1 and "total changed: 2 -> 5" in second["text"]
        client.ask("continue", threadId=second["threadId"])
        third = client.stopped()
        assert third["text"].startswith("box.size changed: 2 -> 3")
        client.ask("continue", threadId=third["threadId"])
        assert script.finish()[:2] == (0, "5\n")


def test_data_is_watched_in_a_child_process(tmp_path: Path) -> None:
    with running(tmp_path, CHILD) as script:
        parent = Follower(script)
        try:
            child = parent.child()
            path = {"path": script.path}
            line = {"line": script.line("set")}
            child.ask("setBreakpoints", source=path, breakpoints=[line])
            child.ask("configurationDone")
            stop = child.stopped()
            frame = child.ask("stackTrace", threadId=stop["threadId"])["stackFrames"][0]["id"]
            info = child.ask("dataBreakpointInfo", name="total", frameId=frame)
            child.ask("setDataBreakpoints", breakpoints=[{"dataId": info["dataId"]}])
            child.resume()
            assert child.stopped()["text"].startswith("total changed: 0 -> 21 at program.py")
            child.resume()
            assert script.finish()[:2] == (0, "0\n")
            child.close()
        finally:
            parent.close()
