"""Every phrase of the pages, in English and Chinese; a missing one is an error of the type checker."""

from dataclasses import dataclass

from serving.worklist.language import Language


@dataclass(frozen=True, slots=True)
class Wording:
    """The phrases of one language; braces are filled in by name."""

    code: str
    other_code: str
    other_name: str
    worklist: str
    purpose: str
    waiting: str
    waiting_more: str
    read_at: str
    refresh: str
    empty: str
    empty_hint: str
    send: str
    files: str
    files_hint: str
    age: str
    sex: str
    sexes: dict[str, str]
    body_site: str
    skin_type: str
    question: str
    known_for: str
    durations: dict[str, str]
    change: str
    changes: dict[str, str]
    change_note: str
    priority: str
    priorities: dict[str, str]
    tiers: dict[str, str]
    states: dict[str, str]
    due_in: str
    late_by: str
    due_at: str
    received_at: str
    first_page: str
    next_page: str
    images: str
    image: str
    frames: str
    years: str
    novel: str
    back: str
    key_images: str
    no_key_images: str
    contour: str
    probabilities: str
    flagged: str
    model: str
    scored_at: str
    operating_point: str
    novelty: str
    quality: str
    all_images: str
    not_all_images: str
    patient: str
    modality: str
    policy: str
    study: str
    sent_title: str
    taken: str
    already_known: str
    rejected: str
    file: str
    problem: str
    remedy: str
    nothing_taken: str
    unread: str
    no_models: str
    scoring_paused: str
    failed_title: str
    day: str
    hour: str
    minute: str
    joint: str
    finding: str
    findings: str
    orders: str
    order_states: dict[str, str]
    order_of_another: str
    consent: str
    consents: dict[str, str]
    purposes: dict[str, str]
    held_by_exports: str
    quarantine: str
    arriving: str
    arriving_until: str
    of_expected: str
    complete: str
    late: str
    late_since_claimed: str
    late_scored: str
    late_not_scored: str
    changed: str
    reload: str
    priors: str
    no_date: str

    def duration(self, minutes: float) -> str:
        """Say a span of time in one or two units.

        Examples
        --------
        >>> wording_of(Language.ENGLISH).duration(75)
        '1 h 15 min'
        """
        whole = int(abs(minutes))
        if whole < 60:
            return self.minute.format(n=whole)
        hours, rest = divmod(whole, 60)
        if hours < 24:
            first, second = self.hour.format(n=hours), self.minute.format(n=rest)
        else:
            days, rest = divmod(hours, 24)
            first, second = self.day.format(n=days), self.hour.format(n=rest)
        return self.joint.join([first, second] if rest else [first])

    def due(self, minutes_left: float) -> str:
        """Say until when a study should be read, or by how much it is late."""
        phrase = self.due_in if minutes_left >= 0 else self.late_by
        return phrase.format(time=self.duration(minutes_left))


_ENGLISH = Wording(
    code="en",
    other_code="zh",
    other_name="中文",
    worklist="Worklist",
    purpose="For prioritisation only. It never diagnoses, hides or closes a study.",
    waiting="{n} waiting",
    waiting_more="more than {n} waiting",
    read_at="as of",
    refresh="Refresh",
    empty="Nothing waits to be read.",
    empty_hint="Send a photograph, a DICOM file or a zip archive of them.",
    send="Send images",
    files="Files",
    files_hint="Photographs, DICOM, zip archives; several at once",
    age="Age (years)",
    sex="Sex",
    sexes={"F": "female", "M": "male", "O": "other"},
    body_site="Body site",
    skin_type="Skin type (Fitzpatrick)",
    question="Clinical question",
    known_for="Known for",
    durations={
        "under-1-month": "less than 1 month",
        "1-to-6-months": "1 to 6 months",
        "6-to-12-months": "6 to 12 months",
        "1-to-5-years": "1 to 5 years",
        "over-5-years": "more than 5 years",
        "since-birth": "since birth",
    },
    change="Changed lately",
    changes={
        "grew": "has grown",
        "colour": "colour",
        "shape": "shape or border",
        "bleeding": "bleeds",
        "itch": "itches",
        "pain": "hurts",
        "ulcer": "sore or crust",
        "shrank": "has shrunk",
        "none": "no change",
    },
    change_note="Change, in words",
    priority="Priority",
    priorities={"routine": "routine", "urgent": "urgent", "stat": "STAT"},
    tiers={"critical": "Critical", "urgent": "Urgent", "routine": "Routine", "low": "Low"},
    states={
        "received": "Not scored yet",
        "scoring": "Being scored",
        "scored": "Scored",
        "abstained": "Not scored",
        "failed": "Scoring failed",
    },
    due_in="due in {time}",
    late_by="late by {time}",
    due_at="Due",
    received_at="Received",
    first_page="First page",
    next_page="Next page",
    images="{n} images",
    image="1 image",
    frames="{n} frames",
    years="{n} y",
    novel="unlike what the model knows",
    back="Back to the worklist",
    key_images="Key images",
    no_key_images="There are no key images: the study has no score.",
    contour="Show what speaks for the finding",
    probabilities="Probabilities",
    flagged="flagged",
    model="Model",
    scored_at="Scored",
    operating_point="Operating point",
    novelty="Novelty",
    quality="Image quality",
    all_images="All images",
    not_all_images="The first {shown} of {n}.",
    patient="Patient",
    modality="Modality",
    policy="Policy",
    study="Study",
    sent_title="What became of your files",
    taken="Stored and queued",
    already_known="known already",
    rejected="Not taken",
    file="File",
    problem="Problem",
    remedy="What to do",
    nothing_taken="None of the files could be taken.",
    unread="Scored without these files, whose pixels could not be read:",
    scoring_paused="Scoring is paused: {reason}. Studies are listed in the order of arrival and priority.",
    no_models="There is no model: studies are queued in the order of arrival and priority.",
    failed_title="That did not work",
    day="{n} d",
    hour="{n} h",
    minute="{n} min",
    joint=" ",
    finding="finding {n} %",
    findings="What another picture would show better",
    orders="Orders",
    order_states={
        "draft": "draft",
        "active": "active",
        "on-hold": "on hold",
        "revoked": "cancelled",
        "completed": "done",
        "entered-in-error": "entered in error",
        "unknown": "state unknown",
    },
    order_of_another="Under this accession number, but for another patient than the images say: it was not "
    "applied. Tell the site.",
    consent="Use beyond care",
    consents={
        "unknown": "Not stated: care only",
        "training": "Training of models allowed",
        "care-only": "Care only",
        "withdrawn": "Withdrawn",
    },
    purposes={"training": "training", "quality": "quality assurance", "care": "care elsewhere"},
    held_by_exports="Exports that held this study; a withdrawal does not bring them back: tell who has them.",
    quarantine="Quarantine",
    arriving="Still arriving",
    arriving_until="More images may come; the study is scored at the latest at",
    of_expected="{n} of {expected} announced images are here.",
    complete="All images are here: score now",
    late="Images that came after this study had a result: {n}, from",
    late_since_claimed="Images that came after you took this study: {n}, from",
    late_scored="The result below includes them.",
    late_not_scored="It is scored again; until then any result below is of the images before.",
    changed="Images came after you opened this page.",
    reload="Show them",
    priors="Other studies of this patient",
    no_date="no date",
)

_CHINESE = Wording(
    code="zh",
    other_code="en",
    other_name="English",
    worklist="阅片工作列表",
    purpose="仅供排序参考：不作诊断，不隐藏、不关闭任何检查。",
    waiting="{n}项待阅",
    waiting_more="超过{n}项待阅",
    read_at="截至",
    refresh="刷新",
    empty="暂无待阅检查。",
    empty_hint="请发送照片、DICOM文件或其zip压缩包。",
    send="发送图像",
    files="文件",
    files_hint="照片、DICOM、zip压缩包，可一次多选",
    age="年龄（岁）",
    sex="性别",
    sexes={"F": "女", "M": "男", "O": "其他"},
    body_site="部位",
    skin_type="皮肤类型（Fitzpatrick）",
    question="临床问题",
    known_for="病程",
    durations={
        "under-1-month": "不足1个月",
        "1-to-6-months": "1至6个月",
        "6-to-12-months": "6至12个月",
        "1-to-5-years": "1至5年",
        "over-5-years": "5年以上",
        "since-birth": "出生即有",
    },
    change="近期变化",
    changes={
        "grew": "增大",
        "colour": "颜色改变",
        "shape": "形状或边缘改变",
        "bleeding": "出血",
        "itch": "瘙痒",
        "pain": "疼痛",
        "ulcer": "破溃或结痂",
        "shrank": "缩小",
        "none": "无变化",
    },
    change_note="变化说明",
    priority="优先级",
    priorities={"routine": "常规", "urgent": "加急", "stat": "特急"},
    tiers={"critical": "危急", "urgent": "紧急", "routine": "常规", "low": "低"},
    states={
        "received": "尚未评分",
        "scoring": "正在评分",
        "scored": "已评分",
        "abstained": "未评分",
        "failed": "评分失败",
    },
    due_in="剩余{time}",
    late_by="已超时{time}",
    due_at="应阅时间",
    received_at="收到时间",
    first_page="第一页",
    next_page="下一页",
    images="{n}幅图像",
    image="1幅图像",
    frames="{n}帧",
    years="{n}岁",
    novel="与模型训练数据差异大",
    back="返回工作列表",
    key_images="关键图像",
    no_key_images="该检查尚无评分，没有关键图像。",
    contour="显示支持该发现的区域",
    probabilities="概率",
    flagged="已提示",
    model="模型",
    scored_at="评分时间",
    operating_point="工作点",
    novelty="新颖度",
    quality="图像质量",
    all_images="全部图像",
    not_all_images="显示前{shown}幅，共{n}幅。",
    patient="患者",
    modality="检查类型",
    policy="策略",
    study="检查",
    sent_title="文件处理结果",
    taken="已保存并排队",
    already_known="此前已收到",
    rejected="未接收",
    file="文件",
    problem="问题",
    remedy="处理办法",
    nothing_taken="所有文件均未能接收。",
    unread="以下文件的像素无法读取，评分时未使用：",
    scoring_paused="评分已暂停：{reason}。检查按到达时间和优先级排列。",
    no_models="没有可用模型：检查按到达时间和优先级排队。",
    failed_title="操作未成功",
    day="{n}天",
    hour="{n}小时",
    minute="{n}分钟",
    joint="",
    finding="有所见的概率{n}%",
    findings="图像质量提示",
    orders="申请单",
    order_states={
        "draft": "草稿",
        "active": "有效",
        "on-hold": "暂停",
        "revoked": "已取消",
        "completed": "已完成",
        "entered-in-error": "录入有误",
        "unknown": "状态不明",
    },
    order_of_another="检查号相同，但患者与影像中的信息不一致，未采用；请告知送检机构。",
    consent="诊疗之外的使用",
    consents={
        "unknown": "未说明：仅限诊疗",
        "training": "同意用于模型训练",
        "care-only": "仅限诊疗",
        "withdrawn": "已撤回同意",
    },
    purposes={"training": "训练", "quality": "质量管理", "care": "院外诊疗"},
    held_by_exports="含有本检查的导出；撤回同意不能收回已导出的数据，请通知持有者：",
    quarantine="隔离区",
    arriving="图像仍在传输",
    arriving_until="可能还有图像到达；最迟评分时间",
    of_expected="已收到{n}幅，预告共{expected}幅。",
    complete="图像已齐：立即评分",
    late="本检查已有结果后又收到{n}幅图像，时间",
    late_since_claimed="您领取本检查后又收到{n}幅图像，时间",
    late_scored="下方结果已包含这些图像。",
    late_not_scored="正在重新评分；在此之前，下方如有结果，均未包含这些图像。",
    changed="您打开本页后又收到图像。",
    reload="显示新图像",
    priors="该患者的其他检查",
    no_date="日期不详",
)


def wording_of(language: Language) -> Wording:
    """Give the phrases of a language."""
    match language:
        case Language.ENGLISH:
            return _ENGLISH
        case Language.CHINESE:
            return _CHINESE
