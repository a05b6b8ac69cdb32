"""The error budget of a holdout, spent over looks."""

from __future__ import annotations

import math

_BASEL = 6.0 / math.pi**2
"""One over the sum of 1/k² over all k: the shares of all looks, however many, add up to one."""


def level(confidence: float, look: int) -> float:
    """The confidence to use on look number `look`, from 1, so that all looks together keep `confidence`.

    Look k may err with probability (1 - confidence) · 6 / (π²k²). These add up to 1 - confidence over any number of
    looks (Boole's inequality), whatever the dependence between them, and it is the usual case that all challengers of
    one champion share its rows. It is alpha spending for an unknown number of looks (Lan and DeMets 1983, Biometrika
    70, 659-663) with the convergent series of alpha-spending in online testing (Foster and Stine 2008, JRSS B 70,
    429-444).

    Where only verdicts come back from the holdout, candidates may even be made in the light of earlier verdicts: until
    the first win there is only one sequence of them, all lost, so the first false win is within the budget (the
    argument of the Ladder: Blum and Hardt 2015, ICML). Candidates that were tuned to the numbers of earlier looks are
    beyond any such promise.

    Raises ValueError for a confidence outside (0, 1) or a look below 1.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"A confidence of {confidence:g} is not between 0 and 1: write, for example, 0.95.")
    if look < 1:
        raise ValueError(f"Looks are counted from 1, and this is look {look}.")
    return 1.0 - (1.0 - confidence) * _BASEL / look**2
