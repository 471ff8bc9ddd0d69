"""`vigil bench forecast --maps`: the map of live and dead cells some frames ahead.

Four ways to give it stand beside one another: a copy of the newest map; every mask
moved by the forecast of its cell (`calibration.mask_forecast`), dead ones staying; the
same with the true way of every cell that stays in view, which bounds what moving masks
can reach; and a network that sees nothing but maps. Outlines are the true ones of the
simulated microscope, so that only the forecast is judged.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.records import Tracks
from calibration.mask_forecast import iou, move_masks
from calibration.training.forecast_maps import LIVE, MapCourse, MapView, map_course
from configs.schema import Forecasting
from tracking.forecasts.forecaster import MODELS, Forecaster
from tracking.forecasts.map_card import MapCard, MapModel, load_map_model
from tracking.forecasts.rolling import Scores

COPIED, MOVED, TRULY_MOVED = "copied", "moved masks", "moved masks, true ways"
NETWORK = "map network"
SEEN_FRAMES = 5
"""The first map that is judged is foretold from so many, unless a network sees others.
"""
JUDGED_FRAMES = 18
"""Maps of every specimen that are foretold."""
LOCALISATION_UM = 1.0
"""That of the settings where they say nothing else."""
AHEAD_FRAMES = 2
VIEW = MapView(
    "cho_10x",
    edge_px=256,
    reduced=4,
    interval_s=600.0,
    frames=SEEN_FRAMES - 1 + JUDGED_FRAMES + AHEAD_FRAMES,
)

Map = NDArray[np.uint8]  # (y, x) 0, live, dead


def bench_maps(seeds: int = 2, model: Path | None = None) -> dict[str, Any]:
    """Judge the maps of held-out specimens.

    Parameters
    ----------
    seeds
        Specimens: 1, 2 ...; no network is trained on them.
    model
        Folder of a map network; absent: the others alone. Specimens are looked at as
        it was trained.

    Returns
    -------
    dict
        ``rows``, one a way: intersection over union of all cells and of the living with
        the map that came, means over the maps.

    Raises
    ------
    BadModel
        If the folder is no map network, or a damaged one.
    """
    network = None if model is None else load_map_model(model)
    view, ahead = (VIEW, AHEAD_FRAMES) if network is None else _as_trained(network.card)
    judged: dict[str, list[tuple[float, float]]] = {}
    for seed in range(1, seeds + 1):
        for name, told, true in told_maps(map_course(view, seed, (ahead,)), network):
            whole, live = iou(told > 0, true > 0), iou(told == LIVE, true == LIVE)
            if whole is not None and live is not None:
                judged.setdefault(name, []).append((whole, live))
    rows = [
        {
            "model": name,
            "ahead_s": ahead * view.interval_s,
            "iou_all": round(float(np.mean([whole for whole, _ in maps])), 4),
            "iou_live": round(float(np.mean([live for _, live in maps])), 4),
            "maps": len(maps),
        }
        for name, maps in judged.items()
    ]
    return {"rows": rows}


def _as_trained(card: MapCard) -> tuple[MapView, int]:
    """Give how a network wants specimens looked at, and how far it looks ahead."""
    shape, ahead = card.architecture, card.ahead_frames
    frames = shape.frames - 1 + JUDGED_FRAMES + ahead
    return MapView(card.world, shape.edge, card.reduced, card.interval_s, frames), ahead


def told_maps(
    seen: MapCourse, network: MapModel | None
) -> Iterator[tuple[str, Map, Map]]:
    """Give who says it, the map that it says, and the one that came, frame by frame."""
    course = seen.course
    ahead = int(course.ahead[0])
    settings = Forecasting(model="bank", horizons_s=course.horizons_s)
    scores = Scores(MODELS, course.ahead.size)
    forecaster = Forecaster(settings, LOCALISATION_UM, scores)
    told = None if network is None else _teller(network)
    first = SEEN_FRAMES if network is None else network.card.architecture.frames
    for frame, (time_s, cells, tracks) in enumerate(course.shown()):
        forecaster.observe(time_s, cells, tracks)
        made = forecaster.forecast(tracks)
        if frame < first - 1 or frame + ahead >= len(seen.maps):
            continue
        true = seen.maps[frame + ahead]
        yield COPIED, seen.maps[frame], true
        way_um = made.centre_um[:, 0] - tracks.centre_um
        surest_last = np.argsort(-made.sigma_um[:, 0], kind="stable")
        yield MOVED, _moved(seen, frame, tracks, way_um[surest_last], surest_last), true
        row = tracks.track_id - 1
        went = course.place_um[frame + ahead, row] - course.place_um[frame, row]
        every = np.arange(row.size)
        yield TRULY_MOVED, _moved(seen, frame, tracks, np.nan_to_num(went), every), true
        if told is not None:
            yield NETWORK, told(seen.maps[frame - first + 1 : frame + 1]), true


def _moved(
    seen: MapCourse,
    frame: int,
    tracks: Tracks,
    way_um: NDArray[np.float64],
    order: NDArray[np.int64],
) -> Map:
    """Give the map with masks moved by ways (track, yx), drawn in an order."""
    label = tracks.track_id[order]
    size = 1 + int(max(seen.labels[frame].max(), label.max(initial=0)))
    shift_px = np.zeros((size, 2))
    shift_px[label] = way_um / seen.pixel_um
    kinds = np.zeros(size, np.uint8)
    kinds[seen.labels[frame]] = seen.maps[frame]
    return kinds[move_masks(seen.labels[frame], shift_px, label)]


def _teller(network: MapModel) -> Callable[[NDArray[np.uint8]], Map]:
    """Give what makes the likeliest map (y, x) of the last maps (T, y, x)."""
    # Only here torch is wanted; it takes seconds and hundreds of megabytes.
    import torch

    from tracking.forecasts.map_transformer import MapTransformer

    net = MapTransformer(network.card.architecture)
    net.load_state_dict(
        {
            name: torch.from_numpy(np.array(value))
            for name, value in network.weights.items()
        }
    )
    net.eval()

    def tell(maps: NDArray[np.uint8]) -> Map:
        with torch.inference_mode():
            scores = net(torch.from_numpy(maps[None].copy()))[0]
        return scores.argmax(0).numpy().astype(np.uint8)

    return tell
