"""Figures of merit of a run; those that serving measures with too are :mod:`models.measures`'."""

from models.measures import (
    Floats,
    Labels,
    accuracy,
    auc,
    auc_of_classes,
    balanced_accuracy,
    bootstrap_interval,
    confusion_matrix,
    macro_auc,
    recall_of_classes,
    roc_curve,
)

__all__ = [
    "Floats",
    "Labels",
    "accuracy",
    "auc",
    "auc_of_classes",
    "balanced_accuracy",
    "bootstrap_interval",
    "confusion_matrix",
    "macro_auc",
    "recall_of_classes",
    "roc_curve",
]
