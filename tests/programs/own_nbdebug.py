"""agent_target.py in a process that has and uses an nbdebug of its own."""

import runpy
from pathlib import Path

import nbdebug
from nbdebug.dap import listening

STATE = {"x": 1}
nbdebug.watch("STATE['x']", action="log")
assert listening.session_here().engine.is_started
runpy.run_path(str(Path(__file__).with_name("agent_target.py")), run_name="__main__")
