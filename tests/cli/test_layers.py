"""A bad value, in each layer: status 2, the place, what is allowed, and nothing started."""

from pathlib import Path

import pytest

from tests.cli.program import wsrv

PORT_FAULT = "'x' is not a whole number from 0 to 65535"
WRONG = {
    "flag": (["--port", "x"], {}, {}, f"Invalid value for '--port': {PORT_FAULT}"),
    "environment": ([], {"WSRV_PORT": "x"}, {}, f"WSRV_PORT: {PORT_FAULT}"),
    "./wsrv.toml": ([], {}, {"wsrv.toml": "\nserver.port = 'x'"}, f"wsrv.toml:2: server.port: {PORT_FAULT}"),
    "--config": (["--config", "c.toml"], {}, {"c.toml": "server.port = 'x'"}, f"/c.toml:1: server.port: {PORT_FAULT}"),
    "WSRV_CONFIG": ([], {"WSRV_CONFIG": "c"}, {"c": "[server]\nport = 'x'"}, f"c:2: server.port: {PORT_FAULT}"),
    "server.conf": (["--config", "server.conf"], {}, {"server.conf": "PORT=x"}, f"server.conf:1: PORT: {PORT_FAULT}"),
    "unknown key": ([], {}, {"wsrv.toml": "[server]\nprot = 1"}, "did you mean server.port?"),
    "below a good flag": (["--port", "0"], {}, {"wsrv.toml": "log.keep = 'x'"}, "wsrv.toml:1: log.keep: 'x' is not"),
}


@pytest.mark.parametrize("layer", WRONG)
def test_bad_value_starts_nothing(tmp_path: Path, layer: str) -> None:
    args, env, files, fault = WRONG[layer]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    own = ["--runtime-dir", "run", "--log-file", "access.log"]
    run = wsrv("serve", *own, *args, cwd=tmp_path, env=env)
    assert (run.returncode, run.stdout) == (2, "")
    assert fault in run.stderr.splitlines()[0]
    assert "listening" not in run.stderr
    assert {path.name for path in tmp_path.iterdir()} == set(files)


def test_bad_value_is_a_fault_even_where_a_better_layer_would_win(tmp_path: Path) -> None:
    (tmp_path / "wsrv.toml").write_text("[servr]\nport = 1\n")
    assert wsrv("config", "show", "--port", "1", cwd=tmp_path).returncode == 2
