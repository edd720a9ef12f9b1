"""Where to listen: what may be written, what it means, and what outranks it."""

from pathlib import Path

import pytest

from wsrv.cli import configfile, serve
from wsrv.cli.addresses import Addresses, parse
from wsrv.cli.exits import USAGE, Stop
from wsrv.cli.units import AUTO
from wsrv.cli.values import Value, in_force, resolve
from wsrv.engine.settings import ListenSettings


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("8080", (False, "", 8080, "")),
        (":8080", (False, "", 8080, "")),
        ("0", (False, "", 0, "")),
        ("127.0.0.1:80", (False, "127.0.0.1", 80, "")),
        ("localhost:80", (False, "localhost", 80, "")),
        ("[::1]:80", (False, "[::1]", 80, "")),
        ("[fe80::1%eth0]:80", (False, "[fe80::1%eth0]", 80, "")),
        ("unix:/run/x.sock", (False, "", 0, "/run/x.sock")),
        ("http://127.0.0.1:80/", (False, "127.0.0.1", 80, "")),
        ("HTTPS://0.0.0.0:8443", (True, "0.0.0.0", 8443, "")),
        ("https://8443", (True, "", 8443, "")),
        ("https://unix:x.sock", (True, "", 0, "x.sock")),
    ],
)
def test_address_is_taken_apart_and_written_again(text: str, found: tuple[bool, str, int, str]) -> None:
    assert parse(text) == found
    assert parse(str(parse(text))) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "::1",
        "::1:80",
        "[::1]",
        "host",
        "host:",
        "host:x",
        "65536",
        "1 2",
        "unix:",
        "ftp://1",
        "a@b:1",
        "http://1/x",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a list of addresses"):
        Addresses().read([text])


def test_a_path_that_no_socket_can_have_is_refused() -> None:
    assert Addresses().read("unix:/" + "x" * 106)
    with pytest.raises(ValueError, match="is not a list"):
        Addresses().read("unix:/" + "x" * 107)


def test_what_toml_would_have_is_read_back(tmp_path: Path) -> None:
    kind = Addresses(auto=True)
    value = kind.read(["80", "unix:x.sock"], str(tmp_path))
    assert value == ("80", f"unix:{tmp_path}/x.sock")
    assert kind.read(kind.write(value)) == value
    assert kind.read("80, unix:x.sock", str(tmp_path)) == value
    assert kind.read(kind.write(AUTO)) == AUTO


def values(flags: dict[str, object], environ: dict[str, str], folder: Path, text: str = "") -> dict[str, Value]:
    (folder / "wsrv.toml").write_text(text)
    return in_force(resolve(flags, environ, configfile.read(folder / "wsrv.toml")))


LISTENS = "[server]\nhost = '::1'\nlisten = ['80', '127.0.0.1:81', 'unix:x.sock']\nsocket_mode = '0600'"


def test_list_reaches_the_engine(tmp_path: Path) -> None:
    assert serve.engine_settings(values({}, {}, tmp_path, LISTENS)).listen == (
        ListenSettings("::1", 80),
        ListenSettings("127.0.0.1", 81),
        ListenSettings(path=tmp_path / "x.sock", mode=0o600),
    )


def test_a_port_from_a_stronger_layer_outranks_the_list(tmp_path: Path) -> None:
    found = values({"port": 9}, {}, tmp_path, LISTENS)
    assert serve.engine_settings(found).listen == (ListenSettings("::1", 9),)
    assert (found["server.listen"].value, found["server.listen"].layer) == (AUTO, "flag")
    assert found["server.name"].value == "9"
    found = values({"host": "h"}, {"WSRV_LISTEN": "7"}, tmp_path, LISTENS)
    assert serve.engine_settings(found).listen == (ListenSettings("h", 8080),)


def test_a_port_from_a_weaker_layer_is_outranked(tmp_path: Path) -> None:
    found = values({"listen": ("7",)}, {"WSRV_PORT": "9"}, tmp_path, LISTENS)
    assert serve.engine_settings(found).listen == (ListenSettings("::1", 7),)
    assert found["server.name"].value == "7"


def test_a_port_and_a_list_in_one_layer_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(Stop, match=r"wsrv.toml:2: server.port and .*wsrv.toml:3: server.listen exclude") as caught:
        values({}, {}, tmp_path, "[server]\nport = 1\nlisten = ['2']")
    assert caught.value.status == USAGE
