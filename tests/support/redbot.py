# redbot asks a server for one URL in several ways (conditions, ranges, codings) and compares the answers. Its event
# loop is one for the process and stays, so it runs in a process of its own:
#
#   python -m tests.support.redbot URL[#CODING] ...
"""What redbot says of URLs: a line of JSON for each."""

import json
import sys
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

from tests.support.program import run

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Opinion:
    """Of one URL, asked for in one coding ("" for a request that names none)."""

    url: str
    coding: str
    status: int
    content_encoding: str
    good: tuple[str, ...]
    doubts: tuple[tuple[str, str], ...]


def opinions(urls: list[str], env: dict[str, str]) -> list[Opinion]:
    """Of each of `urls`, which may name a coding behind a #."""
    command = (sys.executable, "-m", "tests.support.redbot", *urls)
    lines = run(*command, env=env | {"PYTHONPATH": str(REPOSITORY)}).stdout.splitlines()
    found = [json.loads(line) for line in lines]
    return [Opinion(**one | {"good": tuple(one["good"]), "doubts": tuple(map(tuple, one["doubts"]))}) for one in found]


def _main() -> None:
    import thor
    from httplint.note import levels
    from redbot.resource import HttpResource

    parser = ConfigParser()
    parser.read_dict({"redbot": {"enable_local_access": "True"}})
    waiting = []

    for argument in sys.argv[1:]:
        url, _, coding = argument.partition("#")
        resource = HttpResource(parser["redbot"])
        resource.set_request(url, headers=[("Accept-Encoding", coding)] if coding else [])
        waiting.append((url, coding, resource))

    left = [resource for _, _, resource in waiting]

    def done(resource: HttpResource) -> None:
        left.remove(resource)
        if not left:
            thor.stop()

    for resource in list(left):
        resource.on("check_done", lambda resource=resource: done(resource))
        resource.check()
    if left:
        thor.run()
    for url, coding, resource in waiting:
        if resource.fetch_error is not None:
            sys.exit(f"{url}: {resource.fetch_error.desc} {resource.fetch_error.detail or ''}")
        responses = [resource.response, *(sub.response for sub in resource.subreqs.values() if sub.fetch_started)]
        notes = [note for response in responses for top in response.notes for note in (top, *top.subnotes)]
        fields = dict(resource.response.headers.text)
        opinion = Opinion(
            url,
            coding,
            resource.response.status_code or 0,
            {name.lower(): value.strip() for name, value in fields.items()}.get("content-encoding", ""),
            tuple(sorted({type(note).__name__ for note in notes if note.level is levels.GOOD})),
            tuple(
                sorted(
                    {(type(note).__name__, note.summary) for note in notes if note.level in (levels.BAD, levels.WARN)}
                )
            ),
        )
        print(json.dumps(vars(opinion)))


if __name__ == "__main__":
    _main()
