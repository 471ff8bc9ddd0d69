"""Events become requests, within their limits."""

import pickle
from dataclasses import fields, replace
from typing import get_args

import pytest
from samples import make_info

from acquisition.records import Event, Request
from configs.events import RequestKind, Trigger
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


def ask(trigger, events, info=None):
    """Give the rules and what they ask for these events of one frame."""
    rules = RequestRules((trigger,))
    return rules, rules.update(info or make_info(3, 48.0), tuple(events), 0)


def test_light_is_budgeted_by_position():
    """A position gets so many extra frames an hour, and more after that hour."""
    trigger = Trigger(event="death", frames=4, max_frames_per_h=10, max_per_min=60)

    rules, made = ask(trigger, [death(i) for i in range(4)])
    later = rules.update(make_info(9, 3700.0), (death(9),), 0)

    assert (len(made), rules.refused, len(later)) == (2, 2, 1)


def test_a_spent_dose_budget_asks_for_nothing():
    """Once the specimen has absorbed the dose, extra frames are refused."""
    rules, made = ask(Trigger(event="death", max_dose_gy=3.0), [death(1)])

    assert (made, rules.refused) == ((), 1)  # the frame says 3.5 Gy


def test_the_same_cells_ask_once_in_a_while():
    """A second event of the same track within repeat_s is passed over."""
    trigger = Trigger(event="death", repeat_s=600)

    _, made = ask(trigger, [death(1), death(2)])

    assert len(made) == 1


def test_a_predicted_event_sets_the_deadline():
    """Extra frames for what is to come are worth nothing after it has come."""
    soon = replace(death(1), kind="predicted death", time_s=100.0, lead_s=52.0)

    _, (request,) = ask(Trigger(event="predicted death", valid_for_s=600), [soon])

    assert request.valid_until_s == 100.0
    assert request.cause == "predicted death of 12 (p 0.97, 1 min)"


def test_kinds_say_what_they_want():
    """A stack names its planes, a return its time, a channel its preset."""
    stack = Trigger(event="death", kind="stack", frames=3, step_um=1.5)
    back = Trigger(event="death", kind="return", after_s=600)
    dye = Trigger(event="death", kind="channel", channel="AnnexinV", dry_run=True)

    wishes = [ask(trigger, [death(1)])[1][0] for trigger in (stack, back, dye)]

    assert wishes[0].planes_um == (-1.5, 0.0, 1.5)
    assert (wishes[1].begin_s, wishes[1].valid_until_s) == (648.0, 708.0)
    assert (wishes[2].channel, wishes[2].dry_run) == ("AnnexinV", True)


def test_no_request_can_name_a_beam():
    """Neither a trigger nor a request has anything that could open a beam."""
    words = {*Trigger.model_fields, *(field.name for field in fields(Request))}

    assert not any("beam" in word or "shutter" in word for word in words)
    assert set(get_args(RequestKind)) == {
        "burst",
        "channel",
        "stack",
        "faster",
        "return",
    }


def test_a_long_run_is_not_remembered():
    """After days a rule holds no more than after hours, and still repeats nothing."""
    rules = RequestRules((Trigger(event="death", repeat_s=600, max_per_min=1e6),))
    sizes, asked = [], []
    for minute in range(3 * 24 * 60):
        event = replace(death(minute), tracks=(minute,))
        info = make_info(minute, 60.0 * minute)
        asked.append(len(rules.update(info, (event, event), minute * 60 * SECOND_NS)))
        sizes.append(len(pickle.dumps(rules)))

    assert set(asked) == {1}
    assert max(sizes) < 1.2 * sizes[6 * 60]
