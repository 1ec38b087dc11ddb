"""Says in the interface's description how each address wants to be asked: by whom, and by what proof."""

from collections.abc import Mapping
from typing import Any

from serving.identity.cookies import SESSION
from serving.identity.permissions import Address, Rule

_SCHEMES: Mapping[str, Mapping[str, str]] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token of a site; what it must be good for stands with each operation.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION,
        "description": "The session of somebody who signed in (over TLS its name begins with __Host-); "
        "a change needs the header X-CSRF-Token besides.",
    },
}


def describe_proofs(document: dict[str, Any], table: Mapping[Address, Rule]) -> dict[str, Any]:
    """Add to a description of OpenAPI 3.1 which proofs and roles each operation takes."""
    document.setdefault("components", {})["securitySchemes"] = {
        name: dict(scheme) for name, scheme in _SCHEMES.items()
    }
    rules = {(method, path.replace(":path}", "}")): rule for (method, path), rule in table.items()}
    for path, operations in document.get("paths", {}).items():
        for method, operation in operations.items():
            rule = rules.get((method.upper(), path), Rule())
            operation["security"] = _security(rule)
            if not rule.is_public:
                operation["x-roles"] = sorted(str(role) for role in rule.roles)
    return document


def _security(rule: Rule) -> list[dict[str, list[str]]]:
    if rule.is_public:
        return []
    proofs: list[dict[str, list[str]]] = [{"session": []}]
    if rule.token_scope is not None:
        proofs.append({"token": [str(rule.token_scope)]})
    return proofs
