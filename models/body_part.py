"""Which part of the body a text of a DICOM header speaks of, in English and Chinese.

Body Part Examined is often left empty, or filled with a hospital's own words; then the descriptions of
series and study, which technicians see on the console, say it.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

# Codes of PS3.16 annex L by the words that name the same part. Latin words count between other signs than
# letters ("CT^HEAD_ROUTINE"), so that "forehead" is no head; Chinese has no gaps between words.
WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "HEAD": ("head", "headneck", "brain", "skull", "cranium", "cranial", "cerebral", "头", "颅", "脑"),
        "NECK": ("neck", "headneck", "cervical", "颈"),
        "CHEST": ("chest", "thorax", "thoracic", "lung", "lungs", "胸", "肺"),
        "HEART": ("heart", "cardiac", "coronary", "心脏", "冠脉", "冠状动脉"),
        "ABDOMEN": ("abdomen", "abdominal", "腹"),
        "PELVIS": ("pelvis", "pelvic", "盆腔", "骨盆"),
        "SPINE": ("spine", "lumbar", "sacrum", "脊柱", "椎"),
        "SINUS": ("sinus", "sinuses", "paranasal", "鼻"),
        "ORBIT": ("orbit", "orbits", "眼眶"),
        "FACE": ("face", "facial", "面部", "颌面"),
        "SHOULDER": ("shoulder", "肩"),
        "ELBOW": ("elbow", "肘"),
        "WRIST": ("wrist", "腕"),
        "HAND": ("hand", "手部"),
        "HIP": ("hip", "hips", "髋"),
        "KNEE": ("knee", "膝"),
        "ANKLE": ("ankle", "踝"),
        "FOOT": ("foot", "足"),
    }
)


def parts_named(text: str) -> frozenset[str]:
    """Give the codes of all parts that a text names; a text without a known word names none.

    Examples
    --------
    >>> sorted(parts_named("CT^01_HEAD_ROUTINE (Adult)")), sorted(parts_named("颅脑平扫"))
    (['HEAD'], ['HEAD'])
    >>> sorted(parts_named("Forehead")), sorted(parts_named("Head and cervical spine"))
    ([], ['HEAD', 'NECK', 'SPINE'])
    """
    lowered = text.lower()
    return frozenset(part for part, words in WORDS.items() if any(_is_in(word, lowered) for word in words))


def part_of(code: str) -> str:
    """Give the one part that a code or word stands for: ``BRAIN`` and ``Skull`` are ``HEAD``.

    Examples
    --------
    >>> part_of(" Brain"), part_of("TOE")
    ('HEAD', 'TOE')
    """
    named = parts_named(code)
    return next(iter(named)) if len(named) == 1 else code.strip().upper()


def _is_in(word: str, text: str) -> bool:
    if not word.isascii():
        return word in text
    return re.search(rf"(?<![a-z]){word}(?![a-z])", text) is not None
