"""Who may connect to a script's debug server, and where it listens."""

import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from script import LOOP, Client, debugging, plain, running

from nbdebug import errors
from nbdebug.dap import framing, transport
from nbdebug.dap.transport import TcpAddress, UnixAddress, parse_address

# -- who may connect


def test_without_the_token_nothing_is_answered_but_the_way_in(tmp_path: Path) -> None:
    with running(tmp_path, LOOP) as script:
        client = Client(script.address)
        assert client.refuse("threads") == "auth-required"
        assert client.ask("initialize", adapterID="x")["supportsConfigurationDoneRequest"]
        assert client.refuse("evaluate", expression="1") == "auth-required"
        assert client.refuse("attach") == "auth-required"
        assert client.refuse("attach", token=7) == "auth-required"
        client.ask("attach", token=script.token)
        assert client.ask("threads")["threads"]
        client.close()


def test_guessing_the_token_ends_the_connection(tmp_path: Path) -> None:
    with running(tmp_path, LOOP) as script:
        client = Client(script.address)
        client.ask("initialize", adapterID="x")
        for guess in ("a", "b", "ü"):
            assert client.refuse("attach", token=guess) == "auth-required"
        assert client.until_closed() == []
        with pytest.raises(errors.ConnectionLost):
            client.ask("attach", token=script.token)


@pytest.mark.parametrize("way", ["argument", "environment", "file"])
def test_a_token_can_be_given_and_is_then_not_printed(tmp_path: Path, way: str) -> None:
    (tmp_path / "token").write_text("secret\n")
    ways: dict[str, dict[str, Any]] = {
        "argument": {"options": ("--wait-for-client", "--token", "secret")},
        "environment": {"env": {"NBDEBUG_TOKEN": "secret"}},
        "file": {"options": ("--wait-for-client", "--token-file", str(tmp_path / "token"))},
    }
    with running(tmp_path, LOOP, **ways[way]) as script:
        assert script.token is None
        client = Client(script.address, "secret")
        client.begin()
        client.close()


def test_the_log_has_every_message_and_not_the_token(tmp_path: Path) -> None:
    options = ("--wait-for-client", "--log", str(tmp_path / "log"))
    with debugging(tmp_path, LOOP, options=options) as (script, client):
        client.event("terminated")
        script.finish()
    [log] = (tmp_path / "log").iterdir()
    text = log.read_text()
    assert '"command": "attach"' in text and "terminated" in text
    assert script.token is not None and script.token not in text


def test_no_auth_lets_a_client_on_loopback_in(tmp_path: Path) -> None:
    with running(tmp_path, LOOP, options=("--wait-for-client", "--no-auth")) as script:
        assert script.token is None
        client = script.connect()
        client.begin()
        client.ask("configurationDone")
        assert script.finish()[0] == 0
        client.close()


@pytest.mark.parametrize(
    ("arguments", "slug_text"),
    [
        (["--listen", "0.0.0.0:0", "--no-auth", "x.py"], "can be reached from other machines"),
        (["--listen", "nowhere", "x.py"], "has no port"),
        (["--listen", "unix:", "x.py"], "path behind `unix:` is missing"),
        (["--listen", "unix:/no/such/folder/s", "x.py"], "No such file"),
        (["--listen", "127.0.0.1:0"], "What is to be run is missing"),
        (["--listen", "127.0.0.1:0", "-m"], "What is to be run is missing"),
        (["--listen", "127.0.0.1:0", "--token-file", "none", "x.py"], "Can't read the token"),
    ],
)
def test_a_command_line_that_is_wrong_is_refused(
    tmp_path: Path, arguments: list[str], slug_text: str
) -> None:
    (tmp_path / "x.py").write_text("print('ran')")
    code, out, err = plain(tmp_path, ["-m", "nbdebug", *arguments])
    assert (code, out) == (2, "") and slug_text in err


def test_a_second_client_is_told_why_not_and_disturbs_nobody(tmp_path: Path) -> None:
    with debugging(tmp_path, LOOP, "add") as (script, client):
        client.stopped()
        second = script.connect()
        second.ask("initialize", adapterID="x")
        assert second.refuse("attach", token=script.token) == "already-debugged"
        assert second.until_closed() == []
        assert client.evaluate("i") == "0"


def test_a_second_client_without_a_token_is_told_at_initialize(tmp_path: Path) -> None:
    options = ("--wait-for-client", "--no-auth")
    with debugging(tmp_path, LOOP, "add", options=options) as (script, client):
        client.stopped()
        second = script.connect()
        assert second.refuse("initialize", adapterID="x") == "already-debugged"
        assert second.until_closed() == []
        assert client.evaluate("i") == "0"


def test_rubbish_ends_its_own_connection_only(tmp_path: Path) -> None:
    with debugging(tmp_path, LOOP, "add") as (script, client):
        client.stopped()
        where = parse_address(script.address)
        assert isinstance(where, TcpAddress)
        with socket.create_connection((where.host, where.port)) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert raw.recv(10) == b""
        assert client.evaluate("i") == "0"


# -- sockets


def test_a_unix_socket_is_its_users_alone_and_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with running(tmp_path, LOOP, address=f"unix:{path}") as script:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert script.token is None
        client = script.connect()
        client.begin()
        client.break_at(script, "add")
        client.ask("configurationDone")
        client.stopped()
        client.break_at(script)
        client.resume()
        client.event("terminated")
        assert script.finish()[0] == 0
        client.close()
    assert not path.exists()


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with running(tmp_path, LOOP, address=f"unix:{path}"):
        target = ["-m", "nbdebug", "--listen", f"unix:{path}", "-c", "1"]
        code, _, err = plain(tmp_path, target)
        assert code == 2 and "Address already in use" in err


def test_ipv6_works(tmp_path: Path) -> None:
    if not _has_ipv6():
        pytest.skip("no IPv6 on this machine")
    with running(tmp_path, LOOP, address="[::1]:0") as script:
        assert script.address.startswith("[::1]:")
        client = script.connect()
        client.begin()
        client.close()


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:5678", TcpAddress("127.0.0.1", 5678)),
        ("5678", TcpAddress("127.0.0.1", 5678)),
        ("[::1]:0", TcpAddress("::1", 0)),
        ("localhost:1", TcpAddress("localhost", 1)),
        ("unix:/tmp/s", UnixAddress("/tmp/s")),
    ],
)
def test_an_address_is_read(text: str, address: transport.Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", ":", ":80", "host", "host:x", "host:99999", "unix:"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(errors.BadAddress):
        parse_address(text)


def test_a_client_that_reads_nothing_doesnt_hold_the_program_up_for_ever(tmp_path: Path) -> None:
    program = "for i in range(300_000):\n    x = i  # @here\nprint('done')\n"
    with running(tmp_path, program, options=("--wait-for-client", "--no-auth")) as script:
        where = parse_address(script.address)
        assert isinstance(where, TcpAddress)
        with socket.create_connection((where.host, where.port)) as raw:
            line = script.line("here")
            source: dict[str, Any] = {"path": script.path}
            text = "x" * 200
            requests: dict[str, Any] = {
                "initialize": {"adapterID": "x"},
                "attach": {},
                "setBreakpoints": {
                    "source": source,
                    "breakpoints": [{"line": line, "logMessage": text}],
                },
                "configurationDone": {},
            }
            for number, (command, arguments) in enumerate(requests.items(), 1):
                request = {"seq": number, "type": "request", "command": command}
                raw.sendall(framing.encode({**request, "arguments": arguments}))
            assert script.finish()[:2] == (0, "done\n")
