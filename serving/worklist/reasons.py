"""Why a study stands where it stands: one line, in English and Chinese.

The line names what decided the due time: the class that shortens the allowance most, the requesting
doctor's priority, or why there is no score. Every wording is a field of one dataclass, made once for each
language, and every choice is matched whole, so that a missing translation is an error of the type checker
and not a hole in someone's list.
"""

from dataclasses import dataclass
from enum import StrEnum

from serving.worklist.policy import DoctorPriority, Tier


class NoScore(StrEnum):
    """Why a study has no score that could place it."""

    NOT_YET = "not-yet"
    FAILED = "failed"
    NO_MODEL = "no-model"
    NOVEL = "novel"
    POOR_QUALITY = "poor-quality"


@dataclass(frozen=True, slots=True)
class LeadingClass:
    """The class that the line names, as its model's card calls it, and its calibrated probability."""

    name_en: str
    name_zh: str
    probability: float


@dataclass(frozen=True, slots=True)
class ReasonLine:
    """One line in both languages."""

    en: str
    zh: str


def reason_line(
    cause: LeadingClass | NoScore,
    *,
    allowance_minutes: float,
    doctor: DoctorPriority,
    doctor_minutes: float,
) -> ReasonLine:
    """Say why a study should be read within the smaller of its allowance and its doctor's time.

    Examples
    --------
    >>> melanoma = LeadingClass("melanoma", "黑色素瘤", 0.62)
    >>> reason_line(
    ...     melanoma, allowance_minutes=240.0, doctor=DoctorPriority.ROUTINE, doctor_minutes=4320.0
    ... )
    ReasonLine(en='melanoma 62 %: read within 4 h', zh='黑色素瘤 62%：请在4小时内阅片')
    >>> reason_line(
    ...     NoScore.NOVEL, allowance_minutes=240.0, doctor=DoctorPriority.STAT, doctor_minutes=15.0
    ... ).en
    'STAT, image unlike those the model knows: read within 15 min'
    """
    minutes = min(allowance_minutes, doctor_minutes)
    is_doctors = doctor is not DoctorPriority.ROUTINE
    leads = is_doctors and doctor_minutes <= allowance_minutes
    return ReasonLine(
        en=_line(_ENGLISH, _cause(_ENGLISH, cause), doctor if is_doctors else None, leads, minutes),
        zh=_line(_CHINESE, _cause(_CHINESE, cause), doctor if is_doctors else None, leads, minutes),
    )


def tier_name(tier: Tier) -> ReasonLine:
    """Give the tier's name in both languages."""
    return ReasonLine(en=_ENGLISH.tiers.of(tier), zh=_CHINESE.tiers.of(tier))


@dataclass(frozen=True, slots=True)
class _TierNames:
    critical: str
    urgent: str
    routine: str
    low: str

    def of(self, tier: Tier) -> str:
        match tier:
            case Tier.CRITICAL:
                return self.critical
            case Tier.URGENT:
                return self.urgent
            case Tier.ROUTINE:
                return self.routine
            case Tier.LOW:
                return self.low


@dataclass(frozen=True, slots=True)
class _Wording:
    """Every phrase of one language; the braces are filled in by name."""

    line: str
    joint: str
    percent: str
    days: str
    hours: str
    minutes: str
    stat: str
    urgent: str
    not_yet: str
    failed: str
    no_model: str
    novel: str
    poor_quality: str
    is_chinese: bool
    tiers: _TierNames


_ENGLISH = _Wording(
    line="{cause}: read within {time}",
    joint=", ",
    percent="{name} {figure} %",
    days="{count} d",
    hours="{count} h",
    minutes="{count} min",
    stat="STAT",
    urgent="urgent by its doctor",
    not_yet="not scored yet",
    failed="scoring failed",
    no_model="no model for this study",
    novel="image unlike those the model knows",
    poor_quality="image too poor to score",
    is_chinese=False,
    tiers=_TierNames(critical="critical", urgent="urgent", routine="routine", low="low"),
)

_CHINESE = _Wording(
    line="{cause}：请在{time}内阅片",
    joint="，",
    percent="{name} {figure}%",
    days="{count}天",
    hours="{count}小时",
    minutes="{count}分钟",
    stat="医生标为特急",
    urgent="医生标为加急",
    not_yet="尚未评分",
    failed="评分失败",
    no_model="无适用模型",
    novel="图像与模型训练数据差异大",
    poor_quality="图像质量不足，无法评分",
    is_chinese=True,
    tiers=_TierNames(critical="危急", urgent="紧急", routine="常规", low="低"),
)


def _line(
    wording: _Wording, cause: str, doctor: DoctorPriority | None, doctor_leads: bool, minutes: float
) -> str:
    parts = [cause]
    if doctor is not None:
        said = wording.stat if doctor is DoctorPriority.STAT else wording.urgent
        parts = [said, cause] if doctor_leads else [cause, said]
    return wording.line.format(cause=wording.joint.join(parts), time=_time(wording, minutes))


def _cause(wording: _Wording, cause: LeadingClass | NoScore) -> str:
    match cause:
        case LeadingClass(name_en=name_en, name_zh=name_zh, probability=probability):
            name = name_zh if wording.is_chinese else name_en
            return wording.percent.format(name=name, figure=_percent(probability))
        case NoScore.NOT_YET:
            return wording.not_yet
        case NoScore.FAILED:
            return wording.failed
        case NoScore.NO_MODEL:
            return wording.no_model
        case NoScore.NOVEL:
            return wording.novel
        case NoScore.POOR_QUALITY:
            return wording.poor_quality


def _percent(probability: float) -> str:
    # A calibrated model is never certain, and a rounded 0 or 100 would say that it is.
    if probability < 0.01:
        return "<1"
    if probability > 0.99:
        return ">99"
    return f"{probability * 100:.0f}"


def _time(wording: _Wording, minutes: float) -> str:
    """Say a time in at most two units, rounded down: a reader who keeps to it is never late."""
    # exp(log(240)) may be a rounding short of 240, which is not "3 h 50 min".
    whole = max(1, int(minutes + 1e-6))
    if whole < 60:
        return wording.minutes.format(count=whole)
    joint = "" if wording.is_chinese else " "
    if whole < 6 * 60:
        hours, rest = divmod(whole // 10 * 10, 60)
        larger, smaller = wording.hours.format(count=hours), wording.minutes.format(count=rest)
    elif whole < 48 * 60:
        return wording.hours.format(count=whole // 60)
    else:
        days, rest = divmod(whole // 60, 24)
        larger, smaller = wording.days.format(count=days), wording.hours.format(count=rest)
    return f"{larger}{joint}{smaller}" if rest else larger
