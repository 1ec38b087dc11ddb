"""Where on the body a lesion is: one short vocabulary for what senders, labelled sets and DICOM call it.

A place is a *region* (the trunk) or a *site* within one (the back). Sets and senders differ in how finely
they tell: ISIC knows the head and neck only, HAM10000 the ear. Sides (left, right) are passed over.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class BodySite(StrEnum):
    """A region of the skin, or a site within one."""

    HEAD_NECK = "head_neck"
    SCALP = "scalp"
    FACE = "face"
    EAR = "ear"
    NECK = "neck"
    TRUNK = "trunk"
    CHEST = "chest"
    ABDOMEN = "abdomen"
    BACK = "back"
    UPPER_EXTREMITY = "upper_extremity"
    HAND = "hand"
    LOWER_EXTREMITY = "lower_extremity"
    FOOT = "foot"
    PALM_SOLE = "palm_sole"
    ORAL_GENITAL = "oral_genital"
    GENITAL = "genital"

    @property
    def region(self) -> "BodySite":
        """The region that a site lies in; a region is its own."""
        return _REGION_OF.get(self, self)


_REGION_OF: Mapping[BodySite, BodySite] = MappingProxyType(
    {
        BodySite.SCALP: BodySite.HEAD_NECK,
        BodySite.FACE: BodySite.HEAD_NECK,
        BodySite.EAR: BodySite.HEAD_NECK,
        BodySite.NECK: BodySite.HEAD_NECK,
        BodySite.CHEST: BodySite.TRUNK,
        BodySite.ABDOMEN: BodySite.TRUNK,
        BodySite.BACK: BodySite.TRUNK,
        BodySite.HAND: BodySite.UPPER_EXTREMITY,
        BodySite.FOOT: BodySite.LOWER_EXTREMITY,
        BodySite.GENITAL: BodySite.ORAL_GENITAL,
    }
)


@dataclass(frozen=True, slots=True)
class SiteNames:
    """What a place is called.

    Attributes
    ----------
    en, zh : str
        For people.
    words : tuple of str
        English words and phrases that mean it: those of HAM10000, ISIC and PAD-UFES-20, of Body Part
        Examined (PS3.16 annex L), and of the code meanings of CID 4029.
    signs : tuple of str
        Chinese ones.
    codes : tuple of str
        SNOMED CT: the skin's own first (PS3.16 CID 4029), then the body part's (CID 4031, CID 8134).
    """

    en: str
    zh: str
    words: tuple[str, ...]
    signs: tuple[str, ...]
    codes: tuple[str, ...] = ()


SITES: Mapping[BodySite, SiteNames] = MappingProxyType(
    {
        BodySite.HEAD_NECK: SiteNames(
            "head or neck",
            "头颈部",
            ("head/neck", "head neck", "head and neck", "head"),
            ("头颈", "面颈", "头部"),
            ("70762009", "774007", "69536005"),
        ),
        BodySite.SCALP: SiteNames(
            "scalp",
            "头皮",
            ("scalp", "vertex", "occipital", "parietal"),
            ("头皮", "头顶", "枕部"),
            ("43067004", "61719002", "79951008", "21672008", "41695006"),
        ),
        BodySite.FACE: SiteNames(
            "face",
            "面部",
            (
                *("face", "forehead", "cheek", "nose", "chin", "lip", "eyelid", "eyebrow", "temple"),
                *("temporal", "jawline", "ala nasi", "canthus", "nasolabial", "perioral", "philtrum"),
            ),
            ("面部", "脸", "前额", "额部", "颊", "鼻", "下巴", "颏", "唇", "眼睑", "眉", "颞"),
            (
                *("73897004", "68698007", "36141000", "113179006", "23747009", "88089004", "362916000"),
                *("40069000", "41310005", "16621002", "367577003", "89545001", "45206002", "60819002"),
            ),
        ),
        BodySite.EAR: SiteNames(
            "ear",
            "耳部",
            ("ear", "helix", "antihelix", "tragus", "pinna", "auricle", "concha"),
            ("耳",),
            ("1902009", "2059009", "79313003", "117590005", "28347008"),
        ),
        BodySite.NECK: SiteNames(
            "neck", "颈部", ("neck", "nuchal"), ("颈", "脖"), ("43081002", "4658004", "45048000")
        ),
        BodySite.TRUNK: SiteNames(
            "trunk",
            "躯干",
            (
                *("trunk", "torso", "anterior torso", "lateral torso", "buttock", "flank", "axilla"),
                "gluteal",
            ),
            ("躯干", "臀", "腋"),
            ("22943007", "22180002", "46862004", "76261009", "91470000"),
        ),
        BodySite.CHEST: SiteNames(
            "chest",
            "胸部",
            ("chest", "breast", "nipple", "areola", "sternal", "infraclavicular", "anterior thorax"),
            ("胸", "乳"),
            ("74160004", "244106003", "816094009", "51185008", "76752008"),
        ),
        BodySite.ABDOMEN: SiteNames(
            "abdomen",
            "腹部",
            ("abdomen", "belly", "umbilicus", "epigastric", "hypogastric"),
            ("腹", "脐"),
            ("75093004", "315003", "818981001", "818983003", "113345001"),
        ),
        BodySite.BACK: SiteNames(
            "back",
            "背部",
            ("back", "posterior torso", "lower back", "upper back", "posterior thorax", "paraspinal"),
            ("背", "腰"),
            ("66643007", "113182001", "699893008", "244111001", "77568009"),
        ),
        BodySite.UPPER_EXTREMITY: SiteNames(
            "upper extremity",
            "上肢",
            (
                *("upper extremity", "upper limb", "arm", "upper arm", "forearm", "lower arm", "elbow"),
                *("wrist", "shoulder", "uarm", "antecubital fossa"),
            ),
            ("上肢", "手臂", "上臂", "前臂", "胳膊", "肘", "腕", "肩"),
            ("371311000", "371309009", "53120007", "40983000", "14975008"),
        ),
        BodySite.HAND: SiteNames(
            "hand",
            "手部",
            ("hand", "finger", "thumb", "back of hand", "back of the hand", "fingernail", "digit of hand"),
            ("手", "手背", "指"),
            ("33712006", "281642007", "244169007", "85562004", "7569003", "76505004"),
        ),
        BodySite.LOWER_EXTREMITY: SiteNames(
            "lower extremity",
            "下肢",
            (
                *("lower extremity", "lower limb", "leg", "upper leg", "lower leg", "thigh", "calf", "shin"),
                *("knee", "ankle", "hip", "popliteal fossa"),
            ),
            ("下肢", "大腿", "小腿", "腿", "膝", "踝", "髋"),
            ("371304004", "61685007", "68367000", "30021000", "72696002"),
        ),
        BodySite.FOOT: SiteNames(
            "foot",
            "足部",
            ("foot", "toe", "heel", "dorsum of foot", "back of foot", "toenail"),
            ("足", "足背", "脚", "脚背", "趾"),
            ("60496002", "52034004", "84607009", "56459004", "29707007"),
        ),
        BodySite.PALM_SOLE: SiteNames(
            "palm or sole",
            "手掌或足底",
            (
                *("acral", "palm", "sole", "palms/soles", "palms soles", "palm of hand", "sole of foot"),
                *("sole of forefoot", "palms", "soles"),
            ),
            ("手掌", "足底", "脚底", "掌跖", "肢端"),
            ("70887009",),
        ),
        BodySite.ORAL_GENITAL: SiteNames(
            "mouth or genitals",
            "口腔或外阴",
            ("oral/genital", "oral genital", "oral", "mouth", "tongue", "oral mucosa"),
            ("口腔", "舌"),
        ),
        BodySite.GENITAL: SiteNames(
            "genitals",
            "外阴",
            ("genital", "genitals", "genitalia", "penis", "scrotum", "vulva", "labium", "glans"),
            ("外阴", "生殖器", "阴茎", "阴囊", "阴唇"),
            ("60944009", "35900000", "81992007", "73058008", "18911002", "45292006", "20233005"),
        ),
    }
)

# A longer text is an account of a disease, not a place.
_MAX_LETTERS = 80


def site_of(text: str | None) -> BodySite | None:
    """Find the place that a sender's words mean, None if they mean none that is known, or several.

    The longest phrase counts: the back of the hand is no back. Two sites of one region give the region.

    Examples
    --------
    >>> [str(site_of(text)) for text in ("Left forearm", "UPPER BACK", "back of hand", "左面颈部", "liver")]
    ['upper_extremity', 'back', 'hand', 'head_neck', 'None']
    """
    if not text or len(text) > _MAX_LETTERS:
        return None
    plain = " ".join(re.sub(r"[^\w/]+", " ", text.casefold().replace("_", " ")).split())
    found = {_SITE_OF_PHRASE[phrase] for phrase in _PHRASES.findall(plain)}
    finest = {
        site for site in found if not any(other is not site and other.region is site for other in found)
    }
    if len(finest) == 1:
        return finest.pop()
    regions = {site.region for site in finest}
    return regions.pop() if len(regions) == 1 else None


def site_of_code(value: str) -> BodySite | None:
    """Find the place with this SNOMED CT code.

    Examples
    --------
    >>> site_of_code("66643007")
    <BodySite.BACK: 'back'>
    """
    return _SITE_OF_CODE.get(value)


_SITE_OF_CODE = {code: site for site, names in SITES.items() for code in names.codes}
_SITE_OF_PHRASE = {
    phrase: site
    for site, names in SITES.items()
    for phrase in (site.replace("_", " "), names.en, names.zh, *names.words, *names.signs)
} | {f"{word}s": site for site, names in SITES.items() for word in names.words if word[-1] not in "sx"}


def _either(phrases: list[str]) -> str:
    return "|".join(re.escape(phrase) for phrase in sorted(phrases, key=len, reverse=True))


# Chinese has no spaces between words, so its signs are looked for anywhere.
_PHRASES = re.compile(
    rf"(?<![a-z])(?:{_either([phrase for phrase in _SITE_OF_PHRASE if phrase.isascii()])})(?![a-z])"
    rf"|{_either([phrase for phrase in _SITE_OF_PHRASE if not phrase.isascii()])}"
)
