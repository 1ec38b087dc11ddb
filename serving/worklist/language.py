"""In which of the two languages a person is answered."""

from enum import StrEnum


class Language(StrEnum):
    """A language, by its subtag (BCP 47)."""

    ENGLISH = "en"
    CHINESE = "zh"


def choose_language(accept_language: str | None, asked: Language | None = None) -> Language:
    """Choose by what was asked for, else by the browser's ``Accept-Language``, else English.

    Examples
    --------
    >>> choose_language("fr;q=0.9, zh-CN;q=0.8, en;q=0.1")
    <Language.CHINESE: 'zh'>
    """
    if asked is not None:
        return asked
    weighted = [_weighted(part) for part in (accept_language or "").split(",")]
    known = [(weight, language) for weight, language in weighted if language is not None and weight > 0]
    return max(known, key=lambda pair: pair[0], default=(1.0, Language.ENGLISH))[1]


def _weighted(part: str) -> tuple[float, Language | None]:
    tag, _, parameter = part.strip().partition(";")
    name, _, value = parameter.strip().partition("=")
    try:
        weight = float(value) if name == "q" else 1.0
        return weight, Language(tag.strip().lower().split("-")[0])
    except ValueError:
        return 0.0, None
