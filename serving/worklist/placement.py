"""Where a study stands in the queue: the policy and the arithmetic, applied to one study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.card import ClassSpec
from serving.store.queue import Placement
from serving.worklist.policy import DoctorPriority, Policy
from serving.worklist.ranking import allowance_minutes, due_at_us, leading_class
from serving.worklist.reasons import LeadingClass, NoScore, reason_line


@dataclass(frozen=True, slots=True)
class Placer:
    """Places studies by one policy."""

    policy: Policy

    def unscored(self, received_at_us: int, priority: str, why: NoScore = NoScore.NOT_YET) -> Placement:
        """Place a study without a score that could place it.

        Parameters
        ----------
        received_at_us : int, us since 1970 UTC
            When its first image was committed.
        priority : str
            What the requesting doctor asked for.
        why : NoScore
            Not scored yet, failed, no model, novel or poor.
        """
        return self._place(received_at_us, priority, self.policy.unscored_minutes, why)

    def scored(
        self,
        received_at_us: int,
        priority: str,
        *,
        model: str,
        classes: Sequence[ClassSpec],
        probabilities: Mapping[str, float],
    ) -> Placement:
        """Place a scored study.

        Parameters
        ----------
        received_at_us : int, us since 1970 UTC
            When its first image was committed.
        priority : str
            What the requesting doctor asked for.
        model : str
            The model's name, by which the policy names its classes.
        classes : sequence of ClassSpec
            The card's classes.
        probabilities : mapping of class key to float
            Calibrated; they sum to 1.
        """
        minutes = self.policy.class_minutes(model, classes)
        row = np.array([[probabilities[spec.key] for spec in classes]], np.float64)
        leading = classes[int(leading_class(row, minutes)[0])]
        cause = LeadingClass(leading.name_en, leading.name_zh, probabilities[leading.key])
        return self._place(received_at_us, priority, float(allowance_minutes(row, minutes)[0]), cause)

    def _place(
        self, received_at_us: int, priority: str, allowance: float, cause: LeadingClass | NoScore
    ) -> Placement:
        doctor = DoctorPriority(priority)
        doctor_minutes = self.policy.doctor_minutes[doctor]
        due = due_at_us(
            np.array([received_at_us], np.int64),
            np.array([allowance]),
            doctor_minutes=np.array([doctor_minutes]),
        )
        line = reason_line(cause, allowance_minutes=allowance, doctor=doctor, doctor_minutes=doctor_minutes)
        return Placement(
            due_at_us=int(due[0]),
            tier=self.policy.tier(min(allowance, doctor_minutes)),
            reason_en=line.en,
            reason_zh=line.zh,
            policy_version=self.policy.version,
        )
