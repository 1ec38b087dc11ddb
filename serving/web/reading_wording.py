"""Every phrase of the forms of reading, in English and Chinese."""

from collections.abc import Mapping
from dataclasses import dataclass

from serving.errors import Problem
from serving.worklist.language import Language


@dataclass(frozen=True, slots=True)
class ReadingWording:
    """The phrases of one language; braces are filled in by name."""

    reading: str
    take: str
    take_next: str
    give_back: str
    held_by: str
    held_by_you: str
    is_read: str
    is_reopened: str
    is_blinded: str
    diagnosis: str
    diagnosis_hint: str
    diagnosis_text: str
    action: str
    actions: Mapping[str, str]
    interval_days: str
    priority: str
    what_model_said: str
    verdicts: Mapping[str, str]
    missed: str
    key_images: str
    key_image: str
    note: str
    save: str
    sign: str
    amend: str
    amendment_reason: str
    password: str
    code: str
    saved_version: str
    other_version: str
    signed_by: str
    amends: str
    problems: Mapping[Problem, str]

    def problem(self, problem: Problem) -> str | None:
        """Say what went wrong, None where the answer's own sentence is to be shown."""
        return self.problems.get(problem)


_ENGLISH = ReadingWording(
    reading="Read",
    take="Take this study",
    take_next="Take the next study",
    give_back="Give it back",
    held_by="Read by {reader} until {until}",
    held_by_you="Yours until {until}; every save keeps it for longer",
    is_read="Read and signed",
    is_reopened="It was read, and another image came since: the next read takes the place of the one before.",
    is_blinded="Two readers are at it; what others signed is shown once both are through.",
    diagnosis="Diagnosis (code)",
    diagnosis_hint="Type a word or the beginning of a code",
    diagnosis_text="Diagnosis in words",
    action="What to do",
    actions={
        "reassure": "Reassure",
        "monitor": "Monitor",
        "biopsy": "Biopsy",
        "refer-urgently": "Refer urgently",
        "repeat-image": "Repeat the image",
    },
    interval_days="again after (days)",
    priority="How urgent you find it",
    what_model_said="What the model said",
    verdicts={"accepted": "right", "modified": "not quite", "rejected": "wrong", "missed": "missed"},
    missed="What it missed",
    key_images="Key images",
    key_image="shows it",
    note="Note",
    save="Save",
    sign="Sign",
    amend="Sign an amendment",
    amendment_reason="Why it is amended",
    password="Password",  # noqa: S106 - a label
    code="or code of the second factor",
    saved_version="Draft, version {n}, saved {time}",
    other_version="The draft was saved elsewhere meanwhile (version {n}); to save again puts yours over it:",
    signed_by="{reader}, {time}",
    amends="in place of the one before: {reason}",
    problems={},
)

_CHINESE = ReadingWording(
    reading="阅片",
    take="领取此检查",
    take_next="领取下一项检查",
    give_back="退回",
    held_by="{reader}正在阅片，至{until}",
    held_by_you="由您阅片，至{until}；每次保存都会延长",
    is_read="已阅并签名",
    is_reopened="此检查已阅，其后又收到新图像：下一次阅片将取代前一次。",
    is_blinded="此检查由两位医生独立阅片，双方签名后才显示他人的结果。",
    diagnosis="诊断（编码）",
    diagnosis_hint="输入词语或编码开头",
    diagnosis_text="诊断（文字）",
    action="处理意见",
    actions={
        "reassure": "无需处理",
        "monitor": "随访",
        "biopsy": "活检",
        "refer-urgently": "紧急转诊",
        "repeat-image": "重新采集图像",
    },
    interval_days="间隔（天）",
    priority="您认为的紧急程度",
    what_model_said="模型的提示",
    verdicts={"accepted": "正确", "modified": "需修改", "rejected": "错误", "missed": "遗漏"},
    missed="模型遗漏的内容",
    key_images="关键图像",
    key_image="可见",
    note="备注",
    save="保存",
    sign="签名",
    amend="签署修订",
    amendment_reason="修订原因",
    password="密码",  # noqa: S106 - a label
    code="或第二因素验证码",
    saved_version="草稿第{n}版，保存于{time}",
    other_version="草稿已在别处保存（第{n}版）；再次保存将以您的内容取代：",
    signed_by="{reader}，{time}",
    amends="取代前一次，原因：{reason}",
    problems={
        Problem.STUDY_HELD: "此检查正由他人阅片：请领取下一项，或请主管接管。",
        Problem.STUDY_READ: "此检查已阅并签名：请领取下一项，或修订您自己的结果。",
        Problem.READ_ELSEWHERE: "该机构的检查由其他机构的医生阅片。",
        Problem.TOO_MANY_CLAIMS: "您领取的检查已达上限：请先签名或退回一项。",
        Problem.CLAIM_NEEDED: "您未领取此检查，或已不再由您阅片；草稿已保留：请（重新）领取后再签名。",
        Problem.CLAIM_EXPIRED: "领取时限已过，草稿已保留：请重新领取后再签名。",
        Problem.VERSION_STALE: "草稿已在别处保存，您的内容仍在下方：请核对后再次保存。",
        Problem.STUDY_CHANGED: "检查已有变化（新图像或新评分），草稿已保留：请重新查看后再签名。",
        Problem.READ_INCOMPLETE: "内容不完整，尚不能签名：需填处理意见和诊断（随访需填间隔，修订需填原因）。",
        Problem.CODE_UNKNOWN: "该编码不在可用编码之内：请从列表中选择，或清空编码并用文字填写诊断。",
        Problem.PROOF_NEEDED: "签名前请再次输入密码或验证码。",
        Problem.SIGN_IN_FAILED: "密码或验证码不正确。",
        Problem.INVALID_REQUEST: "有一项内容无法保存：请检查各栏。",
    },
)


def reading_wording_of(language: Language) -> ReadingWording:
    """Give the phrases of a language."""
    return _CHINESE if language is Language.CHINESE else _ENGLISH
