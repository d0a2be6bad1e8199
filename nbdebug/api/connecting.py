"""From what a user names, a kernel or an address, to a session.

Owns nothing: it reads the target, makes the link, and has nbdebug loaded in a kernel.
"""

import json
import os
from pathlib import Path
from typing import Any

from nbdebug import errors
from nbdebug.api.kernel_link import KernelLink
from nbdebug.api.model import Json
from nbdebug.api.session import Session
from nbdebug.dap.links import SocketLink


def connect(
    target: Any,
    *,
    token: str | None = None,
    just_my_code: bool | None = None,
    timeout_s: float = 30.0,
) -> Session:
    """Attach to a kernel or script; see `nbdebug.connect`."""
    arguments: Json = {} if just_my_code is None else {"justMyCode": just_my_code}
    info = _connection_info(target)
    if info is None:
        if token is not None:
            arguments["token"] = token
        arguments["redirectOutput"] = True
        return Session(SocketLink(str(target), timeout_s), arguments, timeout_s)
    link = KernelLink(info, timeout_s)
    try:
        _load(link, timeout_s)
        _check_free(link, timeout_s)
    except BaseException:
        link.close()
        raise
    return Session(link, arguments, timeout_s)


def _connection_info(target: Any) -> Json | None:
    """Return what a connection file says, or None where the target is an address."""
    if hasattr(target, "get_connection_info"):  # a KernelClient or KernelManager
        info: Json = target.get_connection_info()
        return info
    if not isinstance(target, str | os.PathLike):
        raise errors.BadAddress(f"{target!r} is neither a kernel nor an address.")
    path = Path(target)
    if path.suffix != ".json" or str(target).startswith("unix:"):
        return None
    try:
        read: Json = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise errors.BadAddress(f"{path} isn't a connection file: {error}.") from None
    key = read.get("key")
    return {**read, "key": key.encode() if isinstance(key, str) else key}


def _load(link: KernelLink, limit_s: float) -> None:
    """Load nbdebug in the kernel, unless it is; its cells may keep running if it is."""
    try:
        # Only ours knows the request, and refuses it without its arguments.
        reply = link.request("nbdebug/setBreakpoint", {}).result(limit_s)
        if "slug" in ((reply.get("body") or {}).get("error") or {}).get("variables", {}):
            return
        done = link.execute("%load_ext nbdebug", silent=True).result(limit_s)
    except TimeoutError:
        raise errors.ThreadIsRunning(
            "nbdebug isn't loaded in the kernel, and its main thread is busy."
        ) from None
    if done.get("status") != "ok":
        said = f"{done.get('ename')}: {done.get('evalue')}"
        raise errors.NotSupported(f"nbdebug can't be loaded in the kernel: {said}.")


def _check_free(link: KernelLink, limit_s: float) -> None:
    info = link.request("debugInfo", {}).result(limit_s)
    if (info.get("body") or {}).get("isStarted"):
        raise errors.ClientBusy("Another front end debugs this kernel, JupyterLab perhaps.")
