"""Losses on pixels, each a function of its equation; the recipe names one of them.

Networks give logits. Several classes: ``logits`` (B, C, H, W) and ``classes``
(B, H, W) int64; p is their softmax, y the one-hot truth. One class: ``logits`` and
``truth`` (B, H, W), p the sigmoid, y 0 or 1. B images of M x N pixels, N pixels in
all where only N is named.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from calibration.training.recipe import PixelLoss

_SMOOTH = 1.0
_FINE = 1e-6


def cross_entropy(
    logits: Tensor, classes: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Give CE = -(1/N) sum_i sum_c y_ic log p_ic.

    With class weights w the mean is over w_c of the true classes (the irradiation
    paper has none).
    """
    return functional.cross_entropy(logits, classes, weights)


def jaccard(logits: Tensor, classes: Tensor, smooth: float = _SMOOTH) -> Tensor:
    """Give 1 - (1/C) sum_c (sum p y + s) / (sum p + sum y - sum p y + s).

    Sums over all pixels of the batch; this soft form is ours, the irradiation paper
    only names the loss.
    """
    p, y = _shares(logits, classes)
    common = _sums(p * y)
    return 1 - ((common + smooth) / (_sums(p) + _sums(y) - common + smooth)).mean()


def focal(logits: Tensor, classes: Tensor) -> Tensor:
    """Give -(1/(B M N)) sum (1 - p_true)^2 log2 p_true, with a base-2 logarithm.

    Hu et al. 2022, after Lin et al. 2017 with gamma 2.
    """
    log_p = functional.log_softmax(logits, 1).gather(1, classes[:, None])
    return -((1 - log_p.exp()) ** 2 * log_p).mean() / torch.log(log_p.new_tensor(2.0))


def dice(logits: Tensor, classes: Tensor) -> Tensor:
    """Give 1 - (1/C) sum_c 2 TP_c / (2 TP_c + FP_c + FN_c), soft counts of the batch.

    Hu et al. 2022; 2 TP + FP + FN is the sum of p and y. A class that the batch lacks
    costs its whole share.
    """
    p, y = _shares(logits, classes)
    whole = (_sums(p) + _sums(y)).clamp(min=_FINE)  # p may underflow to nothing
    return 1 - (2 * _sums(p * y) / whole).mean()


def focal_binary(logits: Tensor, truth: Tensor) -> Tensor:
    """Give the mean of -0.25 (1-p)^2 log p on cells, -0.75 p^2 log(1-p) beside them.

    The brightfield paper, after Lin et al. 2017 with alpha 0.25, gamma 2.
    """
    p = torch.sigmoid(logits)
    on_cell = 0.25 * (1 - p) ** 2 * functional.logsigmoid(logits)
    beside = 0.75 * p**2 * functional.logsigmoid(-logits)
    return -(truth * on_cell + (1 - truth) * beside).mean()


def dice_binary(logits: Tensor, truth: Tensor, smooth: float = _FINE) -> Tensor:
    """Give 1 - (2 sum p y + s) / (sum p + sum y + s)."""
    p = torch.sigmoid(logits)
    return 1 - (2 * (p * truth).sum() + smooth) / (p.sum() + truth.sum() + smooth)


def boundary(logits: Tensor, truth: Tensor) -> Tensor:
    """Give mean |lap(p) - lap(y)| with lap = [[0,1,0],[1,-4,1],[0,1,0]].

    The idea is the brightfield paper's, the form ours. The rim of the image repeats
    outwards, so that it is no outline. Alone it cannot tell cell from background, so
    it is only a term of others.
    """
    return (_laplace(torch.sigmoid(logits)) - _laplace(truth)).abs().mean()


def focal_dice_boundary(logits: Tensor, truth: Tensor) -> Tensor:
    """Give FDB = 0.3 Focal_bin + 0.6 Dice + 0.1 Boundary (the brightfield paper)."""
    return (
        0.3 * focal_binary(logits, truth)
        + 0.6 * dice_binary(logits, truth)
        + 0.1 * boundary(logits, truth)
    )


def weighted_dice(logits: Tensor, truth: Tensor) -> Tensor:
    """Give BD = BCE with cells weighing 10 + Dice (the brightfield paper)."""
    entropy = functional.binary_cross_entropy_with_logits(
        logits, truth, pos_weight=logits.new_tensor(10.0)
    )
    return entropy + dice_binary(logits, truth)


def focal_tversky(logits: Tensor, truth: Tensor, smooth: float = _SMOOTH) -> Tensor:
    """Give (1 - TI)^0.75 with TI = (TP + s) / (TP + 0.7 FN + 0.3 FP + s).

    The spheroid paper, after Abraham and Khan 2019. The power has no slope at TI = 1,
    from which a little is kept away.
    """
    p = torch.sigmoid(logits)
    hit = (p * truth).sum()
    missed, false = ((1 - p) * truth).sum(), (p * (1 - truth)).sum()
    index = (hit + smooth) / (hit + 0.7 * missed + 0.3 * false + smooth)
    return (1 - index).clamp(min=_FINE) ** 0.75


def hybrid(logits: Tensor, truth: Tensor) -> Tensor:
    """Give 0.5 BCEWithLogits + 0.5 Dice with s = 1e-6 (the spheroid paper)."""
    entropy = functional.binary_cross_entropy_with_logits(logits, truth)
    return 0.5 * entropy + 0.5 * dice_binary(logits, truth)


def squared_distance(found: Tensor, true: Tensor) -> Tensor:
    """Give MSE_pos = (1/N) sum ||found - true||^2 of N positions (..., yx).

    The irradiation paper, for forecasts of places.
    """
    return ((found - true) ** 2).sum(dim=-1).mean()


def cell_logit(logits: Tensor) -> Tensor:
    """Give the logit (B, H, W) of a cell of any class against background.

    log(e^live + e^dead) - background, the logit of p_live + p_dead.
    """
    return torch.logsumexp(logits[:, 1:], dim=1) - logits[:, 0]


_OF_CLASSES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], ...]] = {
    "cross_entropy_jaccard": (cross_entropy, jaccard),
    "jaccard": (jaccard,),
    "focal": (focal,),
    "dice": (dice,),
    "focal_dice": (focal, dice),
}
_OF_CELLS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "focal_binary": focal_binary,
    "focal_dice_boundary": focal_dice_boundary,
    "weighted_dice": weighted_dice,
    "focal_tversky": focal_tversky,
    "hybrid": hybrid,
}


def pixel_loss(
    name: PixelLoss, logits: Tensor, classes: Tensor, weights: Tensor
) -> Tensor:
    """Give the loss that a recipe names.

    ``cross_entropy`` alone takes the class weights. The losses of one class see cells
    against background; what is dead then comes from the loss on whole cells alone.
    """
    if name == "cross_entropy":
        return cross_entropy(logits, classes, weights)
    if name in _OF_CELLS:
        cell = (classes > 0).to(logits.dtype)
        return _OF_CELLS[name](cell_logit(logits), cell)
    terms = [term(logits, classes) for term in _OF_CLASSES[name]]
    return torch.stack(terms).sum()


def _shares(logits: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Give p and y, both (B, C, H, W)."""
    p = logits.softmax(dim=1)
    y = functional.one_hot(classes, logits.shape[1]).movedim(-1, 1).to(p.dtype)
    return p, y


def _sums(planes: Tensor) -> Tensor:
    """Sum over all but the classes."""
    return planes.sum(dim=(0, 2, 3))


def _laplace(plane: Tensor) -> Tensor:
    padded = functional.pad(plane[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    around = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1]
    beside = padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    return around + beside - 4 * plane
