"""Studies to try the service with: real photographs where there are any, else synthetic ones."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data.sources import ham10000

HAM10000_FOLDER = "ham10000_256"

# How many of each diagnosis: a few that should come first among many that may wait, as in a clinic.
_N_OF_LABEL: Mapping[str, int] = {"mel": 3, "bcc": 2, "akiec": 2, "nv": 7, "bkl": 4, "df": 1, "vasc": 1}

_SEED = 2026


@dataclass(frozen=True, slots=True)
class Sample:
    """One study to send: its files, and the form's fields."""

    files: tuple[Path, ...]
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Samples:
    """Studies to send, and in words what they are."""

    studies: tuple[Sample, ...]
    description: str


def choose_samples(datasets: Path | None, scratch: Path) -> Samples:
    """Choose real photographs from `datasets`, or write synthetic studies into `scratch`.

    The same data give the same choice; a study's diagnosis is not sent along.
    """
    root = None if datasets is None else datasets / HAM10000_FOLDER
    if root is not None and (root / ham10000.TABLE).is_file():
        studies = list(_photographs(root))
        random.Random(_SEED).shuffle(studies)  # noqa: S311 - a mixed order, not a secret
        described = f"{len(studies)} real photographs of HAM10000, 3 melanomas among them ({root})"
        return Samples(tuple(studies), described)
    from data.phantoms import write_sample_studies  # noqa: PLC0415 - draws pictures, which serve never does

    paths = write_sample_studies(scratch, seed=_SEED)
    studies = [Sample(tuple(sorted(path.iterdir())) if path.is_dir() else (path,)) for path in paths]
    why = "FIRSTREAD_DATASETS is not set" if datasets is None else f"{root} does not exist"
    return Samples(tuple(studies), f"{len(studies)} synthetic studies, since {why}")


def _photographs(root: Path) -> Iterator[Sample]:
    wanted = dict(_N_OF_LABEL)
    lesions: set[str] = set()
    for image in ham10000.read_images(root):
        if not wanted.get(image.label) or image.group in lesions:
            continue
        wanted[image.label] -= 1
        lesions.add(image.group)
        context = image.context
        fields = {
            "age": "" if context.age_years is None else f"{context.age_years:g}",
            "sex": context.sex or "",
            "body_site": context.body_site or "",
        }
        yield Sample((image.path,), {name: value for name, value in fields.items() if value})
