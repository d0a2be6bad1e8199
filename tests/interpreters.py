"""The Pythons that kernels are tested on: this one, and those in .venvs (tools/setup makes them).

The others have ipykernel, numpy and pandas, and no debugpy.
"""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.12", "3.13", "3.14")
THIS_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def find(version: str) -> Path | None:
    """Return the interpreter of this minor version that has nbdebug installed, or None."""
    if version == THIS_VERSION:
        return Path(sys.executable)
    python = ROOT / ".venvs" / version / "bin" / "python"
    return python if python.exists() else None


def require(version: str) -> Path:
    """As ``find``; skips the test where there is none."""
    python = find(version)
    if python is None:
        pytest.skip(f"no environment with Python {version}: run `make setup`")
    return python
