"""Rankings, intervals, tests and calibration: closed forms and honest coverage."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from calibration.metrics import (
    auroc,
    beta_interval,
    bootstrap,
    calibration_error,
    chance_calibration_error,
    compare_aurocs,
    compare_means,
    compare_with_bar,
    correct_holm,
    dead_probability,
    fit_temperature,
    mean_interval,
    wilson,
)


def test_auroc_of_known_cases():
    """Perfect, reversed, tied and one-sided scores."""
    score = np.array([0.1, 0.2, 0.8, 0.9])
    high = np.array([False, False, True, True])

    assert auroc(score, high) == 1.0
    assert auroc(-score, high) == 0.0
    assert auroc(np.ones(4), high) == 0.5
    assert auroc(score, np.ones(4, np.bool_)) is None


def test_auroc_with_ties_equals_that_of_another_code():
    """Tied scores count one half, as in scikit-learn."""
    rng = np.random.default_rng(3)
    score, positive = rng.integers(0, 6, 300).astype(float), rng.random(300) < 0.3

    assert auroc(score, positive) == pytest.approx(roc_auc_score(positive, score))


def test_delong_equals_the_pairwise_form():
    """The variance by ranks is that of all pairs of a positive and a negative."""
    rng = np.random.default_rng(4)
    positive = rng.random(60) < 0.5
    scores = np.round(rng.normal(size=(2, 60)) + positive, 1)  # with ties

    test = compare_aurocs(*scores, positive)

    wins = [_wins(score, positive) for score in scores]
    gap = wins[0] - wins[1]
    across, along = (np.var(gap.mean(axis), ddof=1) for axis in (1, 0))
    expected = across / gap.shape[0] + along / gap.shape[1]
    assert test.variance == pytest.approx(expected)
    assert test.first - test.second == pytest.approx(gap.mean())
    assert test.p == pytest.approx(2 * stats.norm.sf(abs(gap.mean()) / expected**0.5))


def _wins(score, positive):
    high, low = score[positive][:, None], score[~positive][None]
    return (high > low) + 0.5 * (high == low)


def test_delong_of_one_score_with_itself():
    """A score does not differ from itself, and too few cases give no test."""
    score, positive = np.arange(6.0), np.array([0, 0, 1, 0, 1, 1], np.bool_)

    assert compare_aurocs(score, score, positive).p == 1.0
    assert compare_aurocs(score, -score, positive | True) is None


def test_delong_rejects_as_often_as_it_says():
    """Two equally good scores are told apart in about one case of twenty."""
    rng = np.random.default_rng(5)
    positive = np.arange(80) < 40
    shared = rng.normal(size=(800, 1, 80)) + positive
    scores = shared + rng.normal(size=(800, 2, 80))

    p = np.array([compare_aurocs(*pair, positive).p for pair in scores])

    assert abs((p < 0.05).mean() - 0.05) <= 0.03


def test_wilson_closed_forms():
    """Known values, and ends that stay inside 0 and 1."""
    middle, none = wilson(15, 50), wilson(0, 20)

    assert (middle.low, middle.high) == pytest.approx((0.1910, 0.4375), abs=1e-4)
    assert none.low == 0.0
    assert none.high == pytest.approx(1.959964**2 / (20 + 1.959964**2))
    assert np.isnan(wilson(0, 0).low)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_wilson_covers_what_it_says(share):
    """The intervals hold the share in 95 % of the experiments, give or take 3."""
    tosses = np.random.default_rng(6).binomial(60, share, 3000)
    ends = {count: wilson(int(count), 60) for count in np.unique(tosses)}

    covered = [ends[count].low <= share <= ends[count].high for count in tosses]

    assert abs(np.mean(covered) - 0.95) <= 0.03


def test_beta_interval_covers_what_it_says():
    """For shares drawn evenly, 95 % of the intervals hold theirs; none are empty."""
    rng = np.random.default_rng(7)
    shares = rng.random(2000)
    tosses = rng.binomial(30, shares)
    ends = [beta_interval(count, 30) for count in range(31)]

    covered = [
        ends[count].low <= share <= ends[count].high
        for count, share in zip(tosses.tolist(), shares, strict=True)
    ]

    assert abs(np.mean(covered) - 0.95) <= 0.03
    assert beta_interval(0, 0).low == pytest.approx(0.025)


def test_bootstrap_covers_what_it_says():
    """Intervals over images hold the mean, though the cells of an image are alike."""
    rng = np.random.default_rng(8)
    groups = [f"image {number // 3}" for number in range(120)]
    covered = []
    for trial in range(300):
        values = np.repeat(rng.normal(size=40), 3) + 0.1 * rng.normal(size=120)
        interval = bootstrap(
            lambda rows, values=values: float(values[rows].mean()),
            groups,
            seed=trial,
            resamples=200,
        )
        covered.append(interval.low <= 0 <= interval.high)

    assert abs(np.mean(covered) - 0.95) <= 0.03


def test_intervals_of_nothing_are_not_known():
    """Images without a figure are left out; one group or none has no interval."""
    known = mean_interval([0.5, np.nan, 0.7], ["a", "a", "b"])

    assert known.estimate == pytest.approx(0.6)
    assert np.isnan(mean_interval([np.nan], ["a"]).estimate)
    single = mean_interval([0.5, 0.7], ["a", "a"])
    assert single.estimate == pytest.approx(0.6)
    assert np.isnan([single.low, single.high]).all()


def test_t_tests_equal_those_of_another_code():
    """Welch's and the one-sample test are those of SciPy; Cohen's d stands beside."""
    rng = np.random.default_rng(9)
    first, second = rng.normal(0, 1, 20), rng.normal(0.8, 2, 30)

    two = compare_means(first, second)
    one = compare_with_bar(second, 0.3)

    welch = stats.ttest_ind(first, second, equal_var=False)
    assert (two.t, two.degrees, two.p) == pytest.approx(
        (*welch[:1], welch.df, welch[1])
    )
    assert (one.t, one.p) == pytest.approx(tuple(stats.ttest_1samp(second, 0.3)))
    assert one.effect == pytest.approx(one.t / 30**0.5)
    pooled = ((19 * first.var(ddof=1) + 29 * second.var(ddof=1)) / 48) ** 0.5
    assert two.effect == pytest.approx((first.mean() - second.mean()) / pooled)


def test_t_tests_of_too_little():
    """One value, or values that do not vary, give no test."""
    single, same = np.array([1.0]), np.ones(5)

    assert np.isnan(compare_means(single, same).p)
    assert np.isnan(compare_means(same, same).p)
    assert np.isnan(compare_with_bar(same, 1.0).p)


def test_holm_by_hand():
    """Sorted p values are multiplied by 4, 3, 2, 1 and never fall; NaN is no test."""
    corrected = correct_holm([0.04, 0.01, np.nan, 0.03, 0.5])

    assert corrected[[1, 3, 0, 4]] == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert np.isnan(corrected[2])
    assert correct_holm([]).size == 0


def test_a_difference_is_found_as_often_as_theory_says():
    """Two groups of 57 whose areas differ by 10 %: the power is the computed one."""
    rng = np.random.default_rng(10)
    areas = rng.normal([[[1000], [1100]]], 180, (1000, 2, 57))

    p = [compare_means(*groups).p for groups in areas]

    edge, shift = stats.t.isf(0.025, 112), 100 / (180 * (2 / 57) ** 0.5)
    power = stats.nct.sf(edge, 112, shift) + stats.nct.cdf(-edge, 112, shift)
    assert abs(np.mean(np.array(p) < 0.05) - power) <= 0.04


def test_calibration_error_by_hand():
    """The gaps of the bins, weighed by their cells; nothing is not known."""
    probability = np.array([0.05, 0.05, 0.95, 1.0])
    positive = np.array([False, True, True, True])

    error = calibration_error(probability, positive)

    assert error == pytest.approx(0.5 * 0.45 + 0.5 * 0.025)
    assert np.isnan(calibration_error(np.empty(0), np.empty(0, np.bool_)))


def test_chance_alone_makes_the_calibration_error_that_is_foretold():
    """Honest probabilities of 250 cells err by as much as expected, in the mean."""
    rng = np.random.default_rng(0)
    probability = rng.beta(0.3, 0.9, 250)

    drawn = rng.random((400, 250)) < probability
    found = np.mean([calibration_error(probability, dead) for dead in drawn])

    assert chance_calibration_error(probability) == pytest.approx(found, rel=0.05)
    assert found > 0.02  # no small number


def test_temperature_mends_overconfidence():
    """Logits that are three times too large get a temperature of about three."""
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, 20_000)
    dead = rng.random(honest.size) < dead_probability(honest, 1.0)

    temperature = fit_temperature(3 * honest, dead)

    assert temperature == pytest.approx(3.0, rel=0.1)
    assert calibration_error(dead_probability(3 * honest, temperature), dead) < 0.02
    assert calibration_error(dead_probability(3 * honest, 1.0), dead) > 0.05
    assert fit_temperature(honest, dead | True) == 1.0
