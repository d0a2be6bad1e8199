"""ipykernel's own debugger tests, unchanged, on kernels that load nbdebug.

Their source is fetched from PyPI once and kept in .build/sdists. They ask for debugpy themselves and
expect nothing of a kernel without it; so, for a kernel that has no debugpy, pytest alone is given one.
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

LOADS_NBDEBUG = "c.InteractiveShellApp.extra_extensions = ['nbdebug']\n"

# Distributions that an environment of .venvs lacks. Of them, only pure Python is used here.
LENT = ("debugpy", "pytest", "pluggy", "iniconfig")

# A kernel's ports are chosen, freed, and bound by the kernel later; meanwhile another process may take
# one. Then the run says nothing about us, and is made again.
PORT_TAKEN = "Address already in use"

# PYTHONPATH would be handed on to the kernels; this isn't.
RUN_PYTEST = "import sys; sys.path.append(sys.argv.pop(1)); import pytest; sys.exit(pytest.main())"


@pytest.mark.peer
@pytest.mark.timeout(300)
def test_ipykernels_debugger_tests_pass_on_ours(each_python: Path, tmp_path: Path) -> None:
    """Where debugpy is installed (this Python's environment) and where it isn't (the others')."""
    version = run(each_python, "import ipykernel; print(ipykernel.__version__)")
    has_debugpy = run(
        each_python, "from importlib import util; print(util.find_spec('debugpy') is not None)"
    )
    is_this = run(each_python, "import sys; print('%d.%d' % sys.version_info[:2])") == THIS_VERSION
    assert has_debugpy == str(is_this)

    tests = unpack(sdist("ipykernel", version), tmp_path) / "tests" / "test_debugger.py"
    logs = tmp_path / "logs"
    options = [
        "-rA",
        "--durations=0",
        "--noconftest",
        "--color=no",
        "-c",
        os.devnull,
        f"--rootdir={tmp_path}",
    ]
    command = [
        each_python,
        "-c",
        RUN_PYTEST,
        lend(tmp_path),
        *options,
        "-p",
        "no:cacheprovider",
        tests,
    ]
    env = environment(tmp_path, NBDEBUG_LOG=str(logs))
    for _attempt in range(3):
        shutil.rmtree(logs, ignore_errors=True)
        done = subprocess.run(
            command,
            cwd=tests.parents[1],
            env=env,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        if PORT_TAKEN not in done.stdout:
            break
    counts = re.search(r"^=+ (.*) in [^,]*=+$", done.stdout, re.MULTILINE)
    assert counts and re.fullmatch(r"12 passed(, \d+ warnings?)?", counts[1]), (
        done.stdout + done.stderr
    )
    assert len([log for log in logs.iterdir() if "initialize" in log.read_text()]) == 11


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return an environment in which IPython loads nbdebug and nothing of the user's is read."""
    (folder / "ipython" / "profile_default").mkdir(parents=True)
    config = folder / "ipython" / "profile_default" / "ipython_config.py"
    config.write_text("c = get_config()\n" + LOADS_NBDEBUG)
    own = {
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "jupyter-config"),
        "JUPYTER_DATA_DIR": str(folder / "jupyter-data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "jupyter-runtime"),
    }
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    return {**kept, **own, **more}


def lend(folder: Path) -> Path:
    """Make a folder from which what is LENT can be imported, and nothing else."""
    lent = folder / "lent"
    lent.mkdir()
    for name in LENT:
        distribution = metadata.distribution(name)
        tops = {Path(str(file)).parts[0] for file in distribution.files or ()} - {
            "..",
            "__pycache__",
        }
        for top in tops:
            (lent / top).symlink_to(str(distribution.locate_file(top)))
    return lent


def sdist(project: str, version: str) -> Path:
    """Return a project's source archive, fetched if it isn't here yet; skips without an index."""
    archive = SDISTS / f"{project}-{version}.tar.gz"
    if not archive.exists():
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


def run(python: Path, code: str) -> str:
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()
