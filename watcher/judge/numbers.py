"""Differences between metrics: which way is better, compared and written so that a person agrees with the result."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

from watcher.policy import Better
from watcher.values import Metric


def untrusted(metric: Metric) -> str | None:
    """Why a metric cannot be used, None where it can.

    A registry may store an infinity as the largest float there is, so that one counts as infinite.
    """
    if metric.problem is not None:
        return metric.problem or "no reason given"
    if math.isnan(metric.value):
        return "not a number"
    if abs(metric.value) >= sys.float_info.max:
        return "infinite"
    return None


def turned(value: float, better: Better) -> float:
    """The value, its sign changed where lower is better, so that higher always is."""
    return value if better is Better.HIGHER else -value


@dataclass(frozen=True, slots=True)
class Change:
    """From the champion's metric to the candidate's, both finite; amounts are a share of |old| where `relative`."""

    new: float
    old: float
    better: Better
    relative: bool

    @property
    def gain(self) -> float:
        """By how much `new` is better: positive is better, whichever way the metric points.

        A relative gain is (new - old) / |old|, so that it has the sign of the absolute one at negative values too. From
        an old value of zero every improvement is infinite, every loss minus infinite, and no change zero.
        """
        if not self.relative or self._difference == 0:
            return self._difference
        return self._difference / abs(self.old) if self.old else math.copysign(math.inf, self._difference)

    def gains(self, amount: float) -> bool:
        """Whether `new` is strictly better, and by at least `amount`. Worse or equal never is, whatever `amount` says.

        The difference of two floats is off by a few units in the last place, and these never decide: 0.85 is better
        than 0.848 by 0.002.
        """
        return self._difference > 0 and self._difference >= self._absolute(amount) - self._slack

    def drops(self, amount: float) -> bool:
        """Whether `new` is worse by more than `amount`."""
        return self._difference < 0 and not -self._difference <= self._absolute(amount) + self._slack

    def measured(self, beside: float) -> str:
        """`0.8412 (+0.0031)`: the new value and how the metric moved, in digits that tell it from the gain `beside` it.

        Seen from zero a relative change has no size, so the old value is named instead.
        """
        if math.isinf(self.gain):
            return f"{number(self.new)} (from {number(self.old)})"
        return f"{number(self.new, self.old)} ({self._moved(self.gain, beside)})"

    def asked(self, gain: float, *, strictly: bool = False) -> str:
        """A least gain as it is written beside `measured`: `≥ +0.002`, `≤ -1%`, `> 0`."""
        sign = {Better.HIGHER: ("≥", ">"), Better.LOWER: ("≤", "<")}[self.better][strictly]
        return f"{sign} {self._moved(gain, gain)}"

    @property
    def _difference(self) -> float:
        return turned(self.new, self.better) - turned(self.old, self.better)

    @property
    def _slack(self) -> float:
        return 4 * math.ulp(max(abs(self.new), abs(self.old)))

    def _absolute(self, amount: float) -> float:
        return amount * abs(self.old) if self.relative else amount

    def _moved(self, gain: float, beside: float) -> str:
        scale = 100 if self.relative else 1
        moved, bound = turned(gain, self.better) * scale, turned(beside, self.better) * scale
        return f"{'+' if moved > 0 else ''}{number(moved, bound)}{'%' if self.relative and moved else ''}"


def number(value: float, beside: float | None = None) -> str:
    """A number to be read: four digits, or as many as it takes to look different from what it is `beside`."""
    text = ""
    for digits in (4, 6, 9, 13):
        text = f"{value + 0.0:.{digits}g}"
        if beside is None or value == beside or text != f"{beside + 0.0:.{digits}g}":
            break
    return text
