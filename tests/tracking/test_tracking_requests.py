"""Events become requests, within their limits."""

import pytest
from samples import make_info

from acquisition.records import Event
from configs.events import Trigger
from tracking.requests import RequestRules

SECOND_NS = 10**9


def death(event_id):
    """Give the death of track 12."""
    return Event(
        event_id, "death", 48.0, 3, "dish", (12,), (1.0, 2.0), 0.973, 0.95, "slim"
    )


def test_request_says_why_and_until_when():
    """A request carries its cause in words and its validity in experiment time."""
    rules = RequestRules((Trigger(event="death", frames=4, valid_for_s=90),))

    (request,) = rules.update(make_info(3, 48.0), (death(7),), 0)

    assert request.cause == "death of track 12 (p 0.97)"
    assert (request.request_id, request.event_id, request.frames) == (1, 7, 4)
    assert (request.created_s, request.valid_until_s) == (48.0, 138.0)
    assert request.centre_yx_um is None


def test_recentring_asks_for_the_place():
    """A trigger that recentres names the place of the event."""
    rules = RequestRules((Trigger(event="death", recentre=True),))

    (request,) = rules.update(make_info(), (death(1),), 0)

    assert request.centre_yx_um == (1.0, 2.0)


def test_other_events_ask_for_nothing():
    """A trigger for contacts does not answer a death."""
    rules = RequestRules((Trigger(event="contact"),))

    assert rules.update(make_info(), (death(1),), 0) == ()
    assert rules.refused == 0


def test_event_is_answered_once():
    """The same event, seen again, leads to no second request."""
    rules = RequestRules((Trigger(event="death"),))

    first = rules.update(make_info(), (death(1),), 0)
    second = rules.update(make_info(), (death(1),), SECOND_NS)

    assert (len(first), len(second), rules.refused) == (1, 0, 0)


@pytest.mark.parametrize(("rate", "allowed"), [(2.0, 2), (0.5, 1)])
def test_rate_is_limited_and_refusals_counted(rate, allowed):
    """More requests than the rate allows are refused, until time has passed."""
    rules = RequestRules((Trigger(event="death", max_per_min=rate),))

    made = rules.update(make_info(), tuple(death(i) for i in range(5)), 0)
    later = rules.update(make_info(), (death(9),), 121 * SECOND_NS)

    assert len(made) == allowed
    assert rules.refused == 5 - allowed
    assert len(later) == 1
