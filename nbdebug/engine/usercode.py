"""Which code is the user's: the rule behind "just my code".

Owns that rule and its cache; knows code objects by file and module name only. Any thread may ask.
"""

import os
import site
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from types import FrameType

_REMEMBERED = 10_000  # code by file and module; each edited cell is new
OWN_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


@dataclass(frozen=True, slots=True)
class Rule:
    """Includes or excludes code by a path glob (``*/vendored/*``) or a module name (``pkg``)."""

    include: bool
    path: str = ""
    module: str = ""

    def matches(self, path: str, module: str) -> bool:
        """True if the rule speaks of this code."""
        if self.path:
            return fnmatch(path, self.path) or path.startswith(self.path.rstrip(os.sep) + os.sep)
        return module == self.module or module.startswith(self.module + ".")


class UserCode:
    """Says of a frame whether a step may end in it and a stack shows it."""

    def __init__(self) -> None:
        self.just_my_code = True
        self.rules: tuple[Rule, ...] = ()
        self._libraries = _library_folders()
        self._cells: tuple[str, ...] = ()
        self._host: tuple[str, ...] = ()
        self._known: dict[tuple[str, str], bool] = {}

    def configure(
        self,
        *,
        just_my_code: bool | None = None,
        rules: tuple[Rule, ...] | None = None,
        cells: tuple[str, ...] | None = None,
        host: tuple[str, ...] | None = None,
    ) -> None:
        """Change the rule: what is None stays.

        ``cells``: prefixes of cells' file names. ``host``: folders and files of what runs the
        user's code; it is nobody's to step in, whatever just-my-code says, nor is what it calls for
        itself.
        """
        self.just_my_code = self.just_my_code if just_my_code is None else just_my_code
        self.rules = self.rules if rules is None else rules
        self._cells = self._cells if cells is None else cells
        self._host = self._host if host is None else host
        self._known = {}

    def is_user(self, frame: FrameType) -> bool:
        """True if the frame runs the user's code."""
        key = frame.f_code.co_filename, frame.f_globals.get("__name__") or ""
        known = self._known.get(key)
        if known is None:
            if len(self._known) > _REMEMBERED:
                self._known = {}
            known = self._known[key] = self._decide(*key)
        return known and (self.just_my_code or not self._serves_host(frame))

    def is_users_file(self, path: str) -> bool:
        """True if code of this file is the user's, as far as the file alone tells."""
        return self._decide(path, "")

    def nearest(self, frame: FrameType | None) -> FrameType | None:
        """Return the innermost user frame from ``frame`` outwards, or None.

        What our own code has called, at a stop or to run a script, has no caller beyond it.
        """
        while frame is not None and is_own(frame):  # a callback that is just running
            frame = frame.f_back
        while frame is not None and not self.is_user(frame):
            if is_own(frame):
                return None
            frame = frame.f_back
        return frame

    def _serves_host(self, frame: FrameType) -> bool:
        """True for a frame that the host has called, and no cell: an event loop's, say."""
        one: FrameType | None = frame
        is_called = False
        while one is not None:
            path = one.f_code.co_filename
            if path.startswith(self._cells):
                return False
            is_called = is_called or self._is_hosts(path)
            one = one.f_back
        return is_called

    def _is_hosts(self, path: str) -> bool:
        return bool(self._host) and path.startswith(self._host)

    def _decide(self, path: str, module: str) -> bool:
        if path.startswith(self._cells):
            return True
        if path.startswith((OWN_FOLDER, "<frozen ", "<nbdebug")):
            return False
        for rule in self.rules:
            if rule.matches(path, module):
                return rule.include
        if self._is_hosts(path):
            return False
        if not self.just_my_code:
            return True
        return not path.startswith(("<", *self._libraries))


def is_own(frame: FrameType) -> bool:
    """True for a frame of the debugger itself."""
    return frame.f_code.co_filename.startswith(OWN_FOLDER)


def _library_folders() -> tuple[str, ...]:
    # As `sysconfig` has them, which loads a thousand variables of the build with them.
    standard = os.path.dirname(os.__file__)
    folders = {standard, *site.getsitepackages(), site.getusersitepackages()} | {
        os.path.join(prefix, library, os.path.basename(standard))
        for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)
        for library in ("lib", sys.platlibdir)
    }
    both = {f for f in folders if f} | {os.path.realpath(f) for f in folders if f}
    return tuple(folder.rstrip(os.sep) + os.sep for folder in both)
