"""ipykernel's own debugger tests, unchanged, on kernels that load nbdebug.

Their source is fetched from PyPI once and kept in .build/sdists. They look for debugpy themselves,
and expect nothing if there is none; so where a kernel has no debugpy, pytest alone is lent one.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib import metadata
from pathlib import Path

import pytest
from interpreters import ROOT, THIS_VERSION

SDISTS = ROOT / ".build" / "sdists"
LOADS_NBDEBUG = "c = get_config()\nc.InteractiveShellApp.extra_extensions = ['nbdebug']\n"

# Distributions that an environment of .venvs lacks. Of them, only pure Python is used here.
LENT = ("debugpy", "pytest", "pluggy", "iniconfig")

# PYTHONPATH would be handed on to the kernels; this isn't.
RUN_PYTEST = "import sys; sys.path.append(sys.argv.pop(1)); import pytest; sys.exit(pytest.main())"
OPTIONS = ("-rA", "--noconftest", "--color=no", "-c", os.devnull, "-p", "no:cacheprovider")

# A kernel's ports are chosen and freed, and bound by the kernel later; meanwhile another process
# may take one. Then the run says nothing about us, and is made again.
PORT_TAKEN = "Address already in use"


@pytest.mark.peer
@pytest.mark.timeout(400)
def test_ipykernels_debugger_tests_pass_on_ours(each_python: Path, tmp_path: Path) -> None:
    """With debugpy installed (this Python's environment) and with it absent (the others')."""
    version, has_debugpy, ipykernel = about(each_python)
    assert has_debugpy == (version == THIS_VERSION)
    folder = unpack(sdist("ipykernel", ipykernel), tmp_path)
    logs = tmp_path / "logs"
    command = [str(each_python), "-c", RUN_PYTEST, str(lend(tmp_path)), *OPTIONS]
    command += [f"--rootdir={folder}", str(folder / "tests" / "test_debugger.py")]
    env = environment(tmp_path, NBDEBUG_LOG=str(logs))
    for _attempt in range(3):
        shutil.rmtree(logs, ignore_errors=True)
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if PORT_TAKEN not in done.stdout:
            break
    said = done.stdout + done.stderr
    counts = re.search(r"^=+ (.*) in [^,]*=+$", done.stdout, re.MULTILINE)
    assert counts and re.fullmatch(r"12 passed(, \d+ warnings?)?", counts[1]), said
    # All but one start a kernel; its debugger was ours.
    assert [("initialize" in log.read_text()) for log in logs.iterdir()] == [True] * 11, said


def about(python: Path) -> tuple[str, bool, str]:
    """Return an interpreter's minor version, whether it has debugpy, and ipykernel's version."""
    code = (
        "import sys, importlib.util as u, importlib.metadata as m;"
        "print(*sys.version_info[:2], sep='.');"
        "print(u.find_spec('debugpy') is not None); print(m.version('ipykernel'))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    version, has_debugpy, ipykernel = done.stdout.split()
    return version, has_debugpy == "True", ipykernel


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return an environment in which IPython loads nbdebug and nothing of the user's is read."""
    profile = folder / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_config.py").write_text(LOADS_NBDEBUG)
    own = {
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "jupyter-config"),
        "JUPYTER_DATA_DIR": str(folder / "jupyter-data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "jupyter-runtime"),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return {**kept, **own, **more}


def lend(folder: Path) -> Path:
    """Make a folder from which what is LENT can be imported, and nothing else."""
    lent = folder / "lent"
    lent.mkdir()
    for name in LENT:
        distribution = metadata.distribution(name)
        tops = {Path(str(file)).parts[0] for file in distribution.files or ()}
        for top in tops - {"..", "__pycache__"}:
            (lent / top).symlink_to(str(distribution.locate_file(top)))
    return lent


def sdist(project: str, version: str) -> Path:
    """Return a project's source archive, fetched if it isn't here yet; skips without an index."""
    archive = SDISTS / f"{project}-{version}.tar.gz"
    if archive.exists():
        return archive
    SDISTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SDISTS) as folder:
        pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "-q"]
        wanted = ["--no-deps", "--no-binary", project, f"{project}=={version}", "-d", folder]
        done = subprocess.run([*pip, *wanted], capture_output=True, text=True, check=False)
        fetched = Path(folder, archive.name)
        if done.returncode != 0 or not fetched.exists():
            last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            pytest.skip(f"{archive.name} can't be fetched: {last}")
        fetched.replace(archive)
    return archive


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a source archive; return the folder that it holds."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")
