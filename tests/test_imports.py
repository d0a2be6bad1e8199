"""Imports point one way, and each hazard has one door; read from the source of every module.

RULES and DOORS are the law: change them together with docs/architecture.md.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from interpreters import ROOT

PACKAGE = "nbdebug"


@dataclass(frozen=True, slots=True)
class Row:
    """What the modules of a row may import beside the standard library and their own row."""

    ours: tuple[str, ...]
    others: tuple[str, ...]


def row(ours: str = "", others: str = "") -> Row:
    return Row(tuple(ours.split()), tuple(others.split()))


# A row is a module or a package, by its name below nbdebug; the longest name that fits counts.
RULES = {
    "_version": row(),
    "errors": row(),
    "compat": row(),
    "engine": row("errors compat"),
    "dap": row("errors compat engine _version"),
    "native": row("errors compat engine.model", others="drgn"),
    "attach": row("errors compat engine dap native _version"),
    "attach.agent": row(),
    "attach.resident": row("errors compat engine dap _version"),
    "kernel": row(
        "errors compat engine dap native attach _version",
        others="ipykernel IPython jupyter_client comm tornado traitlets zmq",
    ),
    "ui": row(
        "errors compat engine dap native attach kernel _version",
        others="anywidget ipywidgets traitlets",
    ),
    "__init__": row("errors compat engine dap native attach kernel ui api _version"),
    "run": row(),
    "child": row("dap run"),
    "api": row("errors dap engine.model attach", others="jupyter_client zmq"),
    "__main__": row("errors dap kernel attach run _version"),
}

# A hazard of the standard library -> the one module that may touch it; two where one is before
# the other is there.
DOORS = {
    "sys.monitoring": "engine.monitor",
    "socket": "dap.transport attach.channel attach.handover",
    "socketserver": "dap.transport",
}

HEAVY = {"IPython", "anywidget", "asyncio", "ipykernel", "ipywidgets", "jupyter_client", "tornado"}


@dataclass(frozen=True, slots=True)
class Use:
    """A module, or an attribute of one, that a file names."""

    name: str
    line: int


def modules_below(root: Path) -> dict[str, Path]:
    """Return the modules of the package in ``root`` by their names below it."""
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root / PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found[name] = path
    return found


def is_below(name: str, parent: str) -> bool:
    return name == parent or name.startswith(f"{parent}.")


def uses_in(tree: ast.Module, package: str, modules: set[str]) -> Iterator[Use]:
    """Yield what a tree imports, wherever in it, and what it takes from ``sys``.

    ``package`` is the dotted package that relative imports start from. ``from a import b`` is a
    use of a.b if that is a module of ours, else of a.
    """
    sys_names = {"sys"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Use(alias.name, node.lineno)
                if alias.name == "sys" and alias.asname:
                    sys_names.add(alias.asname)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            above = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*above, node.module] if node.module else above)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                is_module = full.removeprefix(f"{PACKAGE}.") in modules or base == "sys"
                yield Use(full if is_module else base, node.lineno)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in sys_names:
                yield Use(f"sys.{attribute}", node.lineno)


def violations(root: Path) -> list[str]:
    """Return one sentence for each import or use that the law forbids."""
    modules = modules_below(root)
    found = []
    for module, path in modules.items():
        row_name = max((r for r in RULES if is_below(module, r)), key=len, default=None)
        if row_name is None:
            found.append(f"{module} stands in no row")
            continue
        parts = module.split(".")
        package = ".".join([PACKAGE, *(parts if path.name == "__init__.py" else parts[:-1])])
        if module == "__init__":
            package = PACKAGE
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        found += [
            f"{module}:{use.line} {why}"
            for use in uses_in(tree, package, set(modules))
            if (why := forbidden(module, row_name, use.name))
        ]
    return found


def forbidden(module: str, row_name: str, name: str) -> str | None:
    """Return why the module may not use this name, or None if it may."""
    doors = next((place for hazard, place in DOORS.items() if is_below(name, hazard)), module)
    if module not in doors.split():
        return f"uses {name}, whose door is {doors}"
    rule = RULES[row_name]
    if name == PACKAGE:
        return f"imports {PACKAGE} itself, the outermost row"
    if is_below(name, PACKAGE):
        target = name.removeprefix(f"{PACKAGE}.")
        inside = is_below(target, row_name)
        allowed = inside or any(is_below(target, ours) for ours in rule.ours)
        return None if allowed else f"imports {target}, against the arrows"
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top in rule.others:
        return None
    return f"imports {name}, which row {row_name} may not"


def test_every_import_follows_the_arrows_and_uses_the_doors() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("errors", "import nbdebug.compat", "imports compat, against the arrows"),
        ("compat", "import psutil", "imports psutil, which row compat may not"),
        ("engine/a", "from nbdebug.dap import messages", "imports dap.messages"),
        ("engine/a", "from nbdebug import dap", "imports dap, against"),
        ("engine/a", "from ..dap import messages", "imports dap.messages"),
        ("engine/__init__", "from .. import dap", "imports dap, against"),
        ("engine/a", "from nbdebug import Debugger", "imports nbdebug itself"),
        ("engine/a", "import nbdebug", "imports nbdebug itself"),
        ("engine/a", "def f():\n    import numpy as np", "engine.a:2 imports numpy"),
        ("engine/a", "import sys\nsys.monitoring.get_tool(0)", "engine.a:2 uses sys.monitoring"),
        ("engine/a", "import sys as s\ns.monitoring", "uses sys.monitoring"),
        ("engine/a", "from sys import monitoring", "uses sys.monitoring"),
        ("dap/a", "import socket", "uses socket, whose door is dap.transport"),
        ("dap/a", "from nbdebug.kernel import a", "imports kernel, against"),
        ("native/a", "from nbdebug.engine import monitor", "imports engine.monitor, against"),
        ("native/a", "import nbdebug.attach", "imports attach, against"),
        ("attach/a", "import ipykernel.kernelbase", "imports ipykernel.kernelbase, which"),
        ("attach/resident", "from nbdebug.native import a", "imports native, against"),
        ("kernel/a", "from ipywidgets import Button", "imports ipywidgets, which"),
        ("kernel/a", "from nbdebug import ui", "imports ui, against"),
        ("ui/a", "from IPython.display import HTML", "imports IPython.display, which"),
        ("__main__", "from nbdebug.engine import engine", "imports engine.engine, against"),
        ("helpers", "", "helpers stands in no row"),
    ],
)
def test_a_forbidden_import_is_found(
    tmp_path: Path, module: str, source: str, complaint: str
) -> None:
    write_package(tmp_path, {module: source})
    found = violations(tmp_path)
    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("engine/a", "from nbdebug import errors\nfrom .. import compat\nfrom . import monitor"),
        ("engine/monitor", "import sys\nsys.monitoring.get_tool(0)"),
        ("engine/a", "class A:\n    def f(self): return self.monitoring"),
        ("dap/transport", "import socket, threading"),
        ("native/a", "import drgn\nfrom nbdebug.engine.model import Location"),
        ("native/a", "from nbdebug.engine import model"),
        ("attach/agent_main", "from nbdebug.native import a"),
        ("kernel/a", "from ipykernel.kernelbase import Kernel\nfrom nbdebug.native import a"),
        ("ui/a", "import anywidget\nfrom nbdebug.kernel import a"),
        ("__init__", "from .ui import a\nfrom . import engine"),
    ],
)
def test_an_allowed_import_is_let_through(tmp_path: Path, module: str, source: str) -> None:
    write_package(tmp_path, {module: source})
    assert violations(tmp_path) == []


def write_package(root: Path, sources: dict[str, str]) -> None:
    """Write a package of empty modules, one of every kind, and these sources into it."""
    rows = ("engine", "dap", "native", "attach", "kernel", "ui")
    empty = [f"{name}/__init__" for name in rows]
    empty += ["errors", "compat", "engine/model", "engine/monitor", "engine/engine", "dap/messages"]
    for name, source in ({"__init__": ""} | dict.fromkeys(empty, "") | sources).items():
        path = root / PACKAGE / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)


def test_import_nbdebug_alone_imports_nothing_heavy(each_python: Path) -> None:
    program = (
        "import sys; a = set(sys.modules); import nbdebug; print(*sorted(set(sys.modules) - a))"
    )
    loaded = run(each_python, program).split()
    tops = {name.partition(".")[0] for name in loaded}
    assert not tops & HEAVY
    assert tops <= sys.stdlib_module_names | {PACKAGE}


def test_what_runs_in_other_processes_imports_where_no_package_is_installed(
    each_python: Path,
) -> None:
    rows = ("errors", "compat", "engine", "dap", "attach.agent")
    names = [m for m in modules_below(ROOT) if any(is_below(m, row) for row in rows)]
    imports = "; ".join(f"import {PACKAGE}.{name}" for name in names)
    run(each_python, f"import sys; sys.path.insert(0, {str(ROOT)!r}); {imports}", "-I", "-S")


def run(python: Path, program: str, *options: str) -> str:
    """Run a program from an empty environment of modules; return what it printed."""
    done = subprocess.run(
        [str(python), *options, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
