"""The last errors of a worker, for who watches."""

from typing import Any

from tests.worker.workbench import Workbench, statuses
from wsrv.engine.worker.mishaps import MOST


def errors(bench: Workbench) -> list[dict[str, Any]]:
    """The answer to the question."""
    steps = bench.delivery.mishaps.errors({}, bench.now_ns)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: list[dict[str, Any]] = end.value["errors"]
            return found


def test_answers_that_are_errors_are_noted_and_others_are_not(bench: Workbench) -> None:
    text = b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"
    assert statuses(bench.answers(bench.client(), text + text.replace(b"a.txt", b"not%22here") + text)) == [
        200,
        404,
        200,
    ]
    assert statuses(bench.answers(bench.client(), b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n")) == [400]
    assert statuses(bench.answers(bench.client(), b'\x01"nonsense\r\n\r\n')) == [400]
    assert statuses(bench.answers(bench.client(), text.replace(b"/a.txt", b"/_wsrv/nothing"))) == [403]
    found = errors(bench)
    assert [(one["number"], one["status"], one["line"]) for one in found] == [
        (1, 404, "GET /not%22here HTTP/1.1"),
        (2, 400, "GET / HTTP/1.1"),
        (3, 400, "\\x01\\x22nonsense"),
    ]
    assert found[0]["at"] <= found[2]["at"]


def test_only_the_last_ones_are_kept_and_long_lines_are_cut(bench: Workbench) -> None:
    client = bench.client()
    for number in range(MOST + 5):
        path = b"/nothing-%d-%b" % (number, b"x" * 300)
        bench.answers(client, b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
    found = errors(bench)
    assert [one["number"] for one in found] == list(range(6, MOST + 6))
    assert {len(one["line"]) for one in found} == {200}
