"""Shows a check's report on the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from training.check.cost import Cost
from training.check.report import N_SHOWN, CheckReport, CountRow


def show(report: CheckReport, console: Console) -> None:
    """Print the report's tables, its lists cut to ten lines each, and what must be mended."""
    if report.n_images:
        console.print(
            f"{report.recipe}: {report.n_images:,} images of {report.n_groups:,} groups", markup=False
        )
        console.print(_counts("class", report.classes, report.parts))
        for name, rows in report.attributes.items():
            console.print(_counts(name, rows, report.parts))
    _list("missing images", report.missing, console)
    _list("unreadable images", [str(one["problem"]) for one in report.unreadable], console)
    _list("pairs of one picture in two folds under two groups", [_pair(one) for one in report.leaks], console)
    _list("groups torn between folds", report.torn_groups, console)
    if report.n_alike_within_fold:
        console.print(f"{report.n_alike_within_fold} more pairs of two groups lie in one fold each")
    if report.cost is not None:
        console.print(_cost(report.cost))
        console.print(_space(report.cost))
    for sentence in report.warnings:
        console.print(f"warning: {sentence}", markup=False, soft_wrap=True)
    for sentence in report.errors:
        console.print(f"to be mended: {sentence}", markup=False, soft_wrap=True)


def _counts(title: str, rows: Sequence[CountRow], parts: Sequence[str]) -> Table:
    table = Table()
    table.add_column(title, no_wrap=True)
    for part in parts:
        table.add_column(f"{part} (groups)", justify="right")
    for row in rows:
        cells = (f"{row.images.get(part, 0):,} ({row.groups.get(part, 0):,})" for part in parts)
        table.add_row(row.name, *cells)
    return table


def _list(title: str, lines: Sequence[str], console: Console) -> None:
    if not lines:
        return
    console.print(f"{title}: {len(lines):,}")
    for line in lines[:N_SHOWN]:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    if len(lines) > N_SHOWN:
        console.print(f"  and {len(lines) - N_SHOWN:,} more; --json FILE writes them all")


def _pair(leak: object) -> str:
    assert isinstance(leak, dict)
    first, second = leak["paths"]
    how = "the same file" if leak["is_same_file"] else f"{leak['distance']} of 255 apart"
    turned = ", turned" if leak["is_turned"] else ""
    labels = "" if len(set(leak["labels"])) == 1 else f", labelled {' and '.join(leak['labels'])}"
    folds = " and ".join(f"{fold} ({part})" for fold, part in zip(leak["folds"], leak["parts"], strict=True))
    return f"{first} and {second} ({how}{turned}{labels}; folds {folds})"


def _cost(cost: Cost) -> Table:
    table = Table()
    table.add_column("expected time", no_wrap=True)
    for column in ("epochs", "steps", "a step", "validation", "together"):
        table.add_column(column, justify="right")
    for stage in cost.stages:
        table.add_row(
            f"stage at {stage.px} px",
            str(stage.epochs),
            str(stage.n_steps),
            f"{stage.step_seconds:.2f} s",
            f"{stage.validation_seconds:.0f} s",
            _time(stage.seconds),
        )
    table.add_row("decoding", "", "", "", "", _time(cost.decoding_seconds))
    runs = "" if cost.n_runs == 1 else f", {cost.n_runs} folds"
    table.add_row(f"all{runs}, if none stops early", "", "", "", "", _time(cost.seconds))
    return table


def _space(cost: Cost) -> str:
    cache, run, free = (n_bytes / 1e9 for n_bytes in (cost.cache_bytes, cost.run_bytes, cost.free_bytes))
    return f"disk: {cache:.2f} GB for the cache and {run:.2f} GB for the run; {free:.1f} GB are free"


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 120 else f"{minutes // 60} h {minutes % 60:02} min"
