"""Every phrase of the pages of the quarantine, in English and Chinese."""

from collections.abc import Mapping
from dataclasses import dataclass

from serving.worklist.language import Language


@dataclass(frozen=True, slots=True)
class QuarantineWording:
    """The phrases of one language; braces are filled in by name."""

    title: str
    hint: str
    found: str
    empty: str
    filter: str
    every: str
    reason: str
    door: str
    site: str
    state: str
    states: Mapping[str, str]
    doors: Mapping[str, str]
    reasons: Mapping[str, str]
    sender: str
    received: str
    times: str
    members: str
    size: str
    not_kept: str
    patient: str
    no_picture: str
    correct: str
    correct_hint: str
    keyword: str
    value: str
    character_set: str
    as_declared: str
    new_uid: str
    assign: str
    preview: str
    save: str
    saved: str
    read_anew: str
    before: str
    after: str
    nothing_read_anew: str
    take_in: str
    take_in_hint: str
    discard: str
    why: str
    ended: str
    back: str
    next_page: str
    failed: str


_ENGLISH = QuarantineWording(
    title="Quarantine",
    hint="What was sent and could not be taken. Nothing here is in the worklist.",
    found="{n} files",
    empty="Nothing waits here.",
    filter="Show",
    every="all",
    reason="Reason",
    door="Came by",
    site="Site",
    state="State",
    states={"held": "waits", "taken": "taken in", "discarded": "discarded"},
    doors={
        "upload": "upload",
        "resumable": "resumable upload",
        "stow": "STOW-RS",
        "c-store": "C-STORE",
        "quarantine": "quarantine",
    },
    reasons={
        "empty-file": "empty",
        "not-an-image": "no image",
        "not-dicom": "not DICOM",
        "truncated": "cut short",
        "corrupt": "damaged",
        "no-pixels": "no pixels",
        "unsupported-content": "no image to be read",
        "unsupported-encoding": "coded in an unknown way",
        "duplicate-uid": "UID of another image",
        "no-patient-id": "no Patient ID",
        "wrong-site": "another site's patient",
        "other-study": "sent to another study",
        "missing-file": "disc that lists more than came",
        "archive-bomb": "archive too large inside",
        "archive-unsafe-path": "hostile archive",
        "archive-corrupt": "damaged archive",
        "too-many-files": "too many files",
        "too-many-frames": "too many frames",
        "too-many-pixels": "too many pixels",
        "too-many-bytes": "too many bytes",
    },
    sender="Sender",
    received="Received",
    times="{n} times",
    members="{n} files of it",
    size="{n} bytes",
    not_kept="not kept: the quota is used up",
    patient="Patient",
    no_picture="There is no picture that can be shown.",
    correct="Correct",
    correct_hint="The file that came stays as it is: a corrected copy is taken in, and says what was before.",
    keyword="Attribute (keyword)",
    value="New value",
    character_set="Character set",
    as_declared="as the file says",
    new_uid="It is an image of its own: give it a new SOP Instance UID",
    assign="Assign to site",
    preview="Preview",
    save="Save corrections",
    saved="Corrections for the next try",
    read_anew="What is read otherwise",
    before="Before",
    after="After",
    nothing_read_anew="This character set reads every text as before.",
    take_in="Take in",
    take_in_hint="Takes it in as if it had just been sent, with the saved corrections.",
    discard="Discard",
    why="Why",
    ended="{state} by {who}: {why}",
    back="Back to the list",
    next_page="Next page",
    failed="That did not work",
)

_CHINESE = QuarantineWording(
    title="隔离区",
    hint="已发送但未能接收的文件；这里的文件不在阅片工作列表中。",
    found="{n}个文件",
    empty="隔离区为空。",
    filter="显示",
    every="全部",
    reason="原因",
    door="来源",
    site="站点",
    state="状态",
    states={"held": "待处理", "taken": "已接收", "discarded": "已弃用"},
    doors={
        "upload": "上传",
        "resumable": "断点续传",
        "stow": "STOW-RS",
        "c-store": "C-STORE",
        "quarantine": "隔离区",
    },
    reasons={
        "empty-file": "空文件",
        "not-an-image": "不是图像",
        "not-dicom": "不是DICOM",
        "truncated": "文件不完整",
        "corrupt": "文件损坏",
        "no-pixels": "没有像素",
        "unsupported-content": "不是可阅读的图像",
        "unsupported-encoding": "编码方式未知",
        "duplicate-uid": "UID与其他图像重复",
        "no-patient-id": "缺少患者ID",
        "wrong-site": "属于其他站点的患者",
        "other-study": "发送到了其他检查",
        "missing-file": "光盘目录所列文件不全",
        "archive-bomb": "压缩包解压后过大",
        "archive-unsafe-path": "压缩包不安全",
        "archive-corrupt": "压缩包损坏",
        "too-many-files": "文件过多",
        "too-many-frames": "帧数过多",
        "too-many-pixels": "像素过多",
        "too-many-bytes": "字节过多",
    },
    sender="发送者",
    received="收到时间",
    times="共{n}次",
    members="涉及其中{n}个文件",
    size="{n}字节",
    not_kept="未保留：配额已用完",
    patient="患者",
    no_picture="没有可显示的图像。",
    correct="更正",
    correct_hint="原文件保持不变：接收的是更正后的副本，其中注明更正前的内容。",
    keyword="属性（关键字）",
    value="新值",
    character_set="字符集",
    as_declared="按文件声明",
    new_uid="这是另一幅图像：为其生成新的SOP实例UID",
    assign="改派到站点",
    preview="预览",
    save="保存更正",
    saved="下次接收时的更正",
    read_anew="读法不同的文本",
    before="更正前",
    after="更正后",
    nothing_read_anew="按此字符集，所有文本读法不变。",
    take_in="接收",
    take_in_hint="按已保存的更正接收，如同刚刚发送。",
    discard="弃用",
    why="理由",
    ended="{who}：{state}，{why}",
    back="返回列表",
    next_page="下一页",
    failed="操作未成功",
)


def quarantine_wording_of(language: Language) -> QuarantineWording:
    """Give the phrases of a language."""
    match language:
        case Language.ENGLISH:
            return _ENGLISH
        case Language.CHINESE:
            return _CHINESE
