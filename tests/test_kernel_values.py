"""What a stopped kernel shows of its values, and what it lets a client set and evaluate."""

import time

from kernel_client import CELL, Kernel


def test_interrupting_a_long_evaluation_ends_it_and_leaves_the_stop(kernel: Kernel) -> None:
    kernel.break_at(CELL, "b")
    kernel.run_to_stop(CELL)
    frame = kernel.frames()[0]["id"]
    message = kernel.post("evaluate", expression="while True: pass", frameId=frame, context="repl")
    time.sleep(0.3)
    kernel.manager.interrupt_kernel()
    reply = kernel.reply_to(message)
    assert reply["success"] is False and "KeyboardInterrupt" in reply["message"]
    assert kernel.evaluate("a") == "5"
    assert kernel.resume()["output"] == "r is 6\n"


def test_evaluating_and_setting_variables_in_a_frame(kernel: Kernel) -> None:
    code = "def f(a):\n    b = [a]  # @b\n    c = 1  # @c\n    return a, b, c  # @end\nprint(f(5))"
    kernel.break_at(code, "end")
    kernel.run_to_stop(code)
    frame = kernel.frames()[0]["id"]
    assert kernel.evaluate("a = 7; c = 9") == ""
    assert kernel.evaluate("(a, c)") == "(7, 9)"
    assert kernel.evaluate("[x + a for x in b if x != a]") == "[12]"
    assert (
        kernel.ask("setExpression", expression="b[0]", value="a + 1", frameId=frame)["value"] == "8"
    )
    scopes = kernel.ask("scopes", frameId=frame)["scopes"]
    reference = scopes[0]["variablesReference"]
    set_ = kernel.ask("setVariable", variablesReference=reference, name="c", value="'new'")
    assert (set_["value"], set_["type"]) == ("'new'", "str")
    assert kernel.resume()["output"] == "(7, [8], 'new')\n"


def test_evaluation_failures_are_pythons_words(here: Kernel) -> None:
    here.break_at(CELL, "b")
    here.run_to_stop(CELL)
    frame = here.frames()[0]["id"]
    for text, said in [
        ("1/0", "ZeroDivisionError: division by zero"),
        ("nosuch", "NameError: name 'nosuch' is not defined"),
        ("a +", "SyntaxError"),
        ("__import__('sys').exit(1)", "SystemExit: 1"),
    ]:
        for context in ("repl", "watch", "clipboard"):
            reply = here.request("evaluate", expression=text, frameId=frame, context=context)
            assert not reply["success"] and said in reply["message"], reply
    assert (
        here.refuse("evaluate", expression="f(1)", frameId=frame, context="hover")
        == "evaluation-failed"
    )
    assert here.ask("evaluate", expression="a", frameId=frame, context="hover")["result"] == "5"
    assert here.resume()["output"] == "r is 6\n"


def test_an_endless_evaluation_is_ended_at_its_limit(kernel: Kernel) -> None:
    assert kernel.run("%config Nbdebug.evaluate_limit_s = 0.5")["output"] == ""
    kernel.break_at(CELL, "b")
    kernel.run_to_stop(CELL)
    frame = kernel.frames()[0]["id"]
    assert (
        kernel.refuse("evaluate", expression="while True: pass", frameId=frame) == "took-too-long"
    )
    assert kernel.evaluate("a") == "5"
    assert kernel.resume()["output"] == "r is 6\n"


def test_a_slow_repr_is_cut_and_says_so(here: Kernel) -> None:
    code = """class Slow:
    def __repr__(self):
        while True: pass
class Angry:
    def __repr__(self):
        raise ValueError('no')
def f():
    s, t, n = Slow(), Angry(), 3
    return n  # @end
print(f())"""
    here.break_at(code, "end")
    here.run_to_stop(code)
    shown = here.scope()
    assert "longer than 0.5 s" in shown["s"]["value"]
    assert "ValueError" in shown["t"]["value"]
    assert shown["n"]["value"] == "3"
    assert here.resume()["output"] == "3\n"


def test_completions_while_stopped(here: Kernel) -> None:
    here.break_at(CELL, "b")
    here.run_to_stop(CELL)
    frame = here.frames()[0]["id"]
    words = here.ask("completions", text="a.bit_l", column=8, frameId=frame)["targets"]
    assert [word["label"] for word in words] == ["bit_length"]
    words = here.ask("completions", text="x + a", column=6, frameId=frame)["targets"]
    assert "a" in [word["label"] for word in words]
    here.resume()


def test_variables_are_paged(here: Kernel) -> None:
    code = "def f():\n    big = list(range(100_000))\n    return len(big)  # @end\nf()"
    here.break_at(code, "end")
    here.run_to_stop(code)
    big = here.scope()["big"]
    assert big["indexedVariables"] == 100_000
    page = here.ask(
        "variables",
        variablesReference=big["variablesReference"],
        filter="indexed",
        start=4000,
        count=3,
    )
    assert [(v["name"], v["value"]) for v in page["variables"]] == [
        ("4000", "4000"),
        ("4001", "4001"),
        ("4002", "4002"),
    ]
    here.resume()


def test_variables_while_nothing_is_stopped(kernel: Kernel) -> None:
    kernel.run(
        "text = 'hello'\nitems = [1, 2]\n_id = 1\nclass C:\n"
        "    def __repr__(self): raise SystemExit\nc = C()"
    )
    shown = {v["name"]: v for v in kernel.ask("inspectVariables")["variables"]}
    assert shown["text"]["value"] == "'hello'"
    assert {"_id", "c"} <= shown.keys() and not {
        "In",
        "Out",
        "_i1",
        "exit",
        "get_ipython",
    } & shown.keys()
    children = kernel.ask("variables", variablesReference=shown["items"]["variablesReference"])[
        "variables"
    ]
    assert [v["value"] for v in children if v["name"].isdigit()] == ["1", "2"]
    rich = kernel.ask("richInspectVariables", variableName="text")
    assert rich == {"data": {"text/plain": "'hello'"}, "metadata": {}}
    unknown = kernel.ask("richInspectVariables", variableName="nosuch")
    assert unknown == {"data": {}, "metadata": {}}
    assert kernel.refuse("richInspectVariables", variableName="a b") == "unknown-variable"


def test_users_names_are_shown_even_where_ipython_has_them_too(here: Kernel) -> None:
    code = "def f():\n    _1, _i, In, exit, _id = range(5)\n    return 1  # @end\nf()"
    here.break_at(code, "end")
    here.run_to_stop(code)
    assert {"_1", "_i", "In", "exit", "_id"} <= here.scope().keys()
    here.resume()


def test_evaluating_while_nothing_is_stopped_runs_on_the_main_thread(here: Kernel) -> None:
    name = here.ask(
        "evaluate", expression="__import__('threading').current_thread().name", context="repl"
    )
    assert name["result"] == "MainThread"
    here.ask("evaluate", expression="made_here = 1", context="repl")
    assert here.run("made_here")["output"] == "1"
    message = here.send_cell("import time; print('on', flush=True); time.sleep(4)")
    here.wait_for_output(message, "on")
    assert here.refuse("evaluate", expression="1", context="repl") == "thread-is-running"
    assert here.finish(message)["status"] == "ok"


def test_copy_to_globals(here: Kernel) -> None:
    code = "def f():\n    local = {'k': 1}\n    return local  # @end\nf();"
    here.break_at(code, "end")
    here.run_to_stop(code)
    frame = here.frames()[0]["id"]
    here.ask("copyToGlobals", srcVariableName="local", dstVariableName="copied", srcFrameId=frame)
    assert here.scope("Globals")["copied"]["value"] == "{'k': 1}"
    assert here.refuse(
        "copyToGlobals", srcVariableName="nosuch", dstVariableName="c", srcFrameId=frame
    )
    assert (
        here.refuse(
            "copyToGlobals", srcVariableName="local", dstVariableName="a b", srcFrameId=frame
        )
        == "bad-arguments"
    )
    here.resume()
    assert here.run("copied")["output"] == "{'k': 1}"


def test_asking_for_modules_runs_no_lazy_modules_code(here: Kernel) -> None:
    here.run(
        "import importlib.util, sys\nspec = importlib.util.find_spec('this')\n"
        "spec.loader = importlib.util.LazyLoader(spec.loader)\n"
        "lazy = importlib.util.module_from_spec(spec); sys.modules['this'] = lazy\n"
        "spec.loader.exec_module(lazy)"
    )
    here.ask("modules")
    here.run("%bp nosuchfile.py:3")
    assert "_LazyModule" in here.run("print(object.__getattribute__(lazy, '__class__'))")["output"]


def test_the_repl_shows_a_value_as_a_console_does_and_long_ones_cut(here: Kernel) -> None:
    code = (
        "def f():\n    import pandas as pd\n    df = pd.DataFrame({'a': range(500)})\n"
        "    long = list(range(1_000_000))\n    return df  # @end\nf();"
    )
    here.break_at(code, "end")
    here.run_to_stop(code)
    shown = here.evaluate("df")
    assert "..." in shown and "[500 rows x 1 columns]" in shown
    assert here.evaluate("df", context="watch") == "DataFrame (500, 1)"
    assert here.evaluate("list(range(300))") == repr(list(range(300)))
    assert "999,990 more" in here.evaluate("long")
    assert here.evaluate("long", context="clipboard") == repr(list(range(1_000_000)))
    here.resume()


def test_the_repl_works_in_a_function_as_code_there_would(kernel: Kernel) -> None:
    code = "def f(n):\n    m = n + 1\n    return m  # @end\nprint(f(4))"
    kernel.break_at(code, "end")
    kernel.run_to_stop(code)
    assert kernel.evaluate("sorted(locals())") == "['m', 'n']"
    assert kernel.evaluate("eval('n')") == "4"
    assert kernel.evaluate("zz = 5") == ""
    assert kernel.evaluate("zz + n") == "9"
    assert kernel.evaluate("[zz + n for _ in 'ab']") == "[9, 9]"
    assert kernel.evaluate("list(map(lambda x: x + zz, [m]))") == "[10]"
    kernel.evaluate("import math")
    assert kernel.evaluate("math.floor(2.5)") == "2"
    kernel.evaluate("def g(a):\n    return a * 2\n")
    assert kernel.evaluate("g(m)") == "10"
    kernel.evaluate("m = 50")
    assert kernel.resume()["output"] == "50\n"


def test_a_frame_keeps_its_id_for_one_stop_and_has_another_at_the_next(here: Kernel) -> None:
    here.break_at(CELL, "b")
    here.run_to_stop(CELL)
    first = [frame["id"] for frame in here.frames()]
    here.evaluate("a")
    assert [frame["id"] for frame in here.frames()] == first
    here.move("next")
    assert not set(first) & {frame["id"] for frame in here.frames()}
    here.resume()


def test_the_panels_tree_shows_the_size_of_containers_as_their_type(here: Kernel) -> None:
    code = "def f():\n    many, one, text = [1, 2, 3], 1, 'a'\n    return one  # @end\nf();"
    here.break_at(code, "end")
    here.run_to_stop(code)
    types = {name: variable["type"] for name, variable in here.scope().items()}
    assert types == {"many": "list (3)", "one": "int", "text": "str"}
    here.resume()


def test_a_lone_surrogate_is_shown_escaped(here: Kernel) -> None:
    code = (
        "class Odd:\n    def __repr__(self):\n        return '\\ud800'\n"
        "def f(o):\n    return o  # @end\nf(Odd());"
    )
    here.break_at(code, "end")
    here.run_to_stop(code)
    assert here.scope()["o"]["value"] == "\\ud800"
    assert here.evaluate("o") == "\\ud800"
    here.break_at(code, "end", logMessage="{o}")
    here.resume()
    assert "\\ud800" in here.run(code)["output"]
    assert here.ask("evaluate", expression="'\\ud800'", context="repl")["result"] == "\\ud800"


def test_an_evaluation_that_sleeps_is_ended_and_the_stop_answers_on(kernel: Kernel) -> None:
    assert kernel.run("%config Nbdebug.evaluate_limit_s = 0.5")["output"] == ""
    kernel.break_at(CELL, "b")
    kernel.run_to_stop(CELL)
    frame = kernel.frames()[0]["id"]
    sleep = "__import__('time').sleep(60)"
    assert kernel.refuse("evaluate", expression=sleep, frameId=frame) == "took-too-long"
    assert kernel.evaluate("a") == "5"
    assert kernel.resume()["output"] == "r is 6\n"
