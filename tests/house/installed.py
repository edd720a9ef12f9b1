# The last step of `make check`: what a stranger gets.
#
# sdist, from it the wheel, that wheel in an environment with nothing else in it, then one request over the network.
# Not a test of the suite: it installs the dependencies anew, which takes longer than all of its neighbours.
"""Build, install and try the wheel; exit status 1 and the reason when it does not serve."""

import os
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
import venv
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = b"<p>from the wheel\n"
SECONDS = 20


def build_and_install(work: Path) -> Path:
    """The `wsrv` command of an environment that holds the built wheel and its dependencies only."""
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(work / "dist"), str(REPOSITORY)]
    run = subprocess.run(build, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if run.returncode != 0:
        raise SystemExit(run.stdout)
    (wheel,) = (work / "dist").glob("*.whl")
    venv.create(work / "venv", with_pip=True)
    python = work / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", str(wheel)]
    subprocess.run(install, check=True)
    return work / "venv" / "bin" / "wsrv"


def expect(url: str, status: int, content: bytes) -> None:
    """Fetch, and leave with what came instead when it is not this."""
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            got, body = answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            got, body = refusal.code, refusal.read()
    if got != status or content not in body:
        raise SystemExit(f"{url}: expected {status} with {content!r}, got {got} with {body!r}")


def fetch_from_served(wsrv: Path, work: Path) -> None:
    """Serve a folder of one file; fetch that file, and a missing one for the page out of www/; stop the server."""
    site = work / "site"
    site.mkdir()
    (site / "index.html").write_bytes(PAGE)
    command = [str(wsrv), "serve", str(site), "--port", "0", "--workers", "1"]
    command += ["--log-file", str(work / "access.log"), "--runtime-dir", str(work / "run")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=work) as server:
        deadline = threading.Timer(SECONDS, server.kill)
        deadline.start()
        try:
            assert server.stderr is not None
            said = ""
            while "listening on " not in said:
                line = server.stderr.readline()
                if not line:
                    raise SystemExit(f"the installed server did not start:\n{said}")
                said += line
            url = said.split("listening on ")[1].strip()
            expect(url, 200, PAGE)
            expect(f"{url}/missing", 404, (REPOSITORY / "www" / "errors" / "404.html").read_bytes())
        finally:
            server.terminate()
            status = server.wait()
            deadline.cancel()
    if status != 0:
        raise SystemExit(f"the installed server ended with status {status}")


def main() -> None:
    """Run from anywhere; leaves nothing behind."""
    os.environ.pop("PYTHONPATH", None)  # or the tree itself could stand in for what the wheel lacks
    with tempfile.TemporaryDirectory(prefix="wsrv-installed-") as folder:
        work = Path(folder)
        wsrv = build_and_install(work)
        version = subprocess.run([wsrv, "--version"], check=True, capture_output=True, text=True, cwd=work).stdout
        fetch_from_served(wsrv, work)
    print(f"the wheel built from the sdist installs and serves: {version.strip()}")


if __name__ == "__main__":
    main()
