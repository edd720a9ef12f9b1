"""server.conf: what is read, what is refused, and that it is told from TOML."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.cli import configfile, serverconf, tomlfile, tomltext
from wsrv.cli.configfile import ConfigFile
from wsrv.cli.exits import Stop
from wsrv.cli.table import KEYS
from wsrv.cli.values import resolve, survey

WHOLE = """\
# The C server's own
PORT = 8081
DOCUMENT_ROOT=./www
NUM_WORKERS=4
THREADS_PER_WORKER=12
MAX_QUEUE_SIZE=100
LOG_FILE=access.log
CACHE_SIZE_MB=10
TIMEOUT_SECONDS=20
LOG_LEVEL=INFO
"""


def conf(text: str) -> ConfigFile:
    return serverconf.parse(Path("/c/server.conf"), text)


def faults(text: str) -> list[str]:
    return survey({}, {}, conf(text))[1]


def test_every_key_reaches_its_setting() -> None:
    values = resolve({}, {}, conf(WHOLE))
    assert {key: value.value for key, value in values.items() if value.layer == "file"} == {
        "server.port": 8081,
        "site.root": "/c/www",
        "server.workers": 4,
        "server.threads": 12,
        "server.queue": 100,
        "log.file": "/c/access.log",
        "cache.size": 10 * 1024**2,
        "server.timeout": 20.0,
    }
    assert values["server.port"].origin == "/c/server.conf:2: PORT"
    assert values["cache.size"].origin == "/c/server.conf:8: CACHE_SIZE_MB"


def test_every_key_has_a_setting_that_exists() -> None:
    assert set(serverconf.SETTING_OF.values()) <= set(KEYS)
    assert set(serverconf.KEYS) == {line.partition("=")[0].strip() for line in WHOLE.splitlines()[1:]}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("LOG_FILE=/a", "/a"),
        ("  LOG_FILE\t = \t/a  ", "/a"),
        ("log_file=/a", "/a"),
        ("LOG_FILE=/a # comment", "/a"),
        ("LOG_FILE=/a\t; comment", "/a"),
        ("LOG_FILE=/a#b;c", "/a#b;c"),
        ('LOG_FILE="/a # b"  # comment', "/a # b"),
        ("LOG_FILE='/a b'", "/a b"),
        ("LOG_FILE=/a=b", "/a=b"),
        ("LOG_FILE=/a\r", "/a"),
        ("LOG_FILE=/b\nLOG_FILE=/a", "/a"),
    ],
)
def test_line_is_read_however_it_is_spaced(line: str, value: str) -> None:
    assert resolve({}, {}, conf(line))["log.file"].value == value


@pytest.mark.parametrize("line", ["PORT=", "PORT = # none", "# PORT=1", "; PORT=1", "", "   ", "\t# PORT=1"])
def test_line_that_says_nothing_sets_nothing(line: str) -> None:
    assert resolve({}, {}, conf(line))["server.port"].layer == "default"


def test_every_fault_is_told_in_the_order_of_the_lines() -> None:
    text = "PROT=1\nPORT=x\nCACHE_SIZE=1\nnonsense\nCACHE_SIZE_MB=1.5\nTIMEOUT_SECONDS=1m\nTIMEOUT_SECONDS=0\n=1"
    assert faults(text) == [
        "/c/server.conf:1: no key is called PROT; did you mean PORT?",
        "/c/server.conf:2: PORT: 'x' is not a whole number from 0 to 65535",
        "/c/server.conf:3: no key is called CACHE_SIZE; did you mean CACHE_SIZE_MB?",
        "/c/server.conf:4: 'nonsense' is not KEY=value",
        "/c/server.conf:5: CACHE_SIZE_MB: '1.5' is not a whole number of MiB",
        "/c/server.conf:6: TIMEOUT_SECONDS: '1m' is not a whole number of seconds",
        "/c/server.conf:7: TIMEOUT_SECONDS: '0s' is not a time such as 30s, 500ms, 2m or plain seconds, above 0 and up"
        " to 24h",
        "/c/server.conf:8: '=1' is not KEY=value",
    ]


NEAREST = {
    "WORKERS": "NUM_WORKERS",
    "ROOT": "DOCUMENT_ROOT",
    "DOCROOT": "DOCUMENT_ROOT",
    "TIMEOUT": "TIMEOUT_SECONDS",
    "QUEUE_SIZE": "MAX_QUEUE_SIZE",
    "LOGFILE": "LOG_FILE",
    "THREADS": "THREADS_PER_WORKER",
}


@pytest.mark.parametrize(("key", "near"), NEAREST.items())
def test_unknown_key_comes_with_the_nearest_known_one(key: str, near: str) -> None:
    assert faults(f"{key}=1") == [f"/c/server.conf:1: no key is called {key}; did you mean {near}?"]


def test_unknown_key_like_no_other_comes_with_the_whole_list() -> None:
    assert faults("XYZZY=1")[0].endswith(f"there are: {', '.join(serverconf.KEYS)}")


@pytest.mark.parametrize(
    ("level", "said"), [("DEBUG", "-v says more"), ("error", "-q leaves nothing but errors"), ("INFO", "wsrv says")]
)
def test_log_level_is_said_and_not_heeded(level: str, said: str) -> None:
    found = conf(f"LOG_LEVEL={level}")
    assert survey({}, {}, found)[1] == []
    assert found.notes[0].startswith(f"/c/server.conf:1: LOG_LEVEL={level} is no setting: {said}")


@pytest.mark.parametrize(
    ("name", "text", "is_conf"),
    [
        ("server.conf", "PORT=1\n", True),
        ("Server.Conf", "", True),
        ("old.txt", "# x\n\n PORT = 1\n", True),
        ("wsrv.conf", "[server]\nport = 1\n", False),
        ("wsrv.conf", "server.port = 1\n", False),
        ("my.conf", "; x\nPORT=1\n", True),
        ("settings", "\ufeffPORT=1\n", True),
        ("wsrv.toml", "port = 1\n", False),
        ("X.TOML", "PORT = 1\n", False),
    ],
)
def test_language_is_known_by_name_or_first_line(tmp_path: Path, name: str, text: str, is_conf: bool) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    found = configfile.read(tmp_path / name)
    assert (found.names != {}) is (is_conf and "PORT" in text)
    assert not is_conf or survey({}, {}, found)[1] == []


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "PORT": st.integers(0, 65535),
        "DOCUMENT_ROOT": st.text(st.characters(exclude_categories=("C", "Z")), min_size=1).filter(
            lambda text: text[0] not in "#;\"'"
        ),
        "NUM_WORKERS": st.integers(1, 1024),
        "CACHE_SIZE_MB": st.integers(0, 100_000),
        "TIMEOUT_SECONDS": st.integers(1, 86400),
    },
)


@given(VALUES)
def test_what_is_made_of_it_means_the_same(pairs: dict[str, object]) -> None:
    found = conf("".join(f"{key} = {value}\n" for key, value in pairs.items()))
    values = resolve({}, {}, found)
    text = tomltext.imported(found, values, {})
    again = resolve({}, {}, tomlfile.parse(Path("/c/wsrv.toml"), text))
    assert {key: value.value for key, value in again.items()} == {key: value.value for key, value in values.items()}


@given(name=st.sampled_from(["server.conf", "wsrv.toml", "other"]), content=st.binary() | st.text().map(str.encode))
def test_no_content_is_our_bug(tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    with contextlib.suppress(Stop):
        survey({}, {}, configfile.read(path))
