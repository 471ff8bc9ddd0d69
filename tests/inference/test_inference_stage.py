"""The whole inference stage on simulated frames, with the engine without a network."""

from dataclasses import replace

import numpy as np
import pytest
from label_maps import make_info

import inference
from acquisition.errors import BadModel
from acquisition.records import Frame, Modality, Segmented, read_only
from acquisition.simulated.fields import Field, render_field
from acquisition.simulated.world import World
from configs.schema import Inference, Stand
from inference.cards import MODELS, load_card
from inference.engines.classical import ClassicalEngine
from inference.stage import InferenceStage

SIZE_PX = 256


@pytest.fixture(scope="module")
def field() -> Field:
    """Give a small four-step field of the shipped world."""
    return render_field(World.load("cho_10x"), seed=11, size_px=SIZE_PX)


def make_stage(um_per_px: float | None = None) -> InferenceStage:
    """Give a stage that needs no weights, as for a card of this pixel size."""
    card = load_card(MODELS.find("slim"))
    suited = um_per_px and card.model_copy(update={"um_per_px": um_per_px})
    return InferenceStage(ClassicalEngine(), suited or None, Inference(), Stand())


def make_frame(field: Field, modality: Modality = "slim") -> Frame:
    """Give the field as a frame: all four steps, or the second one alone."""
    pixels = field.frames if modality == "slim" else field.frames[1:2]
    return read_only(Frame(make_info(modality, field.pixel_size_um), pixels))


def found_share(segmented: Segmented, field: Field) -> float:
    """Give the share of true cell pixels that lie in some found cell."""
    return float((segmented.labels[field.labels > 0] > 0).mean())


def test_cells_of_a_slim_frame_are_found(field: Field) -> None:
    """A four-step frame comes back with its phase, its cells and who served it."""
    segmented = make_stage()(make_frame(field))

    assert found_share(segmented, field) > 0.8
    assert segmented.labels.max() == len(segmented.cells.label)
    assert segmented.phase.shape == segmented.labels.shape == (SIZE_PX, SIZE_PX)
    assert (segmented.engine, segmented.model) == ("classical", "classical")


def test_stamps_follow_each_other(field: Field) -> None:
    """The four monotonic stamps are in the order of the work."""
    segmented = make_stage()(make_frame(field))

    stamps = [
        segmented.received_ns,
        segmented.phase_ns,
        segmented.network_ns,
        segmented.cells_ns,
    ]
    assert stamps == sorted(stamps)
    assert stamps[0] < stamps[-1]


def test_one_shot_frames_keep_their_pixels(field: Field) -> None:
    """A phase-contrast frame passes as it came, and has cells without phase."""
    frame = make_frame(field, "phase_contrast")

    segmented = make_stage()(frame)

    np.testing.assert_array_equal(segmented.phase, frame.pixels[0])
    assert np.isnan(segmented.cells.mean_phase_rad).all()
    assert found_share(segmented, field) > 0.5


def test_a_model_of_another_pixel_size_serves(field: Field) -> None:
    """Maps made at another pixel size come back on the grid of the frame."""
    plain = make_stage()(make_frame(field))

    resampled = make_stage(um_per_px=0.8)(make_frame(field))

    both = (plain.labels > 0) & (resampled.labels > 0)
    either = (plain.labels > 0) | (resampled.labels > 0)
    assert resampled.labels.shape == plain.labels.shape
    assert both.sum() / either.sum() > 0.7


def test_an_unsuitable_model_is_refused(field: Field) -> None:
    """A model made for far larger pixels raises, and says both sizes."""
    stage = make_stage(um_per_px=6.5)

    with pytest.raises(BadModel, match=r"6\.5 um"):
        stage(make_frame(field))


def test_what_comes_out_is_read_only(field: Field) -> None:
    """No array of the record can be changed behind the reader's back."""
    segmented = make_stage()(make_frame(field))

    for array in (segmented.phase, segmented.labels, segmented.cells.centre_um):
        assert not array.flags.writeable


def test_the_shape_may_change_between_frames(field: Field) -> None:
    """A stage takes frames of another size without being made anew."""
    stage = make_stage()
    whole = make_frame(field)
    stage(whole)

    part = stage(replace(whole, pixels=whole.pixels[:, :160, :200]))

    assert part.labels.shape == (160, 200)


@pytest.mark.parametrize("modality", ["slim", "phase_contrast", "brightfield"])
def test_warm_up(modality: Modality) -> None:
    """Warming up needs no frame and leaves the stage ready."""
    stage = make_stage()

    stage.warm_up((96, 128), modality, 0.65)

    steps = 4 if modality == "slim" else 1
    pixels = np.full((steps, 96, 128), 500, np.uint16)
    assert stage(Frame(make_info(modality), pixels)).labels.shape == (96, 128)


def test_public_names() -> None:
    """The package offers exactly these names."""
    assert inference.__all__ == [
        "Engine",
        "InferenceStage",
        "Maps",
        "PhaseRetrieval",
        "find_cells",
        "grey_level",
        "network_shape",
        "phase_in_rad",
        "retrieve_phase",
    ]
