"""Worked examples that others printed, to the digits they printed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evaluation.statistics import gain
from evaluation.statistics.proportions import mid_p_lower, score_lower
from evaluation.statistics.ranks import placements, two_sample
from tests.evaluation.statistics.models import Floats

# Albumin, total protein, K-G score, and whether surgery helped: DeLong, DeLong and Clarke-Pearson (1988), as the
# SAS/STAT user's guide prints it in "Comparing Receiver Operating Characteristic Curves", which counts the K-G score
# backwards.
TABLE = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1
3.8 5.7 5 1   3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0
2.3 4.4 6 1   4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1
3.1 6.6 6 1   4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0
3.7 6.1 5 1   3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1
3.3 5.7 6 1   3.7 6.9 5 1  3.6 6.6 5 1
"""
OVARIAN = np.array(TABLE.split(), dtype=float).reshape(-1, 4)
ALBUMIN, PROTEIN, SCORE, HELPED = OVARIAN[:, 0], OVARIAN[:, 1], 10.0 - OVARIAN[:, 2], OVARIAN[:, 3] == 1.0


def _error(placed: Floats) -> float:
    weights = np.ones(len(HELPED))
    shares = np.where(HELPED, weights / HELPED.sum(), weights / (~HELPED).sum())
    scatter = two_sample(shares * (placed - placed[HELPED].mean()), weights, HELPED, None)
    return float(np.sqrt(scatter.variance))


@pytest.mark.parametrize(
    ("test", "area", "error"),
    [(ALBUMIN, "0.7366", "0.0927"), (PROTEIN, "0.6478", "0.1000"), (SCORE, "0.7258", "0.1028")],
)
def test_areas_and_their_errors_are_those_of_the_ovarian_cancer_example(test: Floats, area: str, error: str) -> None:
    placed = placements(test, HELPED, np.ones(len(test)))
    assert (f"{placed[HELPED].mean():.4f}", f"{_error(placed):.4f}") == (area, error)


@pytest.mark.parametrize(
    ("test", "error", "chi_square"), [(ALBUMIN, "0.0953", "0.0127"), (PROTEIN, "0.1046", "0.5554")]
)
def test_differences_of_areas_are_those_of_the_ovarian_cancer_example(
    test: Floats, error: str, chi_square: str
) -> None:
    weights = np.ones(len(test))
    placed = placements(test, HELPED, weights) - placements(SCORE, HELPED, weights)
    difference, found = placed[HELPED].mean(), _error(placed)
    assert (f"{found:.4f}", f"{(difference / found) ** 2:.4f}") == (error, chi_square)


def test_a_gain_in_area_is_the_difference_that_the_example_gives() -> None:
    found = gain("roc_auc", HELPED, SCORE, ALBUMIN, confidence=0.975)
    assert (round(found.challenger, 4), round(found.champion, 4), found.method) == (0.7366, 0.7258, "delong")
    assert found.low < -0.1761 < 0.1976 < found.high, "wider than the normal interval of so few rows"


@pytest.mark.parametrize(
    ("won", "lost", "count", "confidence", "low", "high"),
    [
        # Airway hyper-responsiveness before and after stem cell transplantation: Fagerland, Lydersen and Laake (2014,
        # Statistics in Medicine 33, 2850-2875), Tango's interval.
        (1, 7, 21, 0.975, "-0.517", "-0.026"),
        # The reference value of R's PropCIs, scoreci.mp(25, 28, 618, 0.90).
        (28, 25, 618, 0.95, "-0.015", "0.025"),
        # Presidential approval, Agresti (Categorical Data Analysis, section on matched pairs): 0.04, (0.02, 0.06).
        (150, 86, 1600, 0.975, "0.021", "0.059"),
    ],
)
def test_score_bounds_of_paired_proportions_are_the_published_ones(
    won: int, lost: int, count: int, confidence: float, low: str, high: str
) -> None:
    found = score_lower(won, lost, count, confidence), -score_lower(lost, won, count, confidence)
    assert tuple(f"{bound:.3f}" for bound in found) == (low, high)


def test_presidential_approval_has_the_z_that_agresti_prints() -> None:
    """(86 - 150)/√(86 + 150) = -4.17: the confidence at which the score bound of the gain is zero."""
    confidence = float(stats.norm.cdf((150 - 86) / np.sqrt(150 + 86)))
    assert f"{-stats.norm.ppf(confidence):.2f}" == "-4.17"
    assert score_lower(150, 86, 1600, confidence) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("won", "lost", "p"), [(7, 1, "0.039"), (16, 6, "0.035")])
def test_the_mid_p_bound_turns_at_the_published_mid_p(won: int, lost: int, p: str) -> None:
    """Fagerland, Lydersen and Laake (2013, BMC Medical Research Methodology 13:91): both examples, two-sided."""
    found = 2.0 * stats.binom.cdf(lost, won + lost, 0.5) - stats.binom.pmf(lost, won + lost, 0.5)
    assert f"{found:.3f}" == p
    assert mid_p_lower(won, lost, 100, 1.0 - found / 2.0) == pytest.approx(0.0, abs=1e-12)
