"""The order in which waiting studies are read, as arithmetic on arrays.

Every class of a model has a time within which it should be read. A study's *allowance* is the
probability-weighted geometric mean of those times, and the study is due an allowance after it was
received. The queue is read in the order of that due time: one integer, computed when the study is scored
and never again as the clock runs, since all that wait lose time at the same rate.
"""

import numpy as np
from numpy.typing import NDArray

MICROSECONDS_PER_MINUTE = 60_000_000


def allowance_minutes(
    probabilities: NDArray[np.float64], class_minutes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the time each study may wait, by what it is likely to be.

    Parameters
    ----------
    probabilities : (n_studies, n_classes) float64
        Calibrated probability of each class; every row sums to 1.
    class_minutes : (n_classes,) float64, min
        Time within which a study of each class should be read.

    Returns
    -------
    (n_studies,) float64, min
        Never less than the shortest of `class_minutes`, never more than the longest.

    Raises
    ------
    ValueError
        If the shapes disagree, a row is no distribution, or a time is not positive and finite.

    Notes
    -----
    ``log allowance = sum_c p_c log T_c``: the mean is geometric, so that the times of the classes count by
    their ratios. An arithmetic mean would let one per cent of a 24-hour class outweigh a whole 15-minute
    class; the geometric mean halves the allowance for each equal step towards the more urgent class.

    Examples
    --------
    >>> allowance_minutes(np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]), np.array([15.0, 240.0]))
    array([ 15.,  60., 240.])
    """
    _check(probabilities, class_minutes)
    allowance = np.exp(probabilities @ np.log(class_minutes))
    # exp(log(T)) may miss T by a rounding; the bounds of the docstring hold to the last bit.
    return np.clip(allowance, class_minutes.min(), class_minutes.max())


def due_at_us(
    received_at_us: NDArray[np.int64],
    allowance_minutes: NDArray[np.float64],
    doctor_minutes: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Give the moment by which each study should be read: the stored key of the queue.

    Parameters
    ----------
    received_at_us : (n_studies,) int64, us since 1970 UTC
        When the first image of the study was committed.
    allowance_minutes : (n_studies,) float64, min
        From :func:`allowance_minutes`, or the policy's time for a study without a score.
    doctor_minutes : (n_studies,) float64, min, or None
        The time of the requesting doctor's own priority, ``inf`` where none was given.

    Returns
    -------
    (n_studies,) int64, us since 1970 UTC
        ``received + min(allowance, doctor's time)``: a doctor can hasten what a model thinks harmless,
        and a model can hasten what a doctor thinks routine; neither can delay the other.

    Raises
    ------
    ValueError
        If the shapes disagree, an allowance is not positive and finite, or a doctor's time not positive.

    Examples
    --------
    >>> due_at_us(np.array([0, 0]), np.array([60.0, 60.0]), np.array([np.inf, 15.0]))
    array([3600000000,  900000000])
    """
    if received_at_us.shape != allowance_minutes.shape or received_at_us.ndim != 1:
        raise ValueError(
            f"shapes disagree: received_at_us {received_at_us.shape}, "
            f"allowance_minutes {allowance_minutes.shape}"
        )
    if not (np.isfinite(allowance_minutes) & (allowance_minutes > 0)).all():
        raise ValueError("every allowance must be positive and finite")
    allowed_minutes = allowance_minutes
    if doctor_minutes is not None:
        if doctor_minutes.shape != allowance_minutes.shape:
            raise ValueError(
                f"shapes disagree: doctor_minutes {doctor_minutes.shape}, "
                f"allowance_minutes {allowance_minutes.shape}"
            )
        if not (doctor_minutes > 0).all():
            raise ValueError("every time of a doctor's priority must be positive, inf for none")
        allowed_minutes = np.minimum(allowance_minutes, doctor_minutes)
    return received_at_us + np.rint(allowed_minutes * MICROSECONDS_PER_MINUTE).astype(np.int64)


def reading_order(
    due_at_us: NDArray[np.int64],
    received_at_us: NDArray[np.int64],
    study_ids: NDArray[np.str_] | NDArray[np.int64],
) -> NDArray[np.intp]:
    """Order studies by when they are due; equal ones by arrival, then by their id.

    It is the ``ORDER BY`` of the stored queue, here as the reference that the store is tested against.

    Parameters
    ----------
    due_at_us : (n_studies,) int64, us since 1970 UTC
        From :func:`due_at_us`.
    received_at_us : (n_studies,) int64, us since 1970 UTC
        When each study arrived.
    study_ids : (n_studies,) str or int64
        Distinct identifiers; they only settle ties.

    Returns
    -------
    (n_studies,) intp
        Row numbers, the first to be read first.

    Raises
    ------
    ValueError
        If the shapes disagree.

    Examples
    --------
    >>> reading_order(np.array([30, 10, 30]), np.array([5, 9, 4]), np.array(["a", "b", "c"]))
    array([1, 2, 0])
    """
    if not due_at_us.shape == received_at_us.shape == study_ids.shape:
        raise ValueError(
            f"shapes disagree: due_at_us {due_at_us.shape}, received_at_us {received_at_us.shape}, "
            f"study_ids {study_ids.shape}"
        )
    order: NDArray[np.intp] = np.lexsort((study_ids, received_at_us, due_at_us))
    return order


def leading_class(probabilities: NDArray[np.float64], class_minutes: NDArray[np.float64]) -> NDArray[np.intp]:
    """Give the class that shortens each study's allowance most: what the reason line names.

    Parameters
    ----------
    probabilities : (n_studies, n_classes) float64
        Calibrated probability of each class; every row sums to 1.
    class_minutes : (n_classes,) float64, min
        Time within which a study of each class should be read.

    Returns
    -------
    (n_studies,) intp
        Index of the class with the largest ``p_c log(T_longest / T_c)``; where all of them together take
        less than a quarter off the longest time, the most probable class.

    Raises
    ------
    ValueError
        As for :func:`allowance_minutes`.

    Notes
    -----
    With ``log allowance = log T_longest - sum_c p_c log(T_longest / T_c)`` each term is what its class
    takes off the longest time; the terms of the least urgent classes are nought. The quarter is ours: a
    study that is read nearly last should say what it most likely is, not what it hardly can be.

    Examples
    --------
    With 15 minutes for a haemorrhage and a day for none, ten per cent lead, five do not:

    >>> leading_class(np.array([[0.10, 0.90], [0.05, 0.95]]), np.array([15.0, 1440.0]))
    array([0, 1])
    """
    _check(probabilities, class_minutes)
    shortening = probabilities * np.log(class_minutes.max() / class_minutes)
    is_hastened = shortening.sum(axis=1) >= -np.log(0.75)
    leading: NDArray[np.intp] = np.where(is_hastened, shortening.argmax(axis=1), probabilities.argmax(axis=1))
    return leading


def _check(probabilities: NDArray[np.float64], class_minutes: NDArray[np.float64]) -> None:
    if probabilities.ndim != 2 or class_minutes.shape != probabilities.shape[1:]:
        raise ValueError(
            f"shapes disagree: probabilities {probabilities.shape}, class_minutes {class_minutes.shape}"
        )
    if not (np.isfinite(class_minutes) & (class_minutes > 0)).all():
        raise ValueError("every class's time must be positive and finite")
    # float32 logits of a large model leave sums that differ from 1 by some 1e-6.
    if not ((probabilities >= 0).all() and np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-4)):
        raise ValueError("every row of probabilities must be non-negative and sum to 1")
