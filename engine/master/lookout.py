# What only the workers know and whoever watches wants to see: the biggest entries of their caches, their last errors.
#
# Rule: they are asked while somebody watches, and no more often than it is worth to them.
"""Asking the workers on behalf of who watches."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wsrv.engine.ipc.question import KEEPER, Message
from wsrv.engine.master.inquiry import Inquiries, Inquiry

# A look at the whole cache, in steps; at a few lines.
_ENTRIES_NS = 10_000_000_000
_ERRORS_NS = 1_000_000_000
# Of each worker's biggest, so that most of what is shown has been told by all who hold it.
_TOLD_ENTRIES = 30
_SHOWN_ENTRIES = 10
_SHOWN_ERRORS = 20


class _Look:
    """A question that is repeated, and what was answered last, by worker."""

    def __init__(self, inquiries: Inquiries, question: Message, period_ns: int) -> None:
        self._inquiries = inquiries
        self._question = question
        self._period_ns = period_ns
        self._due_ns = 0
        self._open: Inquiry | None = None
        self.answers: dict[int, list[Message]] = {}

    def again(self, now_ns: int) -> None:
        """Ask if it is time, and the last answers are in."""
        if self._open is not None or now_ns < self._due_ns:
            return
        self._due_ns = now_ns + self._period_ns
        heard: dict[int, list[Message]] = {}
        asked: list[Inquiry] = []

        def hear(worker: int, page: Message, last: bool) -> None:
            heard.setdefault(worker, []).append(page)
            if not last:
                asked[0].go_on(worker)

        def over(inquiry: Inquiry) -> None:
            # Of who is silent, what was said before stands.
            self.answers = {worker: self.answers.get(worker, []) for worker in inquiry.silent} | heard
            self._open = None

        asked.append(self._inquiries.ask(self._question, hear, over))
        if asked[0].waiting:
            self._open = asked[0]


class Lookout:
    """Keeps what the workers say up to date while it is looked at."""

    def __init__(self, inquiries: Inquiries) -> None:
        entries: Message = {"ask": "entries", "top": _TOLD_ENTRIES, "sort": "bytes"}
        self._entries = _Look(inquiries, entries, _ENTRIES_NS)
        self._errors = _Look(inquiries, {"ask": "errors"}, _ERRORS_NS)
        self._seen: dict[tuple[int, int], Message] = {}

    def look(self, now_ns: int) -> None:
        """Somebody watches."""
        self._entries.again(now_ns)
        self._errors.again(now_ns)

    def entries(self) -> Sequence[Mapping[str, Any]]:
        """The biggest entries of all caches, one that several workers hold as one; `workers` says how many do.

        None of them, but all, where the cache is shared: the keeper tells of that.
        """
        answers = self._entries.answers
        shared = KEEPER in answers
        found: dict[tuple[str, ...], dict[str, Any]] = {}
        for entry in _each({KEEPER: answers[KEEPER]} if shared else answers, "entries"):
            place = {name: entry[name] for name in ("host", "path", "coding")}
            whole = found.setdefault(tuple(place.values()), {**place, "bytes": 0, "hits": 0, "workers": 0})
            whole["bytes"] = max(whole["bytes"], entry["bytes"])
            whole["hits"] += entry["hits"]
            whole["workers"] = None if shared else whole["workers"] + 1
        return sorted(found.values(), key=lambda entry: (-entry["bytes"], entry["path"]))[:_SHOWN_ENTRIES]

    def errors(self) -> Sequence[Mapping[str, Any]]:
        """The last errors of all workers, oldest first; of workers that are gone those that were seen before."""
        for error in _each(self._errors.answers, "errors"):
            self._seen[error["pid"], error["number"]] = error
        last = sorted(self._seen.items(), key=lambda item: (item[1]["at"], item[0]))[-_SHOWN_ERRORS:]
        self._seen = dict(last)
        return [error for _, error in last]


def _each(answers: Mapping[int, Iterable[Message]], name: str) -> Iterable[Message]:
    return (one for pages in answers.values() for page in pages for one in page.get(name, ()))
