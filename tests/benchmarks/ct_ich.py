"""Scores CT-ICH's studies as they would arrive, DICOM series with Hounsfield units, and says how well.

Usage: ``python -m tests.benchmarks.ct_ich MODEL [MODEL ...]``, where MODEL is a model's folder
(``models/shipped/head-ct-haemorrhage/1``), or a folder and the patients it is to score,
``runs/fold-0/1=049,050,051``. With the five models of a cross-validation, each on the patients that it did
not learn from, the figures are those of new patients; a single model is flattered by those it did.
"""

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.dicom.grouping import read_studies
from data.sources.ct_ich import HAEMORRHAGE, read_images
from data.study import LabelledImage
from models.artifact import read_artifact
from models.card import Interval
from models.evidence import key_frames
from models.measures import auc, bootstrap_interval
from models.pooling import frame_evidence, study_probabilities
from models.runtime import Session
from models.scaling import Scaling
from models.suitability import why_not
from serving.scoring.score import N_KEY_IMAGES, run_study
from tests.benchmarks.material import datasets
from tests.benchmarks.measuring import Figure, table
from tests.ct_ich_series import write_patient

N_RESAMPLES = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A patient as served.

    `evidence` and `is_bleeding` are of the slices (n_slices,), `key_slices` their numbers in the order shown,
    `probability` that of the study.
    """

    patient: str
    evidence: NDArray[np.float64]
    is_bleeding: NDArray[np.bool_]
    key_slices: tuple[int, ...]
    probability: float
    threshold: float


def main(arguments: Sequence[str]) -> int:
    """Score and print."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    images_of = patients()
    started = time.perf_counter()
    scored = [
        one for argument in arguments for one in score_patients(*_asked_for(argument, images_of), images_of)
    ]
    wall_s = time.perf_counter() - started
    n_slices = sum(one.evidence.size for one in scored)
    print(
        f"{len(scored)} patients, {n_slices} slices, "
        f"{1000 * wall_s / n_slices:.1f} ms a slice, packing included"
    )
    print(table(figures(scored)))
    return 0


def patients() -> Mapping[str, Sequence[LabelledImage]]:
    """Give each patient's slices."""
    images_of: dict[str, list[LabelledImage]] = defaultdict(list)
    for image in read_images(datasets() / "ct_ich_256"):
        images_of[image.group].append(image)
    return images_of


def score_patients(
    model: Path, names: Sequence[str], images_of: Mapping[str, Sequence[LabelledImage]]
) -> Iterator[Scored]:
    """Write each patient's series, read it back, and score it as the service does."""
    session = Session(read_artifact(model))
    card = session.artifact.card
    is_finding = np.array([spec.is_finding for spec in card.classes])
    points = {point.name: point.threshold for point in card.operating_points}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            written = write_patient(Path(folder), images_of[name])
            (study,), rejected = read_studies(written)
            assert not rejected
            assert not why_not(study, card.applies_to)
            raw = run_study(study, session)
        evidence = frame_evidence(Scaling.of(card.calibration).probabilities(raw.frame_logits), is_finding)
        pooled = study_probabilities(
            raw.frame_logits,
            pooling=card.pooling,
            scaling=Scaling.of(card.calibration),
            is_finding=is_finding,
            parameters=card.pooling_parameters,
        )
        yield Scored(
            patient=name,
            evidence=evidence,
            is_bleeding=np.array([written[frame.instance.path].label == HAEMORRHAGE for frame in raw.frames]),
            key_slices=key_frames(evidence, raw.places_mm, n=N_KEY_IMAGES),
            probability=float(pooled[is_finding].sum()),
            threshold=points[card.default_operating_point],
        )


def figures(scored: Sequence[Scored]) -> list[Figure]:
    """Give the figures with 95 % intervals, patients resampled whole."""
    slice_truth = np.concatenate([one.is_bleeding for one in scored])
    slice_scores = np.concatenate([one.evidence for one in scored])
    slice_patients = np.concatenate([np.full(one.evidence.size, one.patient) for one in scored])
    studies = np.array([one.patient for one in scored])
    truth = np.array([one.is_bleeding.any() for one in scored])
    probabilities = np.array([one.probability for one in scored])
    is_called = np.array([one.probability >= one.threshold for one in scored])
    first, among = (
        np.array([bool(one.is_bleeding[list(one.key_slices[:n])].any()) for one in scored])
        for n in (1, N_KEY_IMAGES)
    )
    return [
        _figure("slice AUC", _auc_of(slice_truth, slice_scores), slice_patients, 0.88),
        _figure("study AUC", _auc_of(truth, probabilities), studies, 0.85),
        _figure("a true slice is the first key image", _part(first[truth]), studies[truth], None),
        _figure(f"a true slice among {N_KEY_IMAGES} key images", _part(among[truth]), studies[truth], 0.90),
        _figure("sensitivity, default operating point", _part(is_called[truth]), studies[truth], None),
        _figure("specificity, default operating point", _part(~is_called[~truth]), studies[~truth], None),
    ]


def _figure(
    what: str, of_rows: Callable[[NDArray[np.intp]], float], groups: NDArray[np.str_], target: float | None
) -> Figure:
    interval: Interval = bootstrap_interval(of_rows, groups, n_resamples=N_RESAMPLES, seed=0)
    return Figure(
        what,
        f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})",
        f"n = {interval.n}",
        "-" if target is None else f">= {target:.2f}",
        None if target is None else interval.value >= target,
    )


def _auc_of(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> Callable[[NDArray[np.intp]], float]:
    return lambda rows: auc(truth[rows], scores[rows])


def _part(is_so: NDArray[np.bool_]) -> Callable[[NDArray[np.intp]], float]:
    return lambda rows: float(is_so[rows].mean())


def _asked_for(argument: str, images_of: Mapping[str, Sequence[LabelledImage]]) -> tuple[Path, Sequence[str]]:
    folder, _, names = argument.partition("=")
    chosen = names.split(",") if names else list(images_of)
    if unknown := sorted(set(chosen) - set(images_of)):
        raise SystemExit(f"CT-ICH has no patient {', '.join(unknown)}; it has {', '.join(images_of)}")
    return Path(folder), chosen


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
