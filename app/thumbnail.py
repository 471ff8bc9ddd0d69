"""The little picture of an event in the list."""

import numpy as np
from numpy.typing import NDArray

from acquisition.records import Analysed, Event
from app.geometry import Place, centres_by_label, marks_by_label, radii_by_label
from app.render import Crop, compose, paint_table

THUMBNAIL_PX = 44
"""Side on the screen."""
THUMBNAIL_UM = 60.0
"""Side in the specimen."""


def cut_thumbnail(
    analysed: Analysed, event: Event, levels: tuple[float, float]
) -> NDArray[np.uint8]:
    """Cut an event out of its frame, with outlines; gives ``(y, x, rgba)``.

    Near the border the cut is moved inwards, so that it shows nothing but the frame.
    """
    segmented = analysed.segmented
    place = Place(segmented.info, segmented.labels.shape)
    height, width = segmented.labels.shape
    side = min(THUMBNAIL_UM / place.pixel_um, height, width)
    y, x = place.to_px(np.array(event.centre_yx_um))
    top = float(np.clip(y - side / 2, 0, height - side))
    left = float(np.clip(x - side / 2, 0, width - side))
    mark, _, _ = marks_by_label(segmented.cells, analysed.tracks)
    centres = centres_by_label(segmented.cells, place)
    paint = paint_table(mark, centres, radii_by_label(segmented.cells, place))
    crop = Crop(top, left, side, side, THUMBNAIL_PX, THUMBNAIL_PX)
    return compose(segmented.phase, segmented.labels, paint, crop, levels)
