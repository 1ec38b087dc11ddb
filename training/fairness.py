"""Sums up in CARD.md whom the model serves worst: of every attribute the gap that stands out most."""

from collections.abc import Sequence

from training.groups import AttributeFigures, Gap
from training.markdown import figure, table


def widest_gap(attribute: AttributeFigures) -> Gap | None:
    """Give the gap that is largest beside what chance alone would show; None where none is known.

    Overconfidence is left aside: a gap in it costs nobody a place in the queue by itself.
    """
    gaps = [gap for gap in attribute.gaps if gap.figure != "overconfidence"]
    return max(gaps, key=lambda gap: gap.difference.value / max(gap.by_chance, 1e-9), default=None)


def section(measured: Sequence[AttributeFigures]) -> str:
    """Give the summary as Markdown."""
    if not measured:
        return (
            "## Fairness\n\n**Missing**: the set tells neither sex, age, body site nor skin tone. Whom the "
            "model serves worse is not known; measure it on local data before it is relied on."
        )
    rows = []
    for attribute in measured:
        gap = widest_gap(attribute)
        n_small = sum(any(value is None for value in group.figures.values()) for group in attribute.groups)
        small = f"{n_small} of {len(attribute.groups)}"
        if gap is None:
            rows.append((attribute.name, "too few to compare", "", "", "", small))
            continue
        stands_out = "yes" if gap.difference.value > gap.by_chance else "no"
        rows.append(
            (
                attribute.name,
                gap.figure.replace("_", " ").replace("auc", "AUC"),
                f"{gap.highest} over {gap.lowest}",
                figure(gap.difference),
                f"{gap.by_chance:.3f} ({stands_out})",
                small,
            )
        )
    head = ("by", "widest gap in", "between", "difference", "by chance (beyond it)", "groups too small")
    return (
        "## Fairness\n\nOf each attribute the gap that stands out most from what equal groups would show by "
        "chance; all figures and gaps stand under Groups. A group that is too small to be measured is not "
        f"one that is served well.\n\n{table(head, rows)}"
    )
