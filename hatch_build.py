"""Puts the built labextension into a wheel, at build time.

Imported by hatchling alone. A wheel carries JupyterLab's part ready made, so that no installation
needs Node; an editable installation gets a link instead (``tools/setup``).
"""

import sys
from pathlib import Path
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
        if self.target_name == "wheel":
            build_data["shared_data"][SOURCE] = TARGET
            build_data["shared_data"]["install.json"] = f"{TARGET}/install.json"
