"""How an evaluation fails: on whose account, and why in one sentence."""

from __future__ import annotations

CHALLENGER = "challenger"
CHAMPION = "champion"
ELSEWHERE = "elsewhere"


class EvaluationFailed(Exception):
    """The message says why; `fault` whether a model is at fault, or the data and the machine (`elsewhere`)."""

    def __init__(self, why: str, fault: str = ELSEWHERE) -> None:
        super().__init__(why)
        self.fault = fault


class ModelFailed(Exception):
    """One model could not be scored, by its own fault; who it is, the caller knows."""


class Impossible(Exception):
    """The request can never be carried out as it is asked; the message says what to change."""
