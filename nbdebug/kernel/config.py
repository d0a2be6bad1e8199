"""What a user may configure: ``c.Nbdebug...`` in a config file, ``%config Nbdebug`` in a notebook.

Owns the traits; each change is passed on to the engine at once.
"""

import os

from traitlets import Bool, Dict, Enum, Float, Int, Unicode
from traitlets import List as ListTrait
from traitlets.config import Configurable

from nbdebug.attach import policy, records
from nbdebug.dap.paths import Mapping
from nbdebug.engine.engine import Engine
from nbdebug.engine.model import Limits
from nbdebug.engine.usercode import Rule


class Nbdebug(Configurable):
    """The debugger's settings."""

    just_my_code = Bool(True, help="Step over and hide code of libraries.").tag(config=True)
    include = ListTrait(
        Unicode(), help="Paths (globs) or modules that are your code wherever they are."
    ).tag(config=True)
    exclude = ListTrait(
        Unicode(), help="Paths (globs) or modules that are not your code wherever they are."
    ).tag(config=True)
    stop_other_threads = Bool(True, help="At a stop, stop the other threads too.").tag(config=True)
    condition_errors = Enum(
        ("stop", "output"), "stop", help="What a condition that raises does, once for a breakpoint."
    ).tag(config=True)
    post_mortem = Bool(
        False, help="When a cell fails, open its traceback as a stop before the cell ends."
    ).tag(config=True)
    repr_limit_s = Float(0.5, help="Seconds that one `__repr__` or property may take.").tag(
        config=True
    )
    evaluate_limit_s = Float(10.0, help="Seconds that one evaluation may take.").tag(config=True)
    value_chars = Int(2000, help="Characters of one value that are shown.").tag(config=True)
    path_mappings = ListTrait(
        Dict(),
        help="Folders of clients' that are other ones here: "
        '`{"localRoot": "/home/me/project", "remoteRoot": "/work"}`; `attach` may say others.',
    ).tag(config=True)
    log_dir = Unicode(
        os.environ.get("NBDEBUG_LOG", ""),
        help="Folder for a log of every message (or NBDEBUG_LOG).",
    ).tag(config=True)

    attach = Enum(
        ("off", "inspect", "safe", "legacy"),
        "legacy",
        help="The most that this kernel may do to other processes; NBDEBUG_ATTACH may allow less.",
    ).tag(config=True)
    attach_log = Unicode(
        os.environ.get("NBDEBUG_ATTACH_LOG", ""),
        help="File for a log of what is done to other processes (or NBDEBUG_ATTACH_LOG).",
    ).tag(config=True)

    @property
    def limits(self) -> Limits:
        """The limits as the engine has them."""
        return Limits(self.repr_limit_s, self.evaluate_limit_s, self.value_chars)

    @property
    def mappings(self) -> tuple[Mapping, ...]:
        """The path mappings as a session has them."""
        roots = [(one.get("localRoot"), one.get("remoteRoot")) for one in self.path_mappings]
        return tuple(
            Mapping(str(local), str(remote)) for local, remote in roots if local and remote
        )

    def apply(self, engine: Engine) -> None:
        """Set the engine up, now and at each change."""
        self._configure(engine)
        self.observe(lambda change: self._configure(engine))

    def _configure(self, engine: Engine) -> None:
        rules = [_rule(True, text) for text in self.include] + [
            _rule(False, t) for t in self.exclude
        ]
        engine.user_code.configure(just_my_code=self.just_my_code, rules=tuple(rules))
        engine.stops.stop_other_threads = self.stop_other_threads
        engine.breakpoints.reports.stop_on_condition_error = self.condition_errors == "stop"
        engine.inspector.limits = self.limits
        policy.configure(self.attach)
        records.configure_log(self.attach_log)


def _rule(include: bool, text: str) -> Rule:
    is_path = os.sep in text or "*" in text
    return Rule(include, path=os.path.expanduser(text)) if is_path else Rule(include, module=text)
