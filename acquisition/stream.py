"""Records from one process to another over ZeroMQ, every one accounted for.

A publisher (ROUTER) serves any number of subscribers (DEALER). A subscriber asks for
each heavy record with one credit, so at most one is ever under way to it:

``newest``  for models and screens: one slot; a record that was not fetched before the
            next one was made is *replaced*, and counted.
``all``     for the recorder: a first-in first-out queue bounded by bytes, nothing is
            ever replaced; when it is full the source must hold.
``notes``   light records only.

For every subscriber ``made == delivered + replaced + in_flight`` holds at any moment.
Light records (health, skips, events, replies) need no credit and are never replaced;
those that a dead recorder may not have written are told its successor again.
Frame age with this scheme was 31 ms where high-water marks gave 730 ms.
"""

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import zmq

from acquisition.account import Account, Policy
from acquisition.errors import BadConfig, BadMessage
from acquisition.records import StreamCount
from acquisition.wire import Buffer, decode, encode

logger = logging.getLogger(__name__)

LOOPBACK = "tcp://127.0.0.1:0"
"""Any free port of this machine; other interfaces are refused."""

INTRODUCE_EVERY_S = 1.0
LAST_WORDS_MS = 1000
_MOST_INBOUND_BYTES = 1 << 20
_HEAVY, _LIGHT = b"h", b"l"


def bind_loopback(socket: zmq.Socket[bytes], address: str) -> str:
    """Bind a socket to this machine only and give its address."""
    if not address.startswith("tcp://127.0.0.1:"):
        raise BadConfig(
            "stream", [f"address: only tcp://127.0.0.1 is allowed (given: {address!r})"]
        )
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, _MOST_INBOUND_BYTES)
    socket.bind(address)
    return str(socket.getsockopt_string(zmq.LAST_ENDPOINT))


class Publisher:
    """The sending end; `publish` and `tell` only enqueue, from any thread.

    Parameters
    ----------
    address
        Loopback address to bind; port 0 takes a free one.
    queue_bytes
        Bound of the ``all`` queues; see `full`.
    """

    def __init__(self, address: str = LOOPBACK, queue_bytes: int = 512 << 20) -> None:
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.setsockopt(zmq.SNDHWM, 0)
        self.address = bind_loopback(self._router, address)
        wake = f"inproc://wake-{id(self)}"
        self._wake_in = self._context.socket(zmq.PULL)
        self._wake_in.bind(wake)
        self._wake_out = self._context.socket(zmq.PUSH)
        self._wake_out.connect(wake)
        self._lock = threading.Condition()
        self._accounts: dict[str, Account] = {}
        self._queue_bytes = queue_bytes
        self._closing = False
        self.garbage = 0
        self._thread = threading.Thread(target=self._serve, name="publisher")
        self._thread.start()

    def publish(self, record: Any, to: Sequence[str] | None = None) -> None:
        """Offer a heavy record (frame, analysis) to every subscriber, or to some."""
        parts = [_HEAVY, *encode(record)]
        with self._lock:
            for account in self._accounts.values():
                if account.policy != "notes" and (to is None or account.name in to):
                    account.offer(parts)
        self._wake()

    def tell(self, record: Any) -> None:
        """Send a light record to every subscriber."""
        parts = [_LIGHT, *encode(record)]
        with self._lock:
            for account in self._accounts.values():
                account.light.append(parts)
        self._wake()

    def wait_for(self, names: Iterable[str], timeout_s: float) -> list[str]:
        """Wait until the named subscribers have joined; gives those missing."""
        wanted = set(names)
        deadline = time.monotonic() + timeout_s
        with self._lock:
            while missing := wanted - set(self._accounts):
                if not self._lock.wait(max(0.0, deadline - time.monotonic())):
                    break
            return sorted(missing)

    def wait_idle(self, name: str, timeout_s: float) -> bool:
        """Wait until a subscriber has dealt with all that was offered to it."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            while True:
                account = self._accounts.get(name)
                if account is None or not (account.waiting or account.under_way):
                    return True
                if not self._lock.wait(max(0.0, deadline - time.monotonic())):
                    return False

    def counts(self) -> tuple[StreamCount, ...]:
        """Give the account of every subscriber of heavy records, by name."""
        with self._lock:
            accounts = sorted(self._accounts.values(), key=lambda a: a.name)
            return tuple(a.count() for a in accounts if a.policy != "notes")

    def fill(self) -> float:
        """Fill of the fullest ``all`` queue, 1 is full."""
        with self._lock:
            queues = [
                account.waiting_bytes
                for account in self._accounts.values()
                if account.policy == "all"
            ]
        return max(queues, default=0) / self._queue_bytes

    def hand_over(
        self, name: str, patience_s: float, meanwhile: Callable[[int], int | None]
    ) -> None:
        """Wait until a subscriber has taken all, or has taken nothing for so long.

        The time begins anew when a successor is started, which has much to mend before
        it joins, and when it joins.

        ``meanwhile`` is called a few times a second with the number of records left,
        and gives how many have been started to take them; None: nobody ever will.
        """
        stood: tuple[int, bytes, int] | None = None
        since = 0.0
        while not self.wait_idle(name, 0.2):
            waited_s = time.monotonic() - since
            owed, identity = self._owed(name)
            started = meanwhile(owed)
            if started is None:
                return
            if (owed, identity, started) != stood:
                stood, since = (owed, identity, started), time.monotonic()
            elif waited_s > patience_s:
                return

    def _owed(self, name: str) -> tuple[int, bytes]:
        """Give how many records a subscriber has still to take, and who it is."""
        with self._lock:
            account = self._accounts[name]
            return account.count().in_flight, account.identity

    def close(self) -> int:
        """End; what nobody fetched is booked as replaced, so nothing is in flight.

        Returns
        -------
        Records of ``all`` queues that nobody fetched: these are lost.
        """
        self._closing = True
        self._wake()
        self._thread.join()
        for socket in (self._wake_out, self._wake_in):
            socket.close(0)
        self._router.close(LAST_WORDS_MS)
        self._context.term()
        return sum(account.write_off() for account in self._accounts.values())

    def _wake(self) -> None:
        # NOTE: a socket belongs to one thread at a time; publish and tell may come
        # from two, so the lock guards the waking socket as well.
        with self._lock, contextlib.suppress(zmq.Again):
            self._wake_out.send(b"", zmq.NOBLOCK)  # Again: it has wakes enough

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._wake_in, zmq.POLLIN)
        while not self._closing:
            ready = dict(poller.poll(200))
            while self._wake_in in ready and self._wake_in.poll(0):
                self._wake_in.recv()
            while self._router in ready and self._router.poll(0):
                self._receive(self._router.recv_multipart())
            self._send_due()
        self._send_due()  # last words

    def _receive(self, parts: list[bytes]) -> None:
        identity, *content = parts
        with self._lock:
            known = [a for a in self._accounts.values() if a.identity == identity]
            hello = _read_hello(content)
            if content == [b"credit"] and known:
                known[0].acknowledge()
            elif hello is None:
                self.garbage += 1
                logger.warning("message that is none of ours was dropped")
            elif not known:
                self._welcome(hello, identity)
            self._lock.notify_all()

    def _welcome(self, hello: "_Hello", identity: bytes) -> None:
        account = self._accounts.get(hello.name)
        if account is None:
            account = Account(hello.name, hello.policy, identity)
            self._accounts[hello.name] = account
        else:
            account.rejoin(identity)
        account.credit = int(hello.waits)

    def _send_due(self) -> None:
        with self._lock:
            due: list[tuple[bytes, list[Buffer]]] = []
            for account in self._accounts.values():
                due += [(account.identity, parts) for parts in account.due()]
        for identity, parts in due:
            self._router.send_multipart([identity, *parts], copy=False)


@dataclass(frozen=True)
class _Hello:
    """How a subscriber introduces itself."""

    name: str
    policy: Policy
    waits: bool  # has asked for a record already, perhaps a publisher that died

    def message(self) -> bytes:
        return json.dumps([self.name, self.policy, self.waits]).encode()


def _read_hello(content: list[bytes]) -> _Hello | None:
    if len(content) != 1 or len(content[0]) > 200:
        return None
    try:
        hello = json.loads(content[0])
    except ValueError:
        return None
    if not isinstance(hello, list) or len(hello) != 3:
        return None
    name, policy, waits = hello
    known = policy in ("newest", "all", "notes")
    if not (isinstance(name, str) and known and isinstance(waits, bool)):
        return None
    return _Hello(name, policy, waits)


class Subscriber:
    """The receiving end; used by one thread.

    A heavy record is acknowledged by asking for the next one: call `ready` when the
    last one has been dealt with. While nothing comes it introduces itself again every
    second, so a publisher that was restarted at the same address finds it.
    """

    def __init__(self, address: str, name: str, policy: Policy) -> None:
        self._context = zmq.Context()
        self._dealer = self._context.socket(zmq.DEALER)
        self._dealer.setsockopt(zmq.LINGER, 200)
        self._dealer.setsockopt(zmq.RCVHWM, 0)
        self._dealer.connect(address)
        self._name, self._policy = name, policy
        self._asked = policy == "notes"
        self._said = 0.0
        self.malformed = 0
        self._introduce()

    @property
    def socket(self) -> zmq.Socket[bytes]:
        """The socket, for polling several subscribers at once."""
        return self._dealer

    def ready(self) -> None:
        """Ask for the next heavy record, which acknowledges the last."""
        if not self._asked:
            self._dealer.send(b"credit")
            self._asked = True

    def receive(self, timeout_ms: int) -> Any | None:
        """Give the next record, or None when none came in time.

        Malformed messages are counted, logged and passed over.
        """
        if not self._dealer.poll(timeout_ms):
            self.stay_known()
            return None
        marker, *parts = self._dealer.recv_multipart(copy=False)
        self._said = time.monotonic()
        if marker.bytes == _HEAVY:
            self._asked = False
        try:
            return decode([part.buffer for part in parts])
        except BadMessage as error:
            self.malformed += 1
            logger.warning("message dropped: %s", error)
            return None

    def stay_known(self) -> None:
        """Introduce this subscriber again if nothing was heard for a second."""
        if time.monotonic() - self._said > INTRODUCE_EVERY_S:
            self._introduce()

    def _introduce(self) -> None:
        self._said = time.monotonic()
        waits = self._asked and self._policy != "notes"
        hello = _Hello(self._name, self._policy, waits)
        with contextlib.suppress(zmq.Again):
            self._dealer.send(hello.message(), zmq.NOBLOCK)

    def close(self) -> None:
        """Leave; what was not acknowledged stays in flight at the publisher."""
        self._dealer.close()
        self._context.term()


def receive_any(subscribers: Sequence[Subscriber], timeout_ms: int) -> list[Any]:
    """Give at most one record of each subscriber, waiting for the first of them."""
    poller = zmq.Poller()
    for subscriber in subscribers:
        poller.register(subscriber.socket, zmq.POLLIN)
    ready = dict(poller.poll(timeout_ms))
    for subscriber in subscribers:
        if subscriber.socket not in ready:
            subscriber.stay_known()
    got = [s.receive(0) for s in subscribers if s.socket in ready]
    return [record for record in got if record is not None]
