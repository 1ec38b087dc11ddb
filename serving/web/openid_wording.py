"""Why somebody was not let in by the provider, said in the reader's language."""

from collections.abc import Mapping

from serving.identity.openid.terms import Fault
from serving.worklist.language import Language

_SAID: Mapping[Fault, tuple[str, str]] = {
    Fault.UNREACHABLE: (
        "The identity provider does not answer. Try again in a few minutes, or sign in by name and password.",
        "身份提供方没有响应。请几分钟后再试，或使用用户名和密码登录。",
    ),
    Fault.MISCONFIGURED: (
        "Sign-in by the identity provider is not set up right. Tell the operator.",
        "身份提供方登录设置有误。请联系管理员。",
    ),
    Fault.REFUSED: (
        "The identity provider did not sign you in. Begin anew.",
        "身份提供方未让您登录。请重新开始。",
    ),
    Fault.STATE: (
        "This sign-in was used up, took too long or was begun in another browser. Begin anew.",
        "此次登录已被使用、超时或在其他浏览器中开始。请重新开始。",
    ),
    Fault.ISSUER: (
        "The answer is not of the provider that was asked. Begin anew; if it comes again, tell the operator.",
        "应答并非来自所请求的身份提供方。请重新开始；若再次出现，请告知管理员。",
    ),
    Fault.ID_TOKEN: (
        "What the provider says cannot be verified. Begin anew; if it comes again, tell the operator.",
        "无法核实身份提供方提供的信息。请重新开始；若再次出现，请告知管理员。",
    ),
    Fault.NO_ROLE: (
        "The identity provider knows you, but you have no role here yet. Ask the operator to give you one.",
        "身份提供方认识您，但您在此尚无角色。请联系管理员分配角色。",
    ),
    Fault.DEACTIVATED: (
        "Your account is kept out. Ask the operator.",
        "您的账户已停用。请联系管理员。",
    ),
}


def fault_said(fault: Fault, language: Language) -> str:
    """Say what stands in the way."""
    english, chinese = _SAID[fault]
    return chinese if language is Language.CHINESE else english
