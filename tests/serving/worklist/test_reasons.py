"""The reason line says what decided a study's place, in both languages."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.worklist.policy import DoctorPriority, Tier, read_policy
from serving.worklist.reasons import LeadingClass, NoScore, ReasonLine, reason_line, tier_name

MELANOMA = LeadingClass("melanoma", "黑色素瘤", 0.62)
UNIT_MINUTES = {"d": 1440, "h": 60, "min": 1}


def line(
    cause: LeadingClass | NoScore,
    allowance_minutes: float,
    doctor: DoctorPriority = DoctorPriority.ROUTINE,
) -> ReasonLine:
    return reason_line(
        cause,
        allowance_minutes=allowance_minutes,
        doctor=doctor,
        doctor_minutes=read_policy().doctor_minutes[doctor],
    )


def test_a_score_is_given_with_its_class_and_probability() -> None:
    assert line(MELANOMA, 201.7) == ReasonLine(
        en="melanoma 62 %: read within 3 h 20 min", zh="黑色素瘤 62%：请在3小时20分钟内阅片"
    )


@pytest.mark.parametrize(
    ("cause", "en", "zh"),
    [
        (NoScore.NOT_YET, "not scored yet: read within 4 h", "尚未评分：请在4小时内阅片"),
        (NoScore.FAILED, "scoring failed: read within 4 h", "评分失败：请在4小时内阅片"),
        (NoScore.NO_MODEL, "no model for this study: read within 4 h", "无适用模型：请在4小时内阅片"),
        (
            NoScore.NOVEL,
            "image unlike those the model knows: read within 4 h",
            "图像与模型训练数据差异大：请在4小时内阅片",
        ),
        (
            NoScore.POOR_QUALITY,
            "image too poor to score: read within 4 h",
            "图像质量不足，无法评分：请在4小时内阅片",
        ),
    ],
)
def test_a_study_without_a_score_says_why(cause: NoScore, en: str, zh: str) -> None:
    assert line(cause, 240.0) == ReasonLine(en=en, zh=zh)


def test_a_doctor_who_decides_the_time_is_named_first() -> None:
    said = line(LeadingClass("naevus", "色素痣", 0.97), 1400.0, DoctorPriority.STAT)

    assert said.en == "STAT, naevus 97 %: read within 15 min"
    assert said.zh == "医生标为特急，色素痣 97%：请在15分钟内阅片"


def test_a_doctor_who_does_not_decide_is_named_after_the_class() -> None:
    bleed = LeadingClass("haemorrhage", "颅内出血", 0.995)

    assert (
        line(bleed, 15.4, DoctorPriority.URGENT).en
        == "haemorrhage >99 %, urgent by its doctor: read within 15 min"
    )


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (0.2, "1 min"),
        (59.9, "59 min"),
        (60.0, "1 h"),
        (239.9999999999, "4 h"),
        (359.0, "5 h 50 min"),
        (719.0, "11 h"),
        (1440.0, "24 h"),
        (2880.0, "2 d"),
        (4319.0, "2 d 23 h"),
        (4320.0, "3 d"),
    ],
)
def test_times_are_short_and_rounded_down(minutes: float, said: str) -> None:
    assert line(NoScore.NOT_YET, minutes).en.endswith(f"within {said}")


@given(st.floats(1.0, 4320.0))
def test_a_reader_who_keeps_to_the_line_is_never_late(minutes: float) -> None:
    said = line(NoScore.NOT_YET, minutes).en.partition("within ")[2]

    total = sum(int(count) * UNIT_MINUTES[unit] for count, unit in re.findall(r"(\d+) (d|h|min)", said))

    assert 0.83 * minutes - 1 <= total <= minutes + 1e-6


@pytest.mark.parametrize(
    ("probability", "said"),
    [(0.0, "<1"), (0.0099, "<1"), (0.01, "1"), (0.625, "62"), (0.99, "99"), (0.9999, ">99")],
)
def test_no_probability_reads_as_certainty(probability: float, said: str) -> None:
    cause = LeadingClass("melanoma", "黑色素瘤", probability)

    assert line(cause, 60.0).en == f"melanoma {said} %: read within 1 h"


def test_every_tier_has_a_name_in_both_languages() -> None:
    names = [tier_name(tier) for tier in Tier]

    assert [name.en for name in names] == ["critical", "urgent", "routine", "low"]
    assert [name.zh for name in names] == ["危急", "紧急", "常规", "低"]
