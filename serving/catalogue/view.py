"""Shows models to people: the list, a card, and what a recalibration changed."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from models.artifact import Artifact
from models.card import Interval, ModelCard, OperatingPoint, Precision, Variants
from models.errors import ArtifactError
from models.recalibration import Performance
from serving.catalogue.local_version import Fitted
from serving.scoring.result import PURPOSE

_OF_A_VARIANT = ("macro AUC", "AUC", "sensitivity", "specificity", "accepted", "ms a picture", "MB")


def print_list(
    artifacts: Iterable[Artifact],
    in_charge: frozenset[str],
    refused: Sequence[ArtifactError],
    console: Console,
) -> None:
    """Print a line for each model, and what was refused."""
    table = _table("model", "version", "in charge", "takes", "classes", "licence")
    for artifact in artifacts:
        card = artifact.card
        table.add_row(
            card.name,
            card.version,
            "yes" if artifact.label in in_charge else "",
            " ".join(card.applies_to.modalities),
            " ".join(card.class_keys),
            card.licence,
        )
    if table.row_count:
        console.print(table)
    else:
        console.print("there are no models")
    for error in refused:
        console.print(f"refused  {error}", style="red", soft_wrap=True, markup=False)


def print_card(artifact: Artifact, *, is_in_charge: bool, console: Console) -> None:
    """Print a card for people."""
    card = artifact.card

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, highlight=False)

    say(f"{artifact.label}  {card.title_en} · {card.title_zh}", "bold")
    say(f"{PURPOSE}; {'in charge' if is_in_charge else 'not in charge'}; {card.created:%Y-%m-%d}")
    say(card.intended_use)
    rules = card.applies_to
    body_parts = f", {' '.join(rules.body_parts)}" if rules.body_parts else ""
    named = f"; when named also {' '.join(rules.when_named)}" if rules.when_named else ""
    say(f"Takes {' '.join(rules.modalities)}{body_parts}{named}. Licence: {card.licence}.")
    classes = _table("class", "name", "名称", "severity", title="Classes")
    for spec in card.classes:
        classes.add_row(spec.key, spec.name_en, spec.name_zh, spec.severity)
    console.print(classes)
    console.print(_points(card.operating_points, "Operating points", in_use=card.default_operating_point))
    say(_calibration(card))
    if card.novelty is not None:
        say(
            f"Novelty: abstains on what lies farther off than {card.novelty.acceptance:.1%} of like pictures."
        )
    if card.variants is not None:
        _print_variants(card.variants, console)
    metrics = _table("figure", "group", "value (95 % interval)", "n", "on", title="Figures")
    for metric in card.metrics:
        split = metric.split if metric.version is None else f"{metric.split} (version {metric.version})"
        metrics.add_row(metric.name, metric.group, _figure(metric.figure), str(metric.figure.n), split)
    console.print(metrics)
    if card.recalibrated_from is not None:
        maker = card.recalibrated_from
        say(f"Recalibrated from version {maker.version}, whose temperature was "
            f"{maker.calibration.temperature:.3f}.")  # fmt: skip
        console.print(_points(maker.operating_points, f"Operating points of version {maker.version}"))
    data = _table("role", "source", "licence", "split", "images", "groups", title="Data")
    for part in card.training_data:
        data.add_row(
            part.role, part.source, part.licence, part.split, f"{part.n_images:,}", f"{part.n_groups:,}"
        )
    console.print(data)
    say("Limits", "italic")
    for limit in card.limits:
        say(f"- {limit}")
    networks = ", ".join(f"{one} {artifact.variant(one)[1][:12]}" for one in artifact.precisions)
    say(f"network {networks}, recipe {card.recipe_sha256[:12]}, {artifact.folder}", "dim")


def _print_variants(variants: Variants, console: Console) -> None:
    """Print both variants of the network side by side, and which of them runs."""
    table = _table("variant", *_OF_A_VARIANT, title="In floating point and in 8-bit integers")
    for precision, figures in ((Precision.FLOAT, variants.float32), (Precision.INT8, variants.int8)):
        name = f"{precision} (on a CPU)" if precision is variants.on_cpu else str(precision)
        table.add_row(
            name,
            f"{figures.macro_auc:.4f}",
            f"{figures.auc_positive:.4f}",
            f"{figures.sensitivity:.4f}",
            f"{figures.specificity:.4f}",
            "" if figures.novelty_acceptance is None else f"{figures.novelty_acceptance:.4f}",
            f"{figures.frame_ms:.1f}",
            f"{figures.n_bytes / 1e6:.1f}",
        )
    console.print(table)
    for refusal in variants.refusals:
        console.print(f"int8 was refused: {refusal}", markup=False, highlight=False)
    console.print(f"{variants.measured_on}; {variants.timed_on}.", markup=False, highlight=False)


def print_change(fitted: Fitted, card: ModelCard, console: Console) -> None:
    """Print what the old and the new numbers give on the local studies."""
    old, result = fitted.artifact.card, fitted.result
    table = _table(
        "",
        f"version {old.version}",
        f"version {card.version}, out of fold",
        title=f"On {len(fitted.local.names):,} studies of {fitted.local.n_groups:,} groups (95 % intervals)",
    )
    table.add_row("temperature", f"{old.calibration.temperature:.3f}", f"{result.scaling.temperature:.3f}")
    offsets = old.calibration.offsets, result.scaling.offsets
    for place, key in enumerate(old.class_keys if any(offsets) else ()):
        table.add_row(f"offset of {key}", *(f"{one[place]:+.3f}" if one else "" for one in offsets))
    before, after = result.before, result.after
    table.add_row("calibration error", _figure(before.calibration_error), _figure(after.calibration_error))
    table.add_row("log loss, nats", _figure(before.loss), _figure(after.loss))
    for aim in result.aims:
        shown = [_shown(part, aim.name) for part in (before, after)]
        for place, what in enumerate(("threshold", "sensitivity", "specificity")):
            table.add_row(f"{aim.name}: {what}", shown[0][place], shown[1][place])
    for one, other in zip(before.metrics, after.metrics, strict=True):
        table.add_row(one.name.replace("_", " "), _figure(one.figure), _figure(other.figure))
    console.print(table)


def _shown(performance: Performance, name: str) -> tuple[str, str, str]:
    figures = performance.points.get(name)
    if figures is None:
        return "", "", ""
    return f"{figures.threshold:.4f}", _figure(figures.sensitivity), _figure(figures.specificity)


def _points(points: Iterable[OperatingPoint], title: str, *, in_use: str = "") -> Table:
    table = _table("point", "flags", "threshold", "sensitivity", "specificity", "chosen on", title=title)
    for point in points:
        table.add_row(
            f"{point.name} (in use)" if point.name == in_use else point.name,
            " or ".join(point.classes),
            f"{point.threshold:.4f}",
            _figure(point.sensitivity),
            _figure(point.specificity),
            point.chosen_on,
        )
    return table


def _calibration(card: ModelCard) -> str:
    fitted = card.calibration
    offsets = ", ".join(
        f"{key} {offset:+.3f}"
        for key, offset in zip(card.class_keys, fitted.offsets, strict=bool(fitted.offsets))
    )
    return (
        f"Calibration: temperature {fitted.temperature:.3f}{f', offsets {offsets}' if offsets else ''}, "
        f"n {fitted.n:,}, expected error {fitted.ece_before:.3f} before and {fitted.ece_after:.3f} after; "
        f"{fitted.fitted_on}."
    )


def _table(*headings: str, title: str | None = None) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _figure(interval: Interval) -> str:
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"
