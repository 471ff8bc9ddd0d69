"""Fluorescence images of the specimen: NucBlue, NucGreen and Annexin V.

NucBlue binds DNA in every nucleus, NucGreen only where the membrane lets it in, and
Annexin V the membrane of apoptotic cells, and the inside of opened ones. Light is
spread over the drawn nucleus, so that a condensed one is bright; then come the point
spread of the emission, haze from above and below the focal plane, and the share of the
blue light that bleeds into the green channel.
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter, zoom

from acquisition.simulated.light.optics import DEFOCUS_BLUR
from acquisition.simulated.specimen.population import LifeState
from acquisition.simulated.world import World

FLUORESCENCE_STREAM = 5

Dye = Literal["NucBlue", "NucGreen", "AnnexinV"]
DYES: tuple[Dye, ...] = ("NucBlue", "NucGreen", "AnnexinV")
EMISSION_UM = {"NucBlue": 0.46, "NucGreen": 0.53, "AnnexinV": 0.67}

SYNTHESIS = (0.35, 0.80)
"""Part of the cell cycle in which the DNA doubles."""
NUCLEUS_UM2 = 60.0
"""Area over which a G1 nucleus of a common line spreads its light."""
DENSEST, THINNEST = 4.0, 0.3
"""Bounds of what packing does to the light of a pixel."""
STAIN_SIGMA = 0.25
"""Spread of the staining from cell to cell (of the logarithm)."""
MISSED, MISSED_LEVEL = 0.015, 0.1
"""Share of nuclei that hardly take up NucBlue, and what they take up."""
LEAKY = (0.05, 0.15)
"""NucGreen in apoptotic cells whose membrane is still tight."""
AUTOFLUORESCENCE = 0.01
"""Light of any cell without dye, relative to a stained G1 nucleus."""
ANNEXIN_LEVEL, ANNEXIN_INSIDE = 0.6, 0.5
RIM_UM = 0.8
DOME_UM = 1.0
"""Nuclei thin out towards their rim over about this length."""
LIFTED_UM = 3.0
"""Cells higher above the dish than this are blurred by their height."""
HAZE_UM = 10.0
HAZE_BLOCK = 8
IDS = 1 << 16


class Stains:
    """The dyes in a specimen, seen by one camera.

    Parameters
    ----------
    world, seed
        Fix the dyes and how each cell takes them up.
    size_px
        Edge of the square view, a multiple of `HAZE_BLOCK`.
    """

    def __init__(self, world: World, seed: int, size_px: int) -> None:
        self._world = world
        rng = np.random.default_rng([seed, FLUORESCENCE_STREAM])
        stain = rng.lognormal(0, STAIN_SIGMA, (len(DYES), IDS))
        stain[0, rng.random(IDS) < MISSED] *= MISSED_LEVEL
        self._stain = dict(zip(DYES, stain, strict=True))
        self._leak = rng.uniform(*LEAKY, IDS)
        self._exposed = {dye: np.zeros(IDS) for dye in DYES}
        y, x = np.mgrid[-1 : 1 : size_px * 1j, -1 : 1 : size_px * 1j]
        shade = 1 - world.optics.vignetting * (y * y + x * x)
        self._shade = np.maximum(shade, 0.02).astype(np.float32)

    def show(
        self,
        dye: Dye,
        cells: NDArray[np.void],
        now_min: float,
        maps: "Maps",
        defocus_um: float,
    ) -> NDArray[np.float32]:
        """Give the noiseless picture (y, x) of a channel.

        Parameters
        ----------
        dye
            The channel.
        cells
            Rows of the specimen's table; those out of view do no harm.
        now_min
            Age of the specimen.
        maps
            What was drawn where.
        defocus_um
            Distance of the dish from the focal plane.

        Returns
        -------
        Electrons at the nominal exposure of the camera.
        """
        if dye == "AnnexinV":
            light = self._annexin(cells, now_min, maps)
        else:
            light = self._nuclei(dye, cells, now_min, maps)
        light += np.where(maps.labels > 0, np.float32(AUTOFLUORESCENCE), 0)
        settings = self._world.fluorescence
        sharp = self._focus(dye, light, defocus_um, maps.lift_um(cells))
        sharp += np.float32(settings.haze) * haze(light, self._world.optics.pixel_um)
        camera = self._world.camera
        per_unit = camera.nominal_exposure_ms / settings.nominal_exposure_ms
        electrons = settings.nucleus_e * sharp * self._shade + settings.background_e
        return np.asarray(electrons * np.float32(per_unit), np.float32)

    def _focus(
        self,
        dye: Dye,
        light: NDArray[np.float32],
        defocus_um: float,
        lift_um: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        """Blur the light (y, x) of the cells on the dish and of those that float."""
        optics = self._world.optics

        def blurred(part: NDArray[np.float32], away_um: float) -> NDArray[np.float32]:
            width_um = 0.21 * EMISSION_UM[dye] / optics.na
            sigma_um = math.hypot(width_um, DEFOCUS_BLUR * away_um)
            return np.asarray(
                gaussian_filter(part, sigma_um / optics.pixel_um, truncate=3)
            )

        if lift_um is None:
            return blurred(light, defocus_um)
        floats = lift_um > 0
        height_um = float(lift_um[floats].mean())
        low = blurred(np.where(floats, np.float32(0), light), defocus_um)
        return low + blurred(
            np.where(floats, light, np.float32(0)), defocus_um - height_um
        )

    def bleach(self, channel: str, ids: NDArray[np.uint32], light_ms: float) -> None:
        """Note that these cells were lit for so long in a channel."""
        if channel in DYES:
            nominal_ms = self._world.fluorescence.nominal_exposure_ms
            self._exposed[channel][ids] += light_ms / nominal_ms

    def _left(self, dye: Dye, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """Give what each cell shows of a dye: its staining, less what has bleached."""
        kept = 1 - self._world.fluorescence.bleaching
        return np.asarray(self._stain[dye][ids] * kept ** self._exposed[dye][ids])

    def _nuclei(
        self, dye: Dye, cells: NDArray[np.void], now_min: float, maps: "Maps"
    ) -> NDArray[np.float32]:
        ids = cells["id"].astype(np.int64)
        dna = dna_content(cells) * maps.packing(ids, self._world.optics.pixel_um)
        level = blue = dna * self._left("NucBlue", ids)
        if dye == "NucGreen":
            green = permeability(
                cells, now_min, self._world.fluorescence.uptake_min, self._leak[ids]
            )
            level = dna * green * self._left("NucGreen", ids)
            level = level + self._world.fluorescence.bleed * blue
        light = _spread(ids, level)[maps.nuclei]
        broken = np.isin(cells["state"], APOPTOTIC[1:])
        light = (
            np.where(
                _spread(ids, broken.astype(np.float64))[maps.nuclei] > 0,
                maps.clumps(),
                1,
            )
            * light
        )
        inside = (maps.nuclei > 0).astype(np.float32)
        dome = gaussian_filter(inside, DOME_UM / self._world.optics.pixel_um)
        return np.asarray(light * (np.float32(0.35) + np.float32(0.65) * dome))

    def _annexin(
        self, cells: NDArray[np.void], now_min: float, maps: "Maps"
    ) -> NDArray[np.float32]:
        settings = self._world.fluorescence
        ids = cells["id"].astype(np.int64)
        scale = ANNEXIN_LEVEL * self._left("AnnexinV", ids)
        turned = _since(now_min - cells["commit_min"], settings.annexin_min)
        opened = _since(now_min - cells["rupture_min"], settings.uptake_min)
        dies = np.isin(cells["state"], APOPTOTIC)
        rim = np.where(dies, np.maximum(turned, opened), opened)
        light = _spread(ids, scale * ANNEXIN_INSIDE * opened)[maps.labels]
        edge = maps.rim(RIM_UM / self._world.optics.pixel_um)
        return np.where(edge, _spread(ids, scale * rim)[maps.labels], light)


class Maps:
    """What was drawn where.

    Parameters
    ----------
    labels, nuclei
        (y, x) ids of the cells, and the same only inside the nuclei.
    nucleus_px
        Pixels of the whole nucleus by id, whether in view or not.
    phase
        (y, x) rad.
    """

    def __init__(
        self,
        labels: NDArray[np.uint16],
        nuclei: NDArray[np.uint16],
        nucleus_px: dict[int, int],
        phase: NDArray[np.float32],
    ) -> None:
        self._phase = phase
        self.labels = labels
        self.nuclei = nuclei
        self._nucleus_px = nucleus_px

    def packing(self, ids: NDArray[np.int64], pixel_um: float) -> NDArray[np.float64]:
        """Give how densely each nucleus is packed, 1 for the common G1 nucleus.

        The light of a nucleus does not depend on how far it is spread.
        """
        area_px = [self._nucleus_px.get(int(cell), 0) for cell in ids]
        area_um2 = np.maximum(area_px, 1) * pixel_um**2
        return np.clip(NUCLEUS_UM2 / area_um2, THINNEST, DENSEST)

    def clumps(self) -> NDArray[np.float32]:
        """Give how DNA lies in broken nuclei: in the dense bodies, mean 1 or less."""
        ids = self.nuclei.ravel()
        dense = np.square(np.maximum(self._phase, 0))
        count = np.bincount(ids, minlength=IDS)
        total = np.bincount(ids, weights=dense.ravel(), minlength=IDS)
        mean = np.maximum(total / np.maximum(count, 1), 1e-6).astype(np.float32)
        return np.asarray(np.minimum(dense / mean[self.nuclei], DENSEST))

    def lift_um(self, cells: NDArray[np.void]) -> NDArray[np.float32] | None:
        """Give the height (y, x) of the cells that float; None where none is seen."""
        height = np.where(cells["lift_um"] > LIFTED_UM, cells["lift_um"], 0.0)
        lifted = _spread(cells["id"].astype(np.int64), height)[self.labels]
        return lifted if lifted.any() else None

    def rim(self, width_px: float) -> NDArray[np.bool_]:
        """Mark the pixels of cells that lie so close to the border of their cell."""
        size = 2 * max(1, round(width_px)) + 1
        highest = maximum_filter(self.labels, size)
        lowest = minimum_filter(self.labels, size)
        return (self.labels > 0) & ((highest != self.labels) | (lowest != self.labels))


APOPTOTIC = (
    LifeState.EARLY_APOPTOSIS,
    LifeState.LATE_APOPTOSIS,
    LifeState.SECONDARY_NECROSIS,
)


def dna_content(cells: NDArray[np.void]) -> NDArray[np.float64]:
    """Give the DNA of every cell, 1 in G1 and 2 before the division."""
    begin, end = SYNTHESIS
    copied = np.clip((cells["cycle"] - begin) / (end - begin), 0, 1)
    copied = np.where(cells["state"] == LifeState.MITOSIS, 1.0, copied)
    return np.asarray(1 + copied)


def permeability(
    cells: NDArray[np.void],
    now_min: float,
    uptake_min: float,
    leak: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Give the share of NucGreen that has reached each nucleus, 0 to 1.

    ``1 - exp(-t / uptake)`` since the membrane opened; a little in apoptotic cells.
    """
    opened = _since(now_min - cells["rupture_min"], uptake_min)
    tight = np.isin(cells["state"], APOPTOTIC[:2])
    return np.where(tight, np.maximum(leak, opened), opened)


def haze(light: NDArray[np.float32], pixel_um: float) -> NDArray[np.float32]:
    """Give the same light far out of focus, computed on coarse pixels."""
    size = len(light) // HAZE_BLOCK
    coarse = light.reshape(size, HAZE_BLOCK, size, HAZE_BLOCK).mean(axis=(1, 3))
    wide = gaussian_filter(coarse, HAZE_UM / pixel_um / HAZE_BLOCK, mode="nearest")
    return np.asarray(zoom(wide, HAZE_BLOCK, order=1, mode="nearest", grid_mode=True))


def _since(minutes: NDArray[np.float64], constant_min: float) -> NDArray[np.float64]:
    """Give how far something has come that began so long ago; 0 before it began."""
    return np.asarray(-np.expm1(-np.maximum(minutes, 0) / constant_min))


def _spread(ids: NDArray[np.int64], level: NDArray[np.float64]) -> NDArray[np.float32]:
    """Give a table from id to level."""
    table = np.zeros(IDS, np.float32)
    table[ids] = level
    table[0] = 0
    return table
