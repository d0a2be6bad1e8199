"""Puts the built labextension, and the compiled part where that is asked for, into a wheel.

Imported by hatchling alone. A wheel carries JupyterLab's part ready made, so that no installation
needs Node; an editable installation gets a link instead (``tools/setup``).

With NBDEBUG_BUILD_EXT=1 the wheel is for one platform and has the compiled part; if that can't be
compiled it is the pure wheel all the same, and a line says why. With NBDEBUG_REQUIRE_ALL=1 too that
is a failure. Without, no compiler is looked for: the pure wheel runs everywhere.
"""

import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "nbdebug/labextension"
TARGET = "share/jupyter/labextensions/nbdebug"


class LabextensionHook(BuildHookInterface[Any]):
    """Adds the labextension's files to a wheel's shared data."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Refuse to make a distribution without the labextension; an editable one may lack it."""
        if version == "editable" or sys.version_info < (3, 12):
            return  # an older Python is refused by pip, in one sentence, once it has our metadata
        if not (Path(self.root) / SOURCE / "package.json").is_file():
            raise SystemExit(
                "nbdebug: the part for JupyterLab isn't built. "
                "In a clone, run `make build`, which leaves a wheel in dist/."
            )
        if self.target_name == "wheel" and os.environ.get("NBDEBUG_BUILD_EXT") == "1":
            self._compile(build_data)
        if self.target_name == "wheel":
            build_data["shared_data"][SOURCE] = TARGET
            build_data["shared_data"]["install.json"] = f"{TARGET}/install.json"

    def _compile(self, build_data: dict[str, Any]) -> None:
        tool = load(Path(self.root) / "tools" / "build_ext.py")
        self._folder = tempfile.TemporaryDirectory(prefix="nbdebug-build-")
        try:
            made: Path = tool.build(Path(self._folder.name))
        except tool.CannotCompile as error:
            if os.environ.get("NBDEBUG_REQUIRE_ALL") == "1":
                raise SystemExit(f"nbdebug: the compiled part can't be built: {error}") from error
            print(f"nbdebug: a pure wheel, without the compiled part: {error}", file=sys.stderr)
            return
        build_data["force_include"][str(made)] = f"nbdebug/engine/{made.name}"
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled: the wheel has it."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()


def load(path: Path) -> ModuleType:
    """Import a script of tools/, which is no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
