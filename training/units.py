"""What a recipe judges as one: an image, or a study of several.

A study is judged as it is served: the logits of its images are pooled (:mod:`models.pooling`), and the
calibration is the one under which the studies' classes, not their images', are most likely. A study is of the
most severe class that one of its images shows.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.calibration import fit_temperature, search_temperature
from models.card import Pooling, PoolingParameters, Severity
from models.evidence import key_frames
from models.measures import Floats, class_shares
from models.pooling import fit_pooling, frame_evidence, study_probabilities
from models.scaling import Scaling, fit_scaling
from training.predictions import ScoredSet
from training.recipe import Recipe

N_KEY_IMAGES = 3


@dataclass(frozen=True)
class Fit:
    """The numbers that make probabilities of logits.

    Attributes
    ----------
    scaling : Scaling
    pooling : PoolingParameters
    n : int
        So many images or studies gave the scaling.
    shares : tuple of float
        The part of each class among the units that were fitted on; empty where nothing was fitted.
    """

    scaling: Scaling = field(default_factory=Scaling)
    pooling: PoolingParameters = field(default_factory=PoolingParameters)
    n: int = 0
    shares: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Judged:
    """Images or studies with what is said of them.

    Attributes
    ----------
    probabilities : (n_units, n_classes) float64
    labels : (n_units,) int64
        Index of the true class.
    groups : (n_units,) str
        The lesion or patient.
    names : (n_units,) str
        The image, or the first of the study.
    """

    probabilities: Floats
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    names: NDArray[np.str_]


def fit_units(recipe: Recipe, scored: ScoredSet) -> Fit:
    """Fit what is said of the recipe's units to their true classes.

    Single images, and studies that are the mean of theirs, get a temperature and an offset for each class.
    Attention is fitted on images first, then on studies, where it has an offset of its own; other poolings
    have the temperature only. What a study is said to be is calibrated by it.
    """
    n_classes = len(recipe.classes)
    if recipe.unit == "image":
        shares = class_shares(scored.labels, n_classes)
        return Fit(fit_scaling(scored.logits, scored.labels), n=len(scored.labels), shares=shares)
    studies = Studies(recipe, scored)
    shares = class_shares(studies.labels, n_classes)
    if recipe.pooling is Pooling.ATTENTION:
        of_images = Scaling(fit_temperature(scored.logits, scored.labels))
        parameters = fit_pooling(
            [scored.logits[rows] for rows in studies.rows],
            studies.is_finding[studies.labels],
            is_finding=studies.is_finding,
            scaling=of_images,
        )
        return Fit(of_images, parameters, n=len(scored.labels), shares=shares)
    if recipe.pooling is Pooling.MEAN_LOGITS:
        scaling = fit_scaling(studies.mean_logits, studies.labels)
        return Fit(scaling, n=len(studies.labels), shares=shares)
    truth = np.arange(len(studies.labels)), studies.labels

    def loss(temperature: float) -> float:
        likelihood = studies.probabilities(Fit(Scaling(temperature)))[truth]
        return float(-np.log(np.maximum(likelihood, np.finfo(np.float64).tiny)).mean())

    return Fit(Scaling(search_temperature(loss)), n=len(studies.labels), shares=shares)


def judge_units(recipe: Recipe, scored: ScoredSet, fit: Fit) -> Judged:
    """Give what is said of each of the recipe's units."""
    if recipe.unit == "image":
        return judge_images(scored, fit)
    studies = Studies(recipe, scored)
    first_rows = np.array([rows[0] for rows in studies.rows])
    return Judged(
        studies.probabilities(fit), studies.labels, scored.groups[first_rows], scored.names[first_rows]
    )


def judge_images(scored: ScoredSet, fit: Fit) -> Judged:
    """Give what is said of each image by itself."""
    return Judged(fit.scaling.probabilities(scored.logits), scored.labels, scored.groups, scored.names)


def join_judged(parts: Iterable[Judged]) -> Judged:
    """Put units one after the other; there must be one part at least."""
    held = tuple(parts)
    joined = {one.name: np.concatenate([getattr(part, one.name) for part in held]) for one in fields(Judged)}
    return Judged(**joined)


@dataclass(frozen=True, eq=False)
class Studies:
    """The rows of a scored set, study by study, each in the order of its positions."""

    recipe: Recipe
    scored: ScoredSet

    @cached_property
    def rows(self) -> tuple[NDArray[np.intp], ...]:
        """The rows of each study, the studies in the order of their names."""
        order = np.lexsort((self.scored.positions, self.scored.studies))
        _, starts = np.unique(self.scored.studies[order], return_index=True)
        return tuple(np.split(order, starts[1:]))

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The class of each study: the most severe of its images', (n_studies,)."""
        severities = list(Severity)
        mildness = np.array(
            [
                severities.index(spec.severity) + len(severities) * (not spec.is_finding)
                for spec in self.recipe.classes
            ]
        )
        labels = [self.scored.labels[rows] for rows in self.rows]
        return np.array([classes[mildness[classes].argmin()] for classes in labels])

    @property
    def mean_logits(self) -> Floats:
        """Each study's logits, (n_studies, n_classes), where their mean makes the score."""
        return np.stack([self.scored.logits[rows].astype(np.float64).mean(axis=0) for rows in self.rows])

    def probabilities(self, fit: Fit) -> Floats:
        """Pool each study's images as serving does, (n_studies, n_classes)."""
        return np.stack(
            [
                study_probabilities(
                    self.scored.logits[rows],
                    pooling=self.recipe.pooling,
                    scaling=fit.scaling,
                    is_finding=self.is_finding,
                    parameters=fit.pooling,
                )
                for rows in self.rows
            ]
        )

    @cached_property
    def is_positive(self) -> tuple[NDArray[np.bool_], ...]:
        """Say of each study which of its images are of a positive class."""
        positive = [self.recipe.class_keys.index(key) for key in self.recipe.positive]
        return tuple(np.isin(self.scored.labels[rows], positive) for rows in self.rows)

    def key_image_hits(self, fit: Fit) -> NDArray[np.bool_]:
        """Say of each study whether a positive image is among its first key images, chosen as in service.

        Returns
        -------
        (n_studies, N_KEY_IMAGES) bool
            Column k: among the first k + 1.
        """
        apart_mm = self.recipe.input.neighbour_mm
        hits = np.zeros((len(self.rows), N_KEY_IMAGES), np.bool_)
        for study, rows in enumerate(self.rows):
            probabilities = fit.scaling.probabilities(self.scored.logits[rows])
            places_mm = None if apart_mm is None else self.scored.positions[rows] * apart_mm
            evidence = frame_evidence(probabilities, self.is_finding)
            chosen = list(key_frames(evidence, places_mm, n=N_KEY_IMAGES))
            is_hit = np.maximum.accumulate(self.is_positive[study][chosen])
            hits[study] = np.pad(is_hit, (0, N_KEY_IMAGES - len(is_hit)), mode="edge")
        return hits

    @property
    def is_finding(self) -> NDArray[np.bool_]:
        """Of each class, (n_classes,)."""
        return np.array([spec.is_finding for spec in self.recipe.classes])
