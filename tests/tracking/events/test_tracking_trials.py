"""What the judges of events keep, and what they forget."""

from dataclasses import replace

from plain_evidence import make_evidence
from samples import make_tracks

from acquisition.records import Event
from configs.events import Events
from tracking.events.contacts import Contacts
from tracking.events.deaths import Deaths
from tracking.events.predictions import PredictedContacts, PredictedDeaths
from tracking.events.trials import Bench
from tracking.events.watches import Changes, Focus


def make_bench():
    """Give the judges of a position that has seen nothing."""
    settings = Events()
    return Bench(
        settings,
        Deaths(settings.death, make_evidence()),
        Contacts(settings.contact),
        Changes(settings.change),
        Focus(settings.focus),
        PredictedDeaths(settings.predicted_death),
        PredictedContacts(settings.predicted_contact),
    )


def test_the_judges_forget_who_is_gone():
    """Deaths are kept while their track is there, meetings for the frame they came."""
    bench, tracks = make_bench(), make_tracks(3)
    at = (0.0, 0.0)
    bench.look(tracks, 0.0)
    death = Event(1, "death", 0.0, 1, "dish", (3,), at, 1.0, 0.9, "slim")
    bench.open(death)
    bench.open(replace(death, event_id=2, kind="contact", tracks=(1, 2)))

    bench.look(tracks, 60.0)
    while_there = dict(bench.died_s)
    bench.look(make_tracks(2), 120.0)

    assert while_there == {3: 0.0}
    assert bench.died_s == bench.met_s == {}


def test_a_predicted_contact_that_comes_is_confirmed_in_its_frame():
    """The meeting is asked for at once, so it need not be kept."""
    bench, tracks, at = make_bench(), make_tracks(2), (0.0, 0.0)
    bench.look(tracks, 60.0)
    said = Event(1, "predicted contact", 660.0, 1, "dish", (1, 2), at, 0.7, 0.6, "slim")
    bench.open(said)
    waits = bench.docket.update(60.0)
    bench.look(tracks, 120.0)
    bench.open(replace(said, event_id=2, kind="contact", time_s=120.0))

    came = {one.event_id: one.outcome for one in bench.docket.update(120.0)}

    assert waits == ()
    assert came[1] == "confirmed"
