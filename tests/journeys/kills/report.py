"""A campaign's table, as Markdown."""

from statistics import median

from tests.journeys.kills.campaign import Campaign

_HEAD = (
    "kill -9 of",
    "kills",
    "images acknowledged",
    "lost",
    "scored twice",
    "left unscored",
    "again scoring after: median",
    "longest",
    "requests sent again",
)


def table(campaign: Campaign) -> str:
    """Give one line a kind of kill, and one for all."""
    kinds = list(dict.fromkeys(strike.victim for strike in campaign.strikes))
    lines = [
        f"| {' | '.join(_HEAD)} |",
        f"| {' | '.join('---' for _ in _HEAD)} |",
    ]
    for kind in [*sorted(kinds), ""]:
        strikes = [one for one in campaign.strikes if not kind or one.victim == kind]
        recovered = [one.recovered_s for one in strikes if one.recovered_s is not None]
        found = campaign.reckoning
        ends = [len(found.lost), len(found.scored_twice), len(found.unscored)] if not kind else ["", "", ""]
        n_acknowledged = sum(one.n_acknowledged for one in strikes) if kind else found.counts["acknowledged"]
        cells = [
            kind or "**all**",
            len(strikes),
            n_acknowledged,
            *ends,
            f"{median(recovered):.1f} s" if recovered else "-",
            f"{max(recovered):.1f} s" if recovered else "-",
            sum(one.n_retries for one in strikes) if kind else found.counts["retries"],
        ]
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return "\n".join(lines)


def summary(campaign: Campaign) -> str:
    """Say in sentences what the table does not hold."""
    found = campaign.reckoning
    left = ", ".join(f"{n:,} {what}" for what, n in found.left_behind.items())
    why = ", ".join(f"{n:,} {what}" for what, n in found.retried_because.most_common())
    figures = (
        f"{found.counts['studies']:,} studies, {found.counts['scores']:,} scores over all revisions, "
        f"{campaign.plan.n_senders} senders, seed {campaign.plan.seed}, {campaign.seconds:,.0f} s."
    )
    lines = [
        figures,
        f"Sent again because of: {why or 'nothing'}.",
        f"Left behind: {left}.",
        f"{found.audit}.",
    ]
    return "\n".join([*lines, *(f"PROBLEM: {problem}" for problem in found.problems[:50])])
