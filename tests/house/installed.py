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


def look_for_shared_files(wsrv: Path) -> None:
    """Completions and pages: where the shells look below a prefix, and of the commands of this wheel."""
    share = wsrv.parent.parent / "share"
    shells = {"bash": "bash-completion/completions/wsrv", "zsh": "zsh/site-functions/_wsrv"}
    shells["fish"] = "fish/vendor_completions.d/wsrv.fish"
    for shell, place in shells.items():
        printed = subprocess.run([wsrv, "completion", shell], check=True, capture_output=True, text=True).stdout
        if (share / place).read_text() != printed:
            raise SystemExit(f"{share / place} is not what wsrv completion {shell} prints")
    commands = subprocess.run([wsrv, "--help"], check=True, capture_output=True, text=True).stdout
    listed = commands.partition("\nCommands:\n")[2].partition("\n\n")[0].splitlines()
    for command in (line.split()[0] for line in listed):
        if not (page := share / "man" / "man1" / f"wsrv-{command}.1").read_text().startswith(".TH "):
            raise SystemExit(f"{page} is no manual page")


def main() -> None:
    """Run from anywhere; leaves nothing behind."""
    os.environ.pop("PYTHONPATH", None)  # or the tree itself could stand in for what the wheel lacks
    with tempfile.TemporaryDirectory(prefix="wsrv-installed-") as folder:
        work = Path(folder)
        wsrv = build_and_install(work)
        version = subprocess.run([wsrv, "--version"], check=True, capture_output=True, text=True, cwd=work).stdout
        fetch_from_served(wsrv, work)
        look_for_shared_files(wsrv)
    print(f"the wheel built from the sdist installs and serves: {version.strip()}")


if __name__ == "__main__":
    main()
