"""Writes CARD.md, the model's card for people, with its pictures; every number comes from a file."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.calibration import reliability_curve, score_of
from models.card import ModelCard, Variants
from models.measures import auc, roc_curve
from training import (
    abstention,
    checklists,
    context_section,
    data_section,
    evidence_curves,
    failures,
    fairness,
    groups,
    making_section,
    pictures,
    use_section,
)
from training.appraisal import read_abstention, read_evidence, read_groups
from training.markdown import figure, table
from training.quantise import LIMITS, verdict
from training.recipe import Recipe
from training.run import Run, read_json
from training.saving import replacing
from training.shipping import read_shipped
from training.statement import Statement, statement_of
from training.trials import Trials, trials_of

PURPOSE = "For prioritisation only, not for diagnosis."
# Pictures of the card: file and caption, in their order.
PICTURES = {
    "learning.png": "Validation figures and training loss of each epoch",
    "roc.png": "ROC curve of the dangerous classes on the test folds, with the operating points",
    "reliability.png": "Confidence against accuracy on the test folds, before and after calibration",
    "confusion.png": "Confusion matrix of the test folds",
}

_ON_RECALL = (
    "Recall counts a class only where it is the likeliest of all. The queue does not work so: what flags a "
    "study is the summed probability at an operating point, above, and what places it are all probabilities "
    "together."
)
_ON_OFFSETS = (
    "Each class has an offset too, added to its logit: training showed rare classes more often than they "
    "come, and with these the probabilities are those of the shares below. Where classes come otherwise, "
    "`firstread models recalibrate` fits others."
)
_ON_EVEN_HANDS = (
    "'Even' is another decision: the class whose probability is largest beside its share, which gives every "
    "class equal weight, as balanced accuracy does."
)
_ABSTENTION_MISSING = (
    "**Missing**: how well it tells foreign pictures was not measured when this version was exported."
)
_OTHERS = "Other versions stand beside this one's folder; `firstread models list` says which is in charge."
_TRAINED_IT_TOO = (
    "**Measured on the network that ships, which was refitted on all folds: pictures of its own kind "
    "trained it too.**"
)


def report(card: ModelCard, recipe: Recipe, run: Run, folder: Path) -> Path:
    """Write ``CARD.md`` and its pictures into the model's folder; give the card's path.

    Raises
    ------
    training.errors.RunError
        If one of the run's files is missing.
    """
    shipped = read_shipped(recipe, run)
    history = [json.loads(line) for line in shipped.run.metrics.read_text(encoding="utf-8").splitlines()]
    counts = np.array(read_json(run.evaluation)["confusion"], dtype=np.int64)
    trials = trials_of(recipe, run)
    pictures.draw(folder / "learning.png", pictures.learning_curve(history))
    pictures.draw(folder / "confusion.png", pictures.confusion(counts, card.class_keys))
    _draw_curves(card, trials, folder)
    measured, strangers = read_groups(run), read_abstention(run)
    statement = statement_of(recipe.source.kind)
    seen_before = f"\n\n{_TRAINED_IT_TOO}" if shipped.is_refit else ""
    text = render(
        card,
        statement,
        served=[fairness.section(measured), groups.section(measured)],
        evidence=evidence_curves.section(read_evidence(run)) + seen_before,
        failed=failures.section(card, failures.find_failures(card, trials.judged)),
        data=data_section.section(card, recipe, statement, data_section.read_parts(recipe, run), measured),
        made=making_section.section(card, recipe, run),
        abstained="" if strangers is None else abstention.section(strangers) + seen_before,
    )
    path = folder / "CARD.md"
    with replacing(path) as file:
        file.write(text.encode())
    return path


def _draw_curves(card: ModelCard, trials: Trials, folder: Path) -> None:
    judged, unfitted = trials.judged, trials.judged_unfitted
    places = [card.class_keys.index(key) for key in card.operating_points[0].classes]
    is_positive = np.isin(judged.labels, places)
    scores = score_of(judged.probabilities, places)
    curve = roc_curve(is_positive, scores)
    pictures.draw(folder / "roc.png", pictures.roc(*curve, auc(is_positive, scores), card.operating_points))
    before, after = (
        reliability_curve(one.probabilities.max(axis=1), one.probabilities.argmax(axis=1) == one.labels)
        for one in (unfitted, judged)
    )
    pictures.draw(folder / "reliability.png", pictures.reliability(before, after))


def render(
    card: ModelCard,
    statement: Statement,
    *,
    served: Sequence[str],
    evidence: str,
    failed: str,
    data: str,
    made: str,
    abstained: str = "",
) -> str:
    """Give the card as Markdown.

    Parameters
    ----------
    card : ModelCard
        The machine's card.
    statement : Statement
        What the makers of its labelled set say of it.
    served : sequence of str
        Sections on whom it serves how well.
    evidence, failed, data, made : str
        Sections on its maps, its errors, its data and its making.
    abstained : str
        Figures of its novelty.
    """
    sections = [
        f"# {card.title_en} · {card.title_zh}",
        f"`{card.name}` version {card.version}, {card.created:%Y-%m-%d}. **{PURPOSE}**",
        use_section.section(card),
        "## Licence\n\n" + _licence(card),
        "## Classes\n\n" + _classes(card),
        _points(card),
        "## Figures on the test folds\n\n" + _metrics(card) + "\n\n" + _on_recall(card),
        _calibration(card),
        *served,
        context_section.section(card),
        evidence,
        _novelty(card) + (f"\n\n{abstained}" if abstained else f"\n\n{_ABSTENTION_MISSING}"),
        *([] if card.variants is None else [_variants(card.variants)]),
        failed,
        data,
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in card.limits),
        "## Curves\n\n" + "\n\n".join(f"![{caption}]({file})" for file, caption in PICTURES.items()),
        made,
        _versions(card),
        _citation(card, statement),
    ]
    headings = re.findall(r"^## (.+)$", "\n\n".join(sections), flags=re.MULTILINE)
    return "\n\n".join([*sections, checklists.section(card, statement, headings)]) + "\n"


def _licence(card: ModelCard) -> str:
    text = f"Licence of the weights: {card.licence}."
    if "-NC-" in card.licence:
        text += " They were trained on images for non-commercial use and may not be used commercially."
    text += " The code is under Apache-2.0. Of the images:\n\n" + "\n".join(
        f"- {source}: {licence}"
        for source, licence in dict.fromkeys((one.source, one.licence) for one in card.training_data)
    )
    return text


def _classes(card: ModelCard) -> str:
    return table(
        ("key", "class", "类别", "code", "severity"),
        [
            (
                f"`{spec.key}`",
                spec.name_en,
                spec.name_zh,
                f"{spec.code.scheme} {spec.code.value}",
                spec.severity,
            )
            for spec in card.classes
        ],
    )


def _points(card: ModelCard) -> str:
    first = card.operating_points[0]
    points = table(
        ("point", "threshold", "sensitivity", "specificity"),
        [
            (point.name, f"{point.threshold:.4f}", figure(point.sensitivity), figure(point.specificity))
            for point in card.operating_points
        ],
    )
    return (
        "## Operating points\n\n"
        f"A study is flagged when the summed probability of {', '.join(first.classes)} reaches the "
        f"threshold. Thresholds were chosen on {first.chosen_on} and measured "
        f"{_measured_on(first.chosen_on)} (95 % intervals, groups resampled whole).\n\n{points}"
    )


def _calibration(card: ModelCard) -> str:
    fitted = card.calibration
    text = (
        "## Calibration\n\n"
        f"Temperature {fitted.temperature:.3f}, fitted on {fitted.n} images ({fitted.fitted_on}). Expected "
        f"calibration error {_measured_on(fitted.fitted_on)}: {fitted.ece_before:.3f} before, "
        f"{fitted.ece_after:.3f} after."
    )
    if not fitted.offsets:
        return text
    shares = fitted.shares or [float("nan")] * len(fitted.offsets)
    rows = [
        (f"`{key}`", f"{offset:+.3f}", f"{share:.3f}")
        for key, offset, share in zip(card.class_keys, fitted.offsets, shares, strict=True)
    ]
    return f"{text} {_ON_OFFSETS}\n\n{table(('class', 'offset, nats', 'share'), rows)}"


def _measured_on(fitted_on: str) -> str:
    """Say on what the figures of numbers that were fitted on some rows rest."""
    if fitted_on.startswith("out of fold"):
        return "on each fold with those of the other folds"
    return "on the test folds"


def _novelty(card: ModelCard) -> str:
    if card.novelty is None:
        return "## Novelty\n\nThe model cannot tell whether a picture is of a kind it knows."
    and_looks = "" if card.novelty.method == "mahalanobis" else " or its looks (texture, tones, layout)"
    return (
        "## Novelty\n\n"
        f"A picture is marked as new, and its scores do not count, if its features{and_looks} lie further "
        f"from those of training than {100 * card.novelty.acceptance:g} % of the validation folds do."
    )


def _variants(variants: Variants) -> str:
    rows: list[tuple[str, ...]] = []
    for name, one in (("floating point", variants.float32), ("8-bit integers", variants.int8)):
        accepted = "" if one.novelty_acceptance is None else f"{one.novelty_acceptance:.4f}"
        areas = f"{one.macro_auc:.4f}", f"{one.auc_positive:.4f}"
        rates = f"{one.sensitivity:.4f}", f"{one.specificity:.4f}", accepted
        rows.append((name, *areas, *rates, f"{one.frame_ms:.1f}", f"{one.n_bytes / 1e6:.1f}"))
    headings = ("", "macro AUC", "AUC", "sensitivity", "specificity", "accepted as not new", "ms", "MB")
    maps = variants.map_correlation
    text = (
        f"{verdict(variants)}. Measured with {variants.measured_on}; timed on {variants.timed_on}. {LIMITS}"
    )
    if maps is not None:
        text += f" The maps of the two correlate with {maps:.3f} (median)."
    return f"## In floating point and in integers\n\n{text}\n\n{table(headings, rows)}"


def _versions(card: ModelCard) -> str:
    if card.recalibrated_from is not None:
        text = f"Recalibrated from version {card.recalibrated_from.version}; the network is the same."
    else:
        text = "Made anew by its recipe; its figures are its own, none are taken over from another version."
    rows = [(card.version, f"{card.created:%Y-%m-%d}", text)]
    return f"## Versions\n\n{table(('version', 'date', 'what changed'), rows)}\n\n{_OTHERS}"


def _citation(card: ModelCard, statement: Statement) -> str:
    version = f"version {card.version} ({card.created:%Y}), network {card.onnx_sha256[:12]}"
    whose = f" Name the makers of the images too: {statement.citation}." if statement.citation else ""
    return f"## How to cite\n\nfirstread, model {card.name} {version}.{whose}"


def _metrics(card: ModelCard) -> str:
    return table(
        ("figure", "value (95 % interval)", "images"),
        [
            (_name(metric.name), figure(metric.figure), str(metric.figure.n))
            for metric in card.metrics
            if metric.group == "all"
        ],
    )


def _on_recall(card: ModelCard) -> str:
    has_even = any(metric.name.endswith("balanced_accuracy_even") for metric in card.metrics)
    return f"{_ON_RECALL} {_ON_EVEN_HANDS}" if has_even else _ON_RECALL


def _name(metric: str) -> str:
    return metric.replace("_", " ").replace("auc", "AUC")
