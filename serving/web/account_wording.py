"""Every phrase of the pages of signing in and of one's own account, in English and Chinese."""

from collections.abc import Mapping
from dataclasses import dataclass

from serving.errors import Problem
from serving.identity.caller import Role
from serving.identity.refused_sign_in import Reason, SignInRefusedError
from serving.worklist.language import Language


@dataclass(frozen=True, slots=True)
class AccountWording:
    """The phrases of one language; braces are filled in by name."""

    sign_in: str
    sign_out: str
    sign_in_by: str
    signed_out_here: str
    sign_out_there: str
    login_name: str
    login_name_hint: str
    password: str
    password_hint: str
    password_again: str
    new_password: str
    present_password: str
    forgotten: str
    second_factor: str
    second_factor_ask: str
    second_factor_hint: str
    code: str
    code_hint: str
    go_on: str
    cancel: str
    set_up: str
    set_up_text: str
    name_zh: str
    name_en: str
    name_hint: str
    make_account: str
    new_password_text: str
    set_password: str
    password_set: str
    account: str
    roles: str
    role_names: Mapping[Role, str]
    sites: str
    every_site: str
    no_sites: str
    specialties: str
    licence: str
    licence_valid: str
    licence_expired: str
    licence_none: str
    change_password: str
    password_changed: str
    factor_on: str
    factor_off: str
    factor_needed: str
    factor_set_up: str
    factor_remove: str
    factor_removed: str
    factor_app: str
    factor_scan: str
    factor_secret: str
    factor_confirm: str
    later: str
    recovery_codes: str
    recovery_text: str
    recovery_left: str
    recovery_kept: str
    sessions: str
    this_session: str
    session_seen: str
    session_since: str
    end_session: str
    end_others: str
    sessions_ended: str
    not_allowed: str
    not_allowed_text: str
    licence_needed: str
    page_old: str
    no_site: str
    signed_out_text: str
    reasons: Mapping[Reason, str]

    def refused(self, error: SignInRefusedError) -> str:
        """Say why somebody was not let in, or an account not changed."""
        minutes, seconds = divmod(error.seconds, 60)
        return self.reasons[error.reason].format(
            seconds=error.seconds, time=f"{minutes}:{seconds:02}", characters=error.characters
        )

    def problem(self, problem: Problem) -> str | None:
        """Say what keeps somebody from a page; None for what the service says itself."""
        return {
            Problem.NOT_ALLOWED: self.not_allowed_text,
            Problem.LICENCE_NEEDED: self.licence_needed,
            Problem.PAGE_TOKEN_WRONG: self.page_old,
            Problem.NO_SITE: self.no_site,
            Problem.SIGN_IN_NEEDED: self.signed_out_text,
            Problem.CREDENTIAL_REFUSED: self.signed_out_text,
        }.get(problem)


_ENGLISH = AccountWording(
    sign_in="Sign in",
    sign_out="Sign out",
    sign_in_by="Sign in by {provider}",
    signed_out_here="You are signed out here.",
    sign_out_there="Sign out of {provider} too",
    login_name="Login name",
    login_name_hint="Letters, digits, . _ - @",
    password="Password",  # noqa: S106 - a phrase, as the ones below
    password_hint="At least {n} characters. A sentence is good; no sign or digit is asked for.",  # noqa: S106
    password_again="The same password again",  # noqa: S106
    new_password="New password",  # noqa: S106
    present_password="Present password",  # noqa: S106
    forgotten="Forgotten? An operator of your hospital gives you a link for a new one.",
    second_factor="Second factor",
    second_factor_ask="Your password is right. Now the code.",
    second_factor_hint="Six digits from your app, or one of your recovery codes.",
    code="Code",
    code_hint="Six digits",
    go_on="Go on",
    cancel="Cancel",
    set_up="Set up firstread",
    set_up_text="Nobody has an account yet. This one is yours: you look after the service and lead the "
    "queue, and you give others their accounts.",
    name_zh="Name in Chinese",
    name_en="Name in Latin letters",
    name_hint="one of the two is enough",
    make_account="Make the account",
    new_password_text="Choose a new password for {name}. You are signed out everywhere.",  # noqa: S106
    set_password="Set the password",  # noqa: S106
    password_set="The password is set. Sign in with it.",  # noqa: S106
    account="Account",
    roles="Roles",
    role_names={
        Role.UPLOADER: "uploader",
        Role.READER: "reader",
        Role.SUPERVISOR: "supervisor",
        Role.OPERATOR: "operator",
        Role.AUDITOR: "auditor",
        Role.SERVICE: "service",
    },
    sites="Sites",
    every_site="every site of the network",
    no_sites="none",
    specialties="Specialties",
    licence="Licence",
    licence_valid="{number}, {issuer}; valid until {until}",
    licence_expired="{number}, {issuer}: expired on {until}. You may look, not decide.",
    licence_none="none verified. You may look, not decide.",
    change_password="Change the password",  # noqa: S106
    password_changed="The password is changed; you were signed out everywhere else.",  # noqa: S106
    factor_on="On: an app. {n} recovery codes are left.",
    factor_off="Off: the password alone lets in whoever knows it.",
    factor_needed="Your role needs a second factor before anything else.",
    factor_set_up="Set it up",
    factor_remove="Switch it off",
    factor_removed="The second factor is switched off.",
    factor_app="An app on your phone",
    factor_scan="Scan this with an app for one-time codes (TOTP), then type the code it shows.",
    factor_secret="Or type this into the app:",  # noqa: S106
    factor_confirm="Switch it on",
    later="Later",
    recovery_codes="Recovery codes",
    recovery_text="Each of these lets you in once if your phone is lost. They are shown now and never again: "
    "print them or write them down.",
    recovery_left="{n} left",
    recovery_kept="I have kept them",
    sessions="Where you are signed in",
    this_session="this browser",
    session_seen="last seen",
    session_since="since",
    end_session="Sign out there",
    end_others="Sign out everywhere else",
    sessions_ended="Signed out there: {n}.",
    not_allowed="That is not yours to see",
    not_allowed_text="Your role does not go that far. If it should, ask an operator of your hospital.",
    licence_needed="Deciding needs a verified licence that has not expired: you may look, not decide. Ask an "
    "operator to enter the renewed licence.",
    page_old="The page was old or came from elsewhere, so nothing was done. Load it anew and try again.",
    no_site="Your account belongs to no site, and what you send must. Ask an operator to name one.",
    signed_out_text="You are signed out. Sign in again; nothing of what you sent last was done.",
    reasons={
        Reason.WRONG: "The name or the password is not right.",
        Reason.BLOCKED: "Too many tries went wrong. Try again in {time} minutes.",
        Reason.BUSY: "Too many people sign in at this moment. Try again in a few seconds.",
        Reason.CODE_WRONG: "The code is not right, or not any more. Type the one that is shown now.",
        Reason.CODE_AGAIN: "This code was used already. Wait for the next one.",
        Reason.LINK_INVALID: "The link was used, has expired or was replaced. Ask for another.",
        Reason.NAME_INVALID: "A login name is 2 to 64 letters, digits, or . _ - @ without spaces.",
        Reason.NAME_MISSING: "A name by which others know you is missing.",
        Reason.PASSWORD_SHORT: "The password is too short: at least {characters} characters.",
        Reason.PASSWORD_LONG: "The password is too long: at most 256 characters.",
        Reason.PASSWORD_COMMON: "The password is one of those that are tried first. Choose a less usual one.",
        Reason.PASSWORD_PERSONAL: "The password is made of your name or this service's. Choose another.",
        Reason.PASSWORD_DIFFERS: "The two passwords differ.",
        Reason.PASSWORD_WRONG: "The present password is not right.",
        Reason.FACTOR_REQUIRED: "Your role needs a second factor: it cannot be switched off.",
    },
)

_CHINESE = AccountWording(
    sign_in="登录",
    sign_out="退出",
    sign_in_by="通过 {provider} 登录",
    signed_out_here="您已在此退出。",
    sign_out_there="同时退出 {provider}",
    login_name="登录名",
    login_name_hint="字母、数字及 . _ - @",
    password="密码",  # noqa: S106 - a phrase, as the ones below
    password_hint="至少{n}个字符。可用一句话；不要求特殊符号或数字。",  # noqa: S106
    password_again="再次输入密码",  # noqa: S106
    new_password="新密码",  # noqa: S106
    present_password="当前密码",  # noqa: S106
    forgotten="忘记密码？请本院管理员发给您重设链接。",
    second_factor="第二因素验证",
    second_factor_ask="密码正确，请输入验证码。",
    second_factor_hint="身份验证应用中的六位数字，或一个恢复码。",
    code="验证码",
    code_hint="六位数字",
    go_on="继续",
    cancel="取消",
    set_up="初次设置 firstread",
    set_up_text="尚无任何账户。这是第一个账户：由您维护本服务、主管工作列表，并为他人开设账户。",
    name_zh="中文姓名",
    name_en="拉丁字母姓名",
    name_hint="填写其中一项即可",
    make_account="创建账户",
    new_password_text="请为{name}设置新密码。您将在所有设备上退出登录。",  # noqa: S106
    set_password="设置密码",  # noqa: S106
    password_set="密码已设置，请用新密码登录。",  # noqa: S106
    account="账户",
    roles="角色",
    role_names={
        Role.UPLOADER: "上传者",
        Role.READER: "阅片医师",
        Role.SUPERVISOR: "主管",
        Role.OPERATOR: "系统管理员",
        Role.AUDITOR: "审计员",
        Role.SERVICE: "服务账号",
    },
    sites="机构",
    every_site="网络内全部机构",
    no_sites="无",
    specialties="专业",
    licence="执业证书",
    licence_valid="{number}，{issuer}；有效期至{until}",
    licence_expired="{number}，{issuer}：已于{until}到期。可以查看，不能作出阅片决定。",
    licence_none="未核验。可以查看，不能作出阅片决定。",
    change_password="修改密码",  # noqa: S106
    password_changed="密码已修改；您在其他设备上均已退出登录。",  # noqa: S106
    factor_on="已启用：身份验证应用。剩余恢复码{n}个。",
    factor_off="未启用：任何知道密码的人都能登录。",
    factor_needed="您的角色必须先启用第二因素验证。",
    factor_set_up="启用",
    factor_remove="停用",
    factor_removed="第二因素验证已停用。",
    factor_app="手机上的身份验证应用",
    factor_scan="请用支持一次性验证码（TOTP）的应用扫描此二维码，然后输入所显示的验证码。",
    factor_secret="或在应用中手动输入：",  # noqa: S106
    factor_confirm="启用",
    later="以后再说",
    recovery_codes="恢复码",
    recovery_text="手机丢失时，每个恢复码可登录一次。仅此一次显示，请打印或抄写保存。",
    recovery_left="剩余{n}个",
    recovery_kept="我已保存",
    sessions="已登录的设备",
    this_session="当前浏览器",
    session_seen="最近使用",
    session_since="登录于",
    end_session="在该设备退出",
    end_others="在其他所有设备退出",
    sessions_ended="已退出{n}处登录。",
    not_allowed="您无权查看此内容",
    not_allowed_text="您的角色没有此权限。如需使用，请联系本院系统管理员。",
    licence_needed="作出阅片决定需要已核验且未到期的执业证书：可以查看，不能决定。请管理员登记更新后的证书。",
    page_old="页面已过期或来自其他网站，未执行任何操作。请返回并刷新页面后重试。",
    no_site="您的账户不属于任何机构，无法上传。请管理员为您指定机构。",
    signed_out_text="您已退出登录。请重新登录；刚才提交的内容未被处理。",
    reasons={
        Reason.WRONG: "登录名或密码不正确。",
        Reason.BLOCKED: "尝试次数过多，请在{time}（分:秒）后重试。",
        Reason.BUSY: "此刻登录人数过多，请几秒钟后重试。",
        Reason.CODE_WRONG: "验证码不正确或已失效，请输入当前显示的验证码。",
        Reason.CODE_AGAIN: "该验证码已使用过，请等待下一个。",
        Reason.LINK_INVALID: "链接已使用、已过期或已被新链接取代，请重新索取。",
        Reason.NAME_INVALID: "登录名为2至64个字母、数字或 . _ - @，不含空格。",
        Reason.NAME_MISSING: "请填写姓名。",
        Reason.PASSWORD_SHORT: "密码过短：至少{characters}个字符。",
        Reason.PASSWORD_LONG: "密码过长：最多256个字符。",
        Reason.PASSWORD_COMMON: "该密码属于最先被尝试的常见密码，请换一个。",
        Reason.PASSWORD_PERSONAL: "密码由您的姓名或本服务名称组成，请换一个。",
        Reason.PASSWORD_DIFFERS: "两次输入的密码不一致。",
        Reason.PASSWORD_WRONG: "当前密码不正确。",
        Reason.FACTOR_REQUIRED: "您的角色必须使用第二因素验证，不能停用。",
    },
)


def account_wording_of(language: Language) -> AccountWording:
    """Give the phrases of a language."""
    match language:
        case Language.ENGLISH:
            return _ENGLISH
        case Language.CHINESE:
            return _CHINESE
