# pip against a folder that is a "simple" index (PEP 503): pages of links, relative ones, in folders whose names end in
# a slash. pip resolves links against the address that it was redirected to.
"""`pip install --index-url` and `pip download` from a folder of wheels."""

import base64
import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.program import run, surroundings
from tests.support.server import Server, Servers

pytestmark = pytest.mark.once("what another program makes of the same bytes")

PIP = (sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-input")


def wheel(folder: Path, name: str, version: str, padding: int = 0) -> Path:
    """A wheel with one module that says its version."""
    named = f"{name}-{version}"
    files = {
        f"{name}.py": f'VERSION = "{version}"\n'.encode() + b"#" * padding,
        f"{named}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{named}.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: us\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {
        path: base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        for path, content in files.items()
    }
    record = f"{named}.dist-info/RECORD"
    lines = [f"{path},sha256={digest},{len(files[path])}" for path, digest in digests.items()]
    files[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    path = folder / f"{named}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, content in files.items():
            archive.writestr(inside, content)
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def index(site: Path) -> Path:
    """An index of two projects, one of them large, each link with its digest."""
    wheels = site / "wheels"
    wheels.mkdir()
    made = [wheel(wheels, "sundial", "1.0"), wheel(wheels, "sundial", "1.1"), wheel(wheels, "gnomon", "2.0", 2_000_000)]
    links = {path: f'<a href="{{}}{path.name}#sha256={digest(path)}">{path.name}</a><br>\n' for path in made}
    (wheels / "index.html").write_text("<!DOCTYPE html>\n" + "".join(link.format("") for link in links.values()))
    simple = site / "simple"
    for project in ("sundial", "gnomon"):
        (simple / project).mkdir(parents=True)
        page = "".join(link.format("../../wheels/") for path, link in links.items() if path.name.startswith(project))
        (simple / project / "index.html").write_text(f"<!DOCTYPE html>\n{page}")
    (simple / "index.html").write_text('<!DOCTYPE html>\n<a href="sundial/">sundial</a> <a href="gnomon/">gnomon</a>\n')
    return site


@pytest.fixture
def server(servers: Servers, index: Path) -> Server:
    return servers(index, "--workers", "2")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Without the settings of this machine's pip, but with a cache."""
    return surroundings(tmp_path, PIP_CONFIG_FILE="/dev/null", PIP_CACHE_DIR=str(tmp_path / "cache"))


def test_install_from_a_simple_index(server: Server, tmp_path: Path, env: dict[str, str]) -> None:
    target = tmp_path / "target"
    install: list[str | Path] = [
        *PIP,
        "install",
        "--quiet",
        "--no-deps",
        "--cache-dir",
        tmp_path / "cache",
        "--target",
        target,
    ]
    run(*install, "--index-url", f"{server.url}/simple/", "sundial", "gnomon", env=env)
    ask = "import sundial, gnomon; print(sundial.VERSION, gnomon.VERSION)"
    assert run(sys.executable, "-c", ask, env=env | {"PYTHONPATH": str(target)}).stdout == b"1.1 2.0\n"
    assert {line.split('"')[1] for line in server.log_lines(4)} == {
        "GET /simple/sundial/ HTTP/1.1",
        "GET /simple/gnomon/ HTTP/1.1",
        "GET /wheels/sundial-1.1-py3-none-any.whl HTTP/1.1",
        "GET /wheels/gnomon-2.0-py3-none-any.whl HTTP/1.1",
    }


def test_links_are_resolved_against_where_the_folder_is(server: Server, tmp_path: Path, env: dict[str, str]) -> None:
    # Without the slash: 301 to the folder, whose links are relative to it.
    download: list[str | Path] = [*PIP, "download", "--quiet", "--no-deps", "--no-index", "--trusted-host", "127.0.0.1"]
    run(*download, "--find-links", f"{server.url}/wheels", "--dest", tmp_path / "got", "sundial==1.0", env=env)
    (got,) = (tmp_path / "got").iterdir()
    assert got.name == "sundial-1.0-py3-none-any.whl"
    assert " 301 " in server.log_lines(1)[0]


def test_download_with_hashes(server: Server, index: Path, tmp_path: Path, env: dict[str, str]) -> None:
    wanted = {path.name: digest(path) for path in (index / "wheels").glob("*-[12].0-*.whl")}
    assert len(wanted) == 2
    listed = tmp_path / "requirements.txt"
    lines = [f"{name.replace('-', '==', 1).partition('-')[0]} --hash=sha256:{sha}\n" for name, sha in wanted.items()]
    listed.write_text("".join(lines))
    download: list[str | Path] = [
        *PIP,
        "download",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--index-url",
        f"{server.url}/simple/",
    ]
    run(*download, "--dest", tmp_path / "got", "--requirement", listed, env=env)
    assert {path.name: digest(path) for path in (tmp_path / "got").iterdir()} == wanted
    listed.write_text("".join(lines).replace(wanted["gnomon-2.0-py3-none-any.whl"], "0" * 64))
    fails = run(*download, "--no-cache-dir", "--dest", tmp_path / "no", "--requirement", listed, env=env, fails=True)
    assert b"DO NOT MATCH THE HASHES" in fails.stderr


def test_second_look_at_the_index_is_304(server: Server, tmp_path: Path, env: dict[str, str]) -> None:
    # pip caches what came over plain HTTP from trusted hosts only.
    download: list[str | Path] = [
        *PIP,
        "download",
        "--quiet",
        "--no-deps",
        "--cache-dir",
        tmp_path / "cache",
        "--dest",
        tmp_path / "got",
    ]
    for _ in range(2):
        index = ("--index-url", f"{server.url}/simple/", "--trusted-host", f"127.0.0.1:{server.port}")
        run(*download, *index, "gnomon", env=env)
    statuses = [line.split('" ')[1][:3] for line in server.log_lines(3) if "/simple/gnomon/" in line]
    assert statuses == ["200", "304"]
