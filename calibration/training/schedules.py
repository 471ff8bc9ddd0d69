"""How the learning rate falls: the three ways of the papers, as factors of the first.

A factor of the step alone needs no state; the plateau remembers, and its state goes
into a checkpoint.
"""

import math
from dataclasses import dataclass


def warm_up(step: int, steps: int) -> float:
    """Give the factor of a linear rise over the first steps."""
    return min(1.0, (step + 1) / steps)


def cosine(step: int, steps: int) -> float:
    """Give half a cosine, from 1 down to 0 (the nanowell paper; Loshchilov 2017)."""
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / steps)))


def step_decay(step: int, every: int = 9000, factor: float = 0.9) -> float:
    """Give factor^floor(step / every) (the brightfield paper, from a rate of 1e-4)."""
    return float(factor ** (step // every))


@dataclass(slots=True)
class Plateau:
    """A factor that falls when the validation no longer improves.

    The viability paper: times 0.8 after 10 evaluations that brought nothing better.
    """

    patience: int = 10
    factor: float = 0.8
    rate: float = 1.0  # the present factor
    best: float = -math.inf
    waited: int = 0  # evaluations since the best, or since the last fall

    def judge(self, score: float) -> float:
        """Take the score of an evaluation (more is better); gives the factor.

        A score that is not a number is no improvement.
        """
        if score > self.best:
            self.best, self.waited = score, 0
            return self.rate
        self.waited += 1
        if self.waited >= self.patience:
            self.rate *= self.factor
            self.waited = 0
        return self.rate
