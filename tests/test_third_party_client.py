"""A client that we did not write drives the server: VS Code's own, debugadapter-testsupport.

It comes from npm at the first run, into .build.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dap_schema import check_message, schema
from interpreters import ROOT
from kernel_client import line_of
from script import running

from nbdebug.dap.requests import REQUESTS

PACKAGE = "@vscode/debugadapter-testsupport"
VERSION = "1.68.0"
DRIVE = Path(__file__).parent / "node" / "drive.js"

PROGRAM = """\
import time
def inner(n):
    n = n  # @inside
    return n + 1  # @return
def named():
    time.time()  # @named
    while True:
        time.sleep(0.001)
x = inner(1)  # @call
named()  # @second
"""


@pytest.fixture(scope="module")
def client_folder() -> Path:
    """Install the client unless it is there; return its folder."""
    folder = ROOT / ".build" / "third-party-client"
    found = folder / "node_modules" / PACKAGE
    if not _is_installed(found):
        if tool("npm") is None:
            pytest.skip("no npm: run `make setup`")
        command = [str(tool("npm")), "install", "--silent", "--no-audit", "--no-fund"]
        done = subprocess.run(
            [*command, "--prefix", str(folder), f"{PACKAGE}@{VERSION}"],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        if not _is_installed(found):
            pytest.skip(f"npm can't install {PACKAGE}: {done.stderr.strip()[:200]}")
    return found


def _is_installed(folder: Path) -> bool:
    manifest = folder / "package.json"
    return manifest.exists() and json.loads(manifest.read_text())["version"] == VERSION


def tool(name: str) -> str | None:
    ours = ROOT / ".build" / "node" / "bin"
    return shutil.which(name, path=f"{os.environ['PATH']}:{ours}")


def standard_requests() -> set[str]:
    """Return the commands of every request of DAP that a client sends."""
    reverse = {"runInTerminal", "startDebugging"}
    definitions: dict[str, Any] = schema()["definitions"]
    names = {name.removesuffix("Request") for name in definitions if name.endswith("Request")}
    return {name[:1].lower() + name[1:] for name in names if name} - reverse


def test_vs_codes_own_client_drives_the_server_through_every_request(
    tmp_path: Path, client_folder: Path
) -> None:
    drive = DRIVE.read_text()
    others = sorted(
        (standard_requests() | REQUESTS.keys())
        - {"disconnect", "terminate", "restart", "goto", "restartFrame", "continue", "cancel"}
        - set(re.findall(r"customRequest\('(\w+)'", drive))
        - set(re.findall(r"client\.(\w+)Request\(", drive))
    )
    lines = {mark: line_of(PROGRAM, mark) for mark in re.findall(r"# @(\w+)", PROGRAM)}
    with running(tmp_path, PROGRAM) as script:
        port = script.address.rpartition(":")[2]
        place = port, script.token or "", script.path, json.dumps(lines)
        done = subprocess.run(
            [str(tool("node")), str(DRIVE), str(client_folder), *place],
            env={**os.environ, "OTHER_REQUESTS": json.dumps(others)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert script.finish()[0] != 0  # it was terminated
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    for message in messages:
        check_message(message)
    answered = {one["command"] for one in messages if one["type"] == "response" and one["success"]}
    refused = {"exceptionInfo"}  # nothing has raised
    assert answered >= REQUESTS.keys() - {"launch", "disconnect"} - refused - set(others)
