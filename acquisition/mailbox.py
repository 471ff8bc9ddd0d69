"""Light records between two processes, each of which can be answered.

Requests go to the scheduler and health to the supervisor through an inbox; both ends
drop what is no record of ours, and count it.
"""

import logging
from typing import Any

import zmq

from acquisition.errors import BadMessage
from acquisition.stream import LOOPBACK, bind_loopback
from acquisition.wire import decode, encode

logger = logging.getLogger(__name__)


class Inbox:
    """Light records from many senders (ROUTER), each of whom can be answered."""

    def __init__(self, address: str = LOOPBACK) -> None:
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self.address = bind_loopback(self._router, address)
        self.garbage = 0

    def receive(self, timeout_ms: int) -> tuple[bytes, Any] | None:
        """Give (sender, record), or None; garbage is counted and passed over."""
        if not self._router.poll(timeout_ms):
            return None
        sender, *parts = self._router.recv_multipart()
        try:
            return sender, decode(parts)
        except BadMessage as error:
            self.garbage += 1
            logger.warning("message dropped: %s", error)
            return None

    def answer(self, sender: bytes, record: Any) -> None:
        """Send a record to one sender; a sender that has gone is no error."""
        self._router.send_multipart([sender, *encode(record)])

    def close(self) -> None:
        """End; waiting messages are dropped."""
        self._router.close(0)
        self._context.term()


class Outbox:
    """The sending end of an `Inbox`; used by one thread."""

    def __init__(self, address: str) -> None:
        self._context = zmq.Context()
        self._dealer = self._context.socket(zmq.DEALER)
        self._dealer.setsockopt(zmq.LINGER, 500)
        self._dealer.connect(address)

    def send(self, record: Any) -> None:
        """Send a record; returns at once."""
        self._dealer.send_multipart(encode(record))

    def receive(self, timeout_ms: int) -> Any | None:
        """Give the next answer, or None."""
        if not self._dealer.poll(timeout_ms):
            return None
        try:
            return decode(self._dealer.recv_multipart())
        except BadMessage as error:
            logger.warning("message dropped: %s", error)
            return None

    def close(self) -> None:
        """End, giving what was sent half a second to leave."""
        self._dealer.close()
        self._context.term()
