# The control command `ask`: a question to all workers, and what they say, part by part.
#
#   {"command": "ask", "question": {"ask": "entries", …}}
#   ─> {"worker": 0, "last": false, "page": {…}, "more": true} …      a page of a worker
#   ─> {"workers": 2, "silent": [1], "gone": []}                      the end: who was asked, who has not answered
#
# Rule: what a worker can be asked is the worker's to know. A new question needs nothing here.
"""Passing questions on to the workers, and their answers back."""

from functools import partial

from wsrv.engine.ipc.question import Message
from wsrv.engine.master.control import Reply
from wsrv.engine.master.inquiry import Inquiries, Inquiry


class Relay:
    """Asks the workers for a client of the control socket."""

    def __init__(self, inquiries: Inquiries) -> None:
        self._inquiries = inquiries

    def ask(self, request: Message, reply: Reply) -> None:
        """Pass `question` of the request on. Raises ValueError when it is none, or too long."""
        question = request.get("question")
        if not isinstance(question, dict):
            raise ValueError("no question")
        asked: list[Inquiry] = []

        def hear(worker: int, page: Message, last: bool) -> None:
            # Pages come in the loop, so the inquiry is known by then.
            go_on = (lambda: None) if last else partial(asked[0].go_on, worker)
            reply.part({"worker": worker, "last": last, "page": page}, go_on)

        def over(inquiry: Inquiry) -> None:
            reply.end({"workers": inquiry.asked, "silent": sorted(inquiry.silent), "gone": sorted(inquiry.gone)})

        asked.append(self._inquiries.ask(question, hear, over))
        reply.when_gone = partial(self._inquiries.drop, asked[0])
