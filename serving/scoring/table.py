"""Shows outcomes to people: what to read first, why, and what was rejected."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from serving.scoring.contract import Outcome
from serving.scoring.result import PURPOSE, Status

STYLE_OF_TIER = {"critical": "bold red", "urgent": "yellow", "routine": "", "low": "dim"}


def print_outcomes(outcomes: Iterable[Outcome], console: Console) -> None:
    """Print the studies in the order in which they should be read, then what was rejected.

    A study's place is its own allowance; in a queue the time it has waited counts too.
    """
    found = list(outcomes)
    listed = sorted(
        (outcome for outcome in found if outcome.score.status is not Status.REJECTED),
        key=lambda outcome: outcome.allowance_minutes,
    )
    if listed:
        console.print(_table(listed))
    rejected = [outcome for outcome in found if outcome.score.status is Status.REJECTED]
    for outcome in rejected:
        console.print(_clean(f"rejected  {outcome.reason}"), style="red", soft_wrap=True)
    n_scored = sum(outcome.score.status is Status.SCORED for outcome in found)
    console.print(
        f"{n_scored} scored, {len(listed) - n_scored} abstained, {len(rejected)} rejected; {PURPOSE}"
    )


def _table(listed: Iterable[Outcome]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, justify in (("#", "right"), ("tier", "left"), ("study", "left"), ("why", "left")):
        table.add_column(heading, justify="right" if justify == "right" else "left", overflow="fold")
    table.add_column("key image")
    table.add_column("novelty", justify="right")
    table.add_column("quality", justify="right")
    for place, outcome in enumerate(listed, start=1):
        table.add_row(
            str(place),
            Text(outcome.tier, style=STYLE_OF_TIER[outcome.tier]),
            _clean(_study_name(outcome)),
            _clean(outcome.line),
            _clean(_key_image(outcome)),
            _figure(outcome.score.novelty),
            _figure(outcome.score.quality),
        )
    return table


def _study_name(outcome: Outcome) -> str:
    paths = outcome.paths
    return paths[0] if len(paths) == 1 else f"{paths[0]} (+{len(paths) - 1:,})"


def _key_image(outcome: Outcome) -> str:
    if outcome.score.n_frames < 2 or not outcome.score.key_images:
        return ""
    first = outcome.score.key_images[0]
    return f"{first.path.name} frame {first.frame}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _clean(text: str) -> Text:
    """Show a sender's text without what would move the cursor or cannot be encoded."""
    return Text("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text))
