"""Finds what a request names, and writes down who was given what before it is given."""

from collections.abc import Sequence
from dataclasses import dataclass

from data.dicom.header import has_letters_of_uid
from serving.audit.trail import AuditTrail
from serving.errors import Problem, ServiceError
from serving.identity.caller import Caller
from serving.store.audit_chain import Action, AuditEvent, Result
from serving.store.database import Database
from serving.store.dicom_images import DicomImage, find_images
from serving.store.objects import ObjectStore
from serving.store.tenancy import NETWORK
from serving.studies.rendering import Renderer


@dataclass(frozen=True, slots=True)
class Place:
    """What an address names: a study, a series of it, or an instance."""

    study_uid: str
    series_uid: str | None = None
    sop_instance_uid: str | None = None

    @property
    def path(self) -> str:
        """The address below the root of the service."""
        parts = ["studies", self.study_uid]
        parts += ["series", self.series_uid] if self.series_uid else []
        parts += ["instances", self.sop_instance_uid] if self.sop_instance_uid else []
        return "/".join(parts)


def place_of(image: DicomImage) -> Place:
    """Give the address of an image."""
    return Place(image.study.uid, image.instance.series_uid, image.instance.sop_instance_uid)


@dataclass(frozen=True)
class DicomWeb:
    """The stored studies as DICOMweb gives them."""

    database: Database
    objects: ObjectStore
    trail: AuditTrail
    renderer: Renderer

    def find(
        self, place: Place, *, caller: Caller, what: str, frames: Sequence[int] = ()
    ) -> list[DicomImage]:
        """Give the images at a place that the caller may see, which is written down first.

        Where several sites have a study of that UID, an image that more than one has is given once, that of
        the caller's own site before the others'.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if there is nothing, or nothing that the caller may see.
        """
        with self.database.reading() as connection:
            found = find_images(
                connection,
                scope=caller.scope,
                study_uid=place.study_uid,
                series_uid=place.series_uid,
                sop_instance_uid=place.sop_instance_uid,
            )
        images: dict[str, DicomImage] = {}
        for image in sorted(found, key=lambda one: one.site != caller.home_site):
            images.setdefault(image.instance.sop_instance_uid, image)
        if not images:
            self._note_refusal(place, caller=caller, what=what)
            raise ServiceError(Problem.NOT_FOUND, f"There is nothing at {place.path}.")
        self._note(place, list(images.values()), caller=caller, what=what, frames=frames)
        return list(images.values())

    def _note(
        self,
        place: Place,
        images: Sequence[DicomImage],
        *,
        caller: Caller,
        what: str,
        frames: Sequence[int],
    ) -> None:
        action = Action.VIEWED_STUDY if place.sop_instance_uid is None else Action.VIEWED_IMAGE
        for site in sorted({image.site for image in images}):
            of_site = [image for image in images if image.site == site]
            details: dict[str, object] = {"by": "dicomweb", "what": what, "images": len(of_site)}
            if place.series_uid is not None:
                details["series"] = place.series_uid
            if place.sop_instance_uid is not None:
                details |= {"image": place.sop_instance_uid, "sha256": of_site[0].instance.sha256}
            if frames:
                details["frames"] = list(frames)
            self.trail.note(
                AuditEvent(
                    action,
                    caller.who,
                    site,
                    self.trail.clock(),
                    study_uid=place.study_uid,
                    details=details,
                )
            )

    def _note_refusal(self, place: Place, *, caller: Caller, what: str) -> None:
        # what is no UID may be anything that somebody typed, a patient's name too
        uid = place.study_uid
        named = uid if has_letters_of_uid(uid) else None
        self.trail.note(
            AuditEvent(
                Action.VIEWED_STUDY,
                caller.who,
                caller.home_site or NETWORK,
                self.trail.clock(),
                result=Result.REFUSED,
                study_uid=named,
                details={"by": "dicomweb", "what": what, "reason": Problem.NOT_FOUND},
            )
        )
