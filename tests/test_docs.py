"""The documents say what the code says: errors, requests, options, modules, links, examples."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args, get_type_hints

import nbformat
import pytest
from interpreters import ROOT
from kernel_client import running_kernel

import nbdebug
from nbdebug.dap import arguments as a
from nbdebug.dap.requests import REQUESTS, Request
from nbdebug.engine import stepping
from nbdebug.errors import NbdebugError
from nbdebug.kernel.config import Nbdebug
from nbdebug.kernel.session import KernelSession

README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ALL_REQUESTS = {**REQUESTS, **KernelSession.requests}


def read(path: Path) -> str:
    """Return a page's text; of a notebook, that of its Markdown cells."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return path.read_text(encoding="utf-8")


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the table whose first heading this is, without its head."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def code_words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# -- errors


def errors() -> Iterator[type[NbdebugError]]:
    """Yield every class of error that nbdebug has."""
    for module in pkgutil.walk_packages(nbdebug.__path__, "nbdebug."):
        importlib.import_module(module.name)
    waiting: list[type[NbdebugError]] = [NbdebugError]
    while waiting:
        error = waiting.pop()
        if error.__module__.partition(".")[0] == "nbdebug":
            yield error
            waiting += error.__subclasses__()


def test_every_error_has_its_heading_in_messages_md_and_no_heading_is_stale() -> None:
    text = read(ROOT / "docs" / "messages.md")
    documented = re.findall(r"^### (.+)\n\n\*\*(\d+)\*\* ", text, re.MULTILINE)
    assert len(documented) == text.count("\n### "), "a heading without its number"
    assert sorted(documented) == sorted({(error.slug, str(error.id)) for error in errors()})


def test_a_slug_and_a_number_belong_to_one_error() -> None:
    pairs = {(error.slug, error.id) for error in errors()}
    assert len(pairs) == len({slug for slug, _ in pairs}) == len({id_ for _, id_ in pairs})


# -- the protocol


@pytest.fixture
def protocol() -> str:
    return read(ROOT / "docs" / "protocol.md")


def properties(shape: type[Any]) -> list[str]:
    """Return a message's properties, in DAP's spelling, with ? where one may be left out."""
    return [key + ("" if is_required else "?") for _, key, _, is_required in a._keys_of(shape)]


def documented_requests(text: str) -> dict[str, tuple[list[str], list[str]]]:
    """Return request -> (arguments, capabilities) of every table of requests in the text."""
    found = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        if "| request |" in section:
            for name, arguments, capabilities in rows(section, "request"):
                [command] = code_words(name)
                assert command not in found, f"{command} stands there twice"
                found[command] = code_words(arguments), code_words(capabilities)
    return found


def told_by(request: Request[Any]) -> tuple[list[str], list[str]]:
    return properties(request.arguments), list(request.capabilities)


def test_protocol_md_has_every_request_with_its_arguments_and_capabilities(protocol: str) -> None:
    expected = {command: told_by(request) for command, request in ALL_REQUESTS.items()}
    assert documented_requests(protocol) == expected


def test_what_the_kernel_answers_otherwise_has_the_same_arguments_and_capabilities() -> None:
    for command, request in REQUESTS.items():
        of_kernel = KernelSession.requests[command]
        assert of_kernel.arguments is request.arguments
        assert set(of_kernel.capabilities) <= set(request.capabilities)


def test_protocol_md_has_the_shapes_inside_of_arguments(protocol: str) -> None:
    for name, cell in rows(protocol, "shape"):
        [shape] = code_words(name)
        assert code_words(cell) == properties(getattr(a, shape))
    hints = [get_type_hints(request.arguments).values() for request in ALL_REQUESTS.values()]
    used = {shape.__name__ for one in hints for hint in one for shape in shapes_in(hint)}
    assert used == {code_words(name)[0] for name, _ in rows(protocol, "shape")}


def shapes_in(hint: Any) -> Iterator[type[Any]]:
    """Yield the shapes that a type hint names, however deep."""
    if a.is_shape(hint):
        yield hint
        for inner in get_type_hints(hint).values():
            yield from shapes_in(inner)
    for part in get_args(hint):
        yield from shapes_in(part)


def test_protocol_md_tells_what_is_answered_before_initialize(protocol: str) -> None:
    paragraph = re.search(r"^Answered before `initialize` too: (.*?)\n\n", protocol, re.M | re.S)
    assert paragraph is not None
    early = {command for command, one in KernelSession.requests.items() if not one.needs_start}
    assert set(code_words(paragraph[1])) == early


# -- the architecture


def test_architecture_md_names_every_module_and_no_other() -> None:
    block = read(ROOT / "docs" / "architecture.md").split("```")[1]
    house = block[block.index("nbdebug/") : block.index("labextension/")]
    named, folders = set(), ["nbdebug"]
    for line in house.splitlines()[1:]:
        depth, name = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        folders = [*folders[:depth], name.strip("/")]
        if name.endswith(".py"):
            named.add("/".join(folders))
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "nbdebug").rglob("*.py")}
    assert named == {path for path in there if not re.search(r"\w/__init__\.py", path[8:])}


def test_architecture_md_has_the_table_of_steps_as_the_code_has_it() -> None:
    assert stepping.__doc__ is not None
    table = [line for line in stepping.__doc__.splitlines() if line.startswith("|")]
    assert len(table) > 2 and "\n".join(table) in read(ROOT / "docs" / "architecture.md")


# -- links


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", read(path), flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", read(path)):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = target.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


# -- examples


def examples(text: str) -> set[str]:
    """Return the magics that a page shows, in its text and in its blocks of code."""
    inline = re.findall(r"(?<!`)`(%(?:bp|stack|nbdebug)\b[^`?]*)`(?!`)", text)
    blocks = re.findall(r"^ *(%(?:bp|stack|nbdebug)\b[^\n?]*?)(?:  .*)?$", text, re.MULTILINE)
    return {example.strip() for example in [*inline, *blocks]}


@contextmanager
def waiting_program() -> Iterator[int]:
    """A Python process that waits; its pid."""
    program = "print('ready', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_every_magic_in_the_documents_is_understood(tmp_path: Path) -> None:
    shown = sorted(set().union(*(examples(read(path)) for path in PAGES)))
    assert len(shown) >= 10
    program = (
        "for example in {!r}:\n"
        "    name, _, line = example[1:].partition(' ')\n"
        "    if get_ipython().run_line_magic(name, line) is None:\n"
        "        print('NOT UNDERSTOOD:', example)\n"
    )
    with running_kernel(enable=False) as kernel, waiting_program() as pid:
        shown = [re.sub(r"^%stack 4711", f"%stack {pid}", example) for example in shown]
        kernel.run(f"%cd -q {tmp_path}")
        reply = kernel.run(program.format(shown))
    assert (reply["status"], reply["output"]) == ("ok", "")


def test_the_readme_has_every_option_with_its_default() -> None:
    traits = Nbdebug.class_own_traits(config=True)
    expected = {name: trait.default() for name, trait in traits.items()}
    shown = {code_words(name)[0]: code_words(value)[0] for name, value, _ in option_rows()}
    assert shown.keys() == expected.keys()
    for name, text in shown.items():
        assert ast.literal_eval(text) == expected[name], name


def option_rows() -> list[list[str]]:
    return rows(read(README), "`c.Nbdebug.`")


def test_every_make_target_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in PAGES:
        assert set(re.findall(r"(?:^    |`)make ([a-z]+)\b", read(path), re.MULTILINE)) <= targets
