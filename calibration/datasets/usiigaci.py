"""Loader of Usiigaci: phase contrast of T98G cells with instances drawn by hand.

Training sets ``set*/raw.tif`` with ``instances_ids.png``; time-lapses as two folders or
two stacks, the frames and the ids of the tracker.
"""

from functools import partial
from pathlib import Path

from acquisition.errors import BadImages
from acquisition.imagefiles import describe_file, list_images, read_image
from calibration.datasets.reading import check_sizes, read_grey, read_labels
from calibration.datasets.records import Entry, ImageSet, Sample

SOURCE = "Usiigaci, T98G phase contrast (Tsai et al. 2019)"
LICENCE = "MIT"
Page = tuple[Path, int]


def load_usiigaci(root: Path, pixel_size_um: float | None = None) -> ImageSet:
    """Load the hand-drawn sets below a folder; every field is its own group.

    Raises
    ------
    BadImages
        If there is none, or (when read) instances are missing.
    """
    entries = []
    for raw in sorted(root.rglob("raw.tif")):
        name = raw.parent.name
        masks = raw.parent / "instances_ids.png"
        entries.append(Entry(name, name, partial(_field, raw, masks, pixel_size_um)))
    if not entries:
        raise BadImages(f"{root}: no set*/raw.tif with instances_ids.png below it")
    return ImageSet(tuple(entries))


def _field(raw: Path, masks: Path, pixel_size_um: float | None) -> Sample:
    image, labels = read_grey(raw), read_labels(masks)
    check_sizes(image, labels, masks)
    name = raw.parent.name
    return Sample(
        name, image, name, SOURCE, LICENCE, labels, pixel_size_um=pixel_size_um
    )


def load_usiigaci_timelapse(
    frames: Path, ids: Path, pixel_size_um: float | None = None
) -> ImageSet:
    """Load frames with the ids of the tracker (silver truth); all are one group.

    Raises
    ------
    BadImages
        If there are not as many frames as maps of ids.
    """
    images, masks = _pages(frames, labels=False), _pages(ids, labels=True)
    if len(images) != len(masks):
        raise BadImages(
            f"{frames} holds {len(images)} frames, {ids} {len(masks)} maps of ids; "
            "give one for each frame"
        )
    group = frames.stem if frames.is_file() else frames.name
    entries = []
    for number, (image, mask) in enumerate(zip(images, masks, strict=True), start=1):
        name = f"{group}/{number}"
        read = partial(_frame, image, mask, name, group, pixel_size_um)
        entries.append(Entry(name, group, read))
    return ImageSet(tuple(entries))


def _frame(
    image: Page, mask: Page, name: str, group: str, pixel_size_um: float | None
) -> Sample:
    pixels, labels = read_image(*image), read_image(*mask)
    check_sizes(pixels, labels, mask[0])
    return Sample(
        name,
        pixels,
        group,
        SOURCE,
        LICENCE,
        labels.astype("uint16"),
        pixel_size_um=pixel_size_um,
    )


def _pages(path: Path, *, labels: bool) -> list[Page]:
    """List the pages of a stack, or of the files of a folder in natural order."""
    try:
        files = list_images(path, labels=labels)
    except BadImages:
        files = list_images(path, labels=not labels)  # the folder says what they are
    return [
        (file, number) for file in files for number in range(describe_file(file).images)
    ]
