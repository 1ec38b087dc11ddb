"""The closed forms give the golden values, and keep the laws of queues."""

from math import factorial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.worklist.queueing import MeanWaits, QueuePolicy, Setting, erlang_c, mean_waits

FIFO, FLAG, INTERRUPTING = QueuePolicy.FIFO, QueuePolicy.FLAG_FIRST, QueuePolicy.FLAG_FIRST_PREEMPTIVE

# Readers, load; mean waits in minutes of flagged, unflagged, diseased, healthy, with reads of 10 minutes,
# prevalence .1, sensitivity and specificity .9. Worked out by hand from Erlang's and Cobham's formulas.
GOLDEN = [
    (1, 0.8, FIFO, (40.0, 40.0, 40.0, 40.0)),
    (2, 0.8, FIFO, (17.7778, 17.7778, 17.7778, 17.7778)),
    (3, 0.8, FIFO, (10.7865, 10.7865, 10.7865, 10.7865)),
    (4, 0.8, FIFO, (7.4554, 7.4554, 7.4554, 7.4554)),
    (1, 0.5, FIFO, (10.0, 10.0, 10.0, 10.0)),
    (1, 0.9, FIFO, (90.0, 90.0, 90.0, 90.0)),
    (1, 0.8, INTERRUPTING, (1.6822, 48.4112, 6.3551, 43.7383)),
    (2, 0.8, INTERRUPTING, (0.2118, 21.6337, 2.3539, 19.4915)),
    (3, 0.8, INTERRUPTING, (0.0397, 13.1456, 1.3503, 11.8350)),
    (4, 0.8, INTERRUPTING, (0.0088, 9.0900, 0.9169, 8.1819)),
    (1, 0.5, INTERRUPTING, (0.9890, 11.9780, 2.0879, 10.8791)),
    (1, 0.9, INTERRUPTING, (1.9332, 109.3317, 12.6730, 98.5919)),
    (1, 0.8, FLAG, (9.3458, 46.7290, 13.0841, 42.9907)),
    (2, 0.8, FLAG, (4.1537, 20.7684, 5.8152, 19.1070)),
    (3, 0.8, FLAG, (2.5202, 12.6011, 3.5283, 11.5930)),
    (4, 0.8, FLAG, (1.7419, 8.7096, 2.4387, 8.0128)),
    (1, 0.5, FLAG, (5.4945, 10.9890, 6.0440, 10.4396)),
    (1, 0.9, FLAG, (10.7399, 107.3986, 20.4057, 97.7327)),
]

shares = st.floats(0.01, 0.99)
settings = st.builds(
    Setting,
    n_readers=st.integers(1, 20),
    load=st.floats(0.05, 0.98),
    read_minutes=st.floats(0.5, 60.0),
    prevalence=shares,
    sensitivity=shares,
    specificity=shares,
)


def waits_of(setting: Setting, policy: QueuePolicy) -> dict[str, float]:
    """Give the waits of a setting in which no class is empty."""
    waits = mean_waits(setting, policy)
    assert waits is not None
    names = ("flagged", "unflagged", "diseased", "healthy", "missed")
    return {name: float(getattr(waits, name)) for name in names}


@pytest.mark.parametrize(("readers", "load", "policy", "expected"), GOLDEN)
def test_the_golden_values_are_met_to_four_decimals(
    readers: int, load: float, policy: QueuePolicy, expected: tuple[float, float, float, float]
) -> None:
    waits = waits_of(Setting(readers, load, 10.0, 0.1, 0.9, 0.9), policy)

    given_waits = tuple(waits[name] for name in ("flagged", "unflagged", "diseased", "healthy"))
    assert given_waits == pytest.approx(expected, abs=0.00005)
    assert waits["missed"] == waits["unflagged"]


@pytest.mark.parametrize("readers", [1, 2, 5, 20])
def test_erlangs_recursion_agrees_with_his_sum(readers: int) -> None:
    load = 0.7
    offered = readers * load
    last = offered**readers / factorial(readers) / (1 - load)

    by_sum = last / (sum(offered**k / factorial(k) for k in range(readers)) + last)

    assert erlang_c(readers, load) == pytest.approx(by_sum, rel=1e-12)


def test_a_thousand_readers_neither_overflow_nor_underflow() -> None:
    assert 0 < erlang_c(1000, 0.5) < 1e-60 < erlang_c(1000, 0.99) < 1


@given(settings, st.sampled_from([FLAG, INTERRUPTING]))
def test_what_the_flagged_gain_the_others_pay(setting: Setting, policy: QueuePolicy) -> None:
    waits, fifo = waits_of(setting, policy), waits_of(setting, FIFO)["flagged"]
    share = setting.flagged_share

    assert share * waits["flagged"] + (1 - share) * waits["unflagged"] == pytest.approx(fifo)
    sick = setting.prevalence
    assert sick * waits["diseased"] + (1 - sick) * waits["healthy"] == pytest.approx(fifo)
    assert waits["flagged"] <= fifo <= waits["unflagged"]


@given(settings, st.sampled_from([FLAG, INTERRUPTING]))
def test_a_flag_that_knows_nothing_changes_nothing(setting: Setting, policy: QueuePolicy) -> None:
    blind = Setting(
        setting.n_readers,
        setting.load,
        setting.read_minutes,
        setting.prevalence,
        sensitivity=setting.sensitivity,
        specificity=1 - setting.sensitivity,
    )

    waits = waits_of(blind, policy)

    assert waits["diseased"] == pytest.approx(waits["healthy"])


def test_a_class_that_nobody_belongs_to_has_no_wait() -> None:
    nobody_is_ill = mean_waits(Setting(2, 0.8, 10.0, 0.0, 0.9, 1.0), FLAG)
    nobody_is_missed = mean_waits(Setting(2, 0.8, 10.0, 0.1, 1.0, 0.9), FLAG)
    all_are_flagged = mean_waits(Setting(2, 0.8, 10.0, 0.1, 1.0, 0.0), INTERRUPTING)

    assert nobody_is_ill is not None
    assert (nobody_is_ill.flagged, nobody_is_ill.diseased, nobody_is_ill.missed) == (None, None, None)
    assert nobody_is_ill.healthy == pytest.approx(17.7778, abs=0.00005)
    assert nobody_is_missed is not None
    assert nobody_is_missed.missed is None
    assert all_are_flagged is not None
    assert all_are_flagged.unflagged is None
    assert all_are_flagged.flagged == pytest.approx(17.7778, abs=0.00005)


def test_graded_orders_have_no_closed_form() -> None:
    setting = Setting(2, 0.8, 10.0, 0.1, 0.9, 0.9)

    assert mean_waits(setting, QueuePolicy.PROBABILITY) is None
    assert mean_waits(setting, QueuePolicy.DUE_AT) is None


def test_with_an_auc_the_flags_specificity_follows_from_the_curve() -> None:
    # d' = sqrt 2 * 1.6449 = 2.3262; threshold 2.3262 - 1.2816 = 1.0446; Phi(1.0446) = .8519.
    setting = Setting(2, 0.8, 10.0, 0.1, sensitivity=0.9, specificity=0.5, auc=0.95)

    assert setting.flag_specificity == pytest.approx(0.8519, abs=0.0001)


@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.0, 1.0), (1.0, 0.0)])
def test_a_graded_score_may_flag_none_or_all(sensitivity: float, specificity: float) -> None:
    assert Setting(2, 0.8, 10.0, 0.1, sensitivity, 0.5, auc=0.95).flag_specificity == specificity


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"load": 1.0}, "load is 1, expected more than 0 and less than 1"),
        ({"load": 0.0}, "load is 0"),
        ({"load": float("nan")}, "load is nan"),
        ({"n_readers": 0}, "readers is 0, expected 1 to 1000"),
        ({"read_minutes": 0.0}, "read-minutes is 0, expected a positive time"),
        ({"read_minutes": float("inf")}, "read-minutes is inf"),
        ({"prevalence": 1.1}, "prevalence is 1.1, expected 0 to 1"),
        ({"sensitivity": -0.1}, "sensitivity is -0.1"),
        ({"specificity": float("nan")}, "specificity is nan"),
        ({"auc": 1.0}, "auc is 1, expected 0.5 to less than 1"),
        ({"auc": 0.4}, "auc is 0.4"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_a_sentence(changed: dict[str, float], message: str) -> None:
    figures: dict[str, float] = {
        "n_readers": 2,
        "load": 0.8,
        "read_minutes": 10.0,
        "prevalence": 0.1,
        "sensitivity": 0.9,
        "specificity": 0.9,
    }
    with pytest.raises(ValueError, match=message):
        Setting(**{**figures, **changed})  # type: ignore[arg-type]  # n_readers travels as a float


def test_mean_waits_of_no_policy_are_negative() -> None:
    assert all(
        value is None or value >= 0
        for policy in (FIFO, FLAG, INTERRUPTING)
        for waits in [mean_waits(Setting(1, 0.01, 1.0, 0.5, 1.0, 1.0), policy)]
        if isinstance(waits, MeanWaits)
        for value in (waits.flagged, waits.unflagged, waits.diseased, waits.healthy, waits.missed)
    )
