"""Is this picture of a kind the model was fitted on? Distance of its features from those of training.

A network is sure of itself on pictures of another kind too, so its confidence does not tell; the distance
of its feature vector from the nearest class of the training set does. Above the threshold the model
abstains, and the study keeps the place of one that was not scored.
"""

import io
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64] | NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class NoveltyModel:
    """Classes of feature vectors that share one covariance; what :func:`distance` needs.

    Attributes
    ----------
    means : (n_classes, n_features) float32
        Mean feature vector of each class.
    basis : (n_features, n_components) float32
        Orthonormal directions in which the features vary most within a class.
    scales : (n_components,) float32
        Standard deviation along each.
    residual_scale : float
        Standard deviation along every direction that the basis leaves out.
    threshold : float
        Distance above which a picture is new.
    acceptance : float
        Part of the held-out pictures that lie within the threshold.
    """

    means: NDArray[np.float32]
    basis: NDArray[np.float32]
    scales: NDArray[np.float32]
    residual_scale: float
    threshold: float
    acceptance: float

    def __post_init__(self) -> None:
        n_features, n_components = self.basis.shape if self.basis.ndim == 2 else (0, 0)
        if (
            self.means.ndim != 2
            or self.means.shape[1] != n_features
            or self.scales.shape != (n_components,)
            or not len(self.means)
        ):
            raise ValueError(
                f"shapes disagree: means {self.means.shape}, basis {self.basis.shape}, "
                f"scales {self.scales.shape}"
            )
        arrays = (self.means, self.basis, self.scales)
        if not all(np.isfinite(array).all() for array in arrays) or not (self.scales > 0).all():
            raise ValueError("means, basis and scales must be finite, and scales above 0")
        for name in ("residual_scale", "threshold", "acceptance"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number above 0")

    @cached_property
    def wide_basis(self) -> NDArray[np.float64]:
        """The basis in float64; made once, since to make it costs more than to measure a picture."""
        return self.basis.astype(np.float64)

    @cached_property
    def split_means(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Each class's mean along the basis, (n_classes, n_components), and what the basis leaves out."""
        return _split(self.means.astype(np.float64), self.wide_basis)


def fit(
    features: Floats,
    labels: NDArray[np.integer],
    *,
    acceptance: float = 0.99,
    held_out: Floats | None = None,
    n_components: int = 64,
) -> NoveltyModel:
    """Learn what feature vectors of the training set look like.

    Parameters
    ----------
    features : (n_samples, n_features) float
        Of the images the network was fitted on.
    labels : (n_samples,) integer
        Their classes.
    acceptance : float
        Part of `held_out` that is to lie within the threshold, in (0, 1].
    held_out : (n_held_out, n_features) float or None
        Features of images the network was not fitted on, of the same kind. None takes `features`:
        the threshold is then too tight, for a network knows its own training images.
    n_components : int
        Directions that get a variance of their own; fewer are taken where samples are few.

    Notes
    -----
    The distance is Mahalanobis' to the nearest class mean with a covariance that the classes share [1]_,
    shrunk as in probabilistic principal components [2]_: the leading `n_components` keep their
    variance, all others get their common mean. So the file stays small and nothing is inverted that a
    few thousand samples cannot carry.

    Measured with ImageNet features (1280) of 1,600 HAM10000 images: chest radiographs stand out with an
    AUROC of .993 and CT slices with 1.0 for 32, 64, 128 and 400 components alike. At an acceptance of .98,
    64 components call 98 % of the radiographs new and 128 call 87 %; at .99 it is 37 % and 14 %, because a
    few odd training pictures set the threshold. The relative distance (Ren et al., 2021) falls to .42.

    References
    ----------
    .. [1] K. Lee et al., "A simple unified framework for detecting out-of-distribution samples and
       adversarial attacks", NeurIPS 2018.
    .. [2] M. E. Tipping, C. M. Bishop, "Probabilistic principal component analysis", JRSS B 61 (1999).
    """
    values = np.asarray(features, np.float64)
    if values.ndim != 2 or labels.shape != (len(values),):
        raise ValueError(f"shapes disagree: features {values.shape}, labels {labels.shape}")
    if not 0 < acceptance <= 1:
        raise ValueError(f"acceptance is {acceptance}, expected more than 0 and at most 1")
    known, class_of = np.unique(labels, return_inverse=True)
    n_free = len(values) - len(known)
    if n_free < 4:
        raise ValueError(f"{len(values)} samples of {len(known)} classes are too few to learn from")
    means = np.stack([values[class_of == index].mean(axis=0) for index in range(len(known))])
    within = values - means[class_of]
    variances, directions = np.linalg.eigh(within.T @ within / n_free)
    variances, directions = variances[::-1], directions[:, ::-1]

    n_features = values.shape[1]
    n_kept = max(1, min(n_components, n_features, n_free // 4))
    floor = max(float(variances.mean()) * 1e-6, float(np.finfo(np.float32).tiny))
    left_over = variances[n_kept:]
    residual_variance = max(float(left_over.mean()) if left_over.size else 0.0, floor)
    unbounded = NoveltyModel(
        means=means.astype(np.float32),
        basis=np.ascontiguousarray(directions[:, :n_kept], np.float32),
        scales=np.sqrt(np.maximum(variances[:n_kept], floor)).astype(np.float32),
        residual_scale=float(np.sqrt(residual_variance)),
        threshold=1.0,
        acceptance=acceptance,
    )
    distances = distance(features if held_out is None else held_out, unbounded)
    threshold = float(np.quantile(distances, acceptance, method="higher"))
    return NoveltyModel(
        means=unbounded.means,
        basis=unbounded.basis,
        scales=unbounded.scales,
        residual_scale=unbounded.residual_scale,
        threshold=max(threshold, float(np.finfo(np.float32).tiny)),
        acceptance=acceptance,
    )


def distance(features: Floats, model: NoveltyModel) -> NDArray[np.float64]:
    """Measure how far feature vectors lie from the nearest class of training.

    Parameters
    ----------
    features : (n_samples, n_features) float
    model : NoveltyModel

    Returns
    -------
    (n_samples,) float64
        In within-class standard deviations, about ``sqrt(n_features)`` for a picture like training's.
        Divided by ``model.threshold`` it is the novelty score; infinite where a feature is not finite.
    """
    values = np.asarray(features, np.float64)
    if values.ndim != 2 or values.shape[1] != model.means.shape[1]:
        raise ValueError(f"features are {values.shape}, expected (n_samples, {model.means.shape[1]})")
    finite = np.isfinite(values).all(axis=1)
    nearest = np.full(len(values), np.inf)
    # Split once, not once a class: the split is linear, so that of a difference is the difference of both.
    along, left_over = _split(values[finite], model.wide_basis)
    for along_mean, left_over_mean in zip(*model.split_means, strict=True):
        # the difference itself, not that of two squares, which would lose half the digits
        inside = (along - along_mean) / model.scales
        outside = (left_over - left_over_mean) / model.residual_scale
        squared = (inside**2).sum(axis=1) + (outside**2).sum(axis=1)
        nearest[finite] = np.minimum(nearest[finite], np.sqrt(squared))
    return nearest


def _split(
    vectors: NDArray[np.float64], basis: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give each vector's coordinates along the basis, and what of it the basis leaves out."""
    along = vectors @ basis
    return along, vectors - along @ basis.T


def to_npz(model: NoveltyModel) -> bytes:
    """Write the model as an ``npz`` archive without pickles; the same model gives the same bytes."""
    content = io.BytesIO()
    np.savez(
        content,
        means=model.means,
        basis=model.basis,
        scales=model.scales,
        residual_scale=np.float64(model.residual_scale),
        threshold=np.float64(model.threshold),
        acceptance=np.float64(model.acceptance),
    )
    return content.getvalue()


def from_npz(content: bytes) -> NoveltyModel:
    """Read what :func:`to_npz` wrote.

    Raises
    ------
    ValueError
        If the archive is broken, holds objects, or its arrays do not fit together.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return NoveltyModel(
                means=arrays["means"].astype(np.float32),
                basis=arrays["basis"].astype(np.float32),
                scales=arrays["scales"].astype(np.float32),
                residual_scale=float(arrays["residual_scale"]),
                threshold=float(arrays["threshold"]),
                acceptance=float(arrays["acceptance"]),
            )
    except (KeyError, EOFError, OSError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"is not a novelty archive: {error}") from error


def save(model: NoveltyModel, path: Path) -> None:
    """Write the model to a file; :func:`load` reads it."""
    path.write_bytes(to_npz(model))


def load(path: Path) -> NoveltyModel:
    """Read a model from a file that :func:`save` wrote."""
    return from_npz(path.read_bytes())
