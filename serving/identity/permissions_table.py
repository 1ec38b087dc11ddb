"""The table of permissions written down, for people: as the document in docs/ and for the terminal."""

from collections.abc import Mapping

from serving.identity.caller import Role, Stage
from serving.identity.permissions import Address, Rule

_YES, _NO = "yes", "-"

_HEAD = """# Who may do what

One row for every address of the service; what has no row is closed, and the service does not start.
Written by `firstread admin permissions --markdown`; a test tries every row with every role.

An answer is 401 if nobody knows who asks, 403 if their role does not go that far. Within an address a
caller sees the rows of their own sites alone: another site's study gives the 404 of one that is not there.
`licence`: also needs a verified licence that has not expired.
"""


def as_markdown(table: Mapping[Address, Rule]) -> str:
    """Write the table as a document."""
    roles = list(Role)
    lines = [
        _HEAD,
        "| address | everybody | " + " | ".join(roles) + " | besides |",
        "| --- " * (len(roles) + 3) + "|",
    ]
    for (method, path), rule in sorted(table.items(), key=lambda item: (item[0][1], item[0][0])):
        cells = [_YES if rule.is_public else _NO]
        cells += [_YES if rule.is_public or role in rule.roles else _NO for role in roles]
        lines.append(f"| `{method} {path}` | {' | '.join(cells)} | {_besides(rule)} |")
    return "\n".join(lines) + "\n"


def as_text(table: Mapping[Address, Rule]) -> str:
    """Write the table a row a line."""
    lines = []
    for (method, path), rule in sorted(table.items(), key=lambda item: (item[0][1], item[0][0])):
        who = "everybody" if rule.is_public else ", ".join(role for role in Role if role in rule.roles) or "-"
        besides = f" ({_besides(rule)})" if _besides(rule) else ""
        lines.append(f"{method:6} {path:70} {who}{besides}")
    return "\n".join(lines) + "\n"


def _besides(rule: Rule) -> str:
    said = ["licence"] if rule.needs_licence else []
    if Stage.SECOND_FACTOR in rule.stages:
        said.append("whose second factor is to come")
    if Stage.ENROLMENT in rule.stages:
        said.append("who must set up a second factor")
    return ", ".join(said)
