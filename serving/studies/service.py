"""Finds a study with its result, and a frame of it."""

from dataclasses import dataclass

from serving.errors import Problem, ServiceError
from serving.store.database import Database
from serving.store.scores import StoredScore, newest_score
from serving.store.studies import StoredInstance, StoredStudy, find_instance, find_study
from serving.studies.rendering import Format, Picture, Renderer


@dataclass(frozen=True, slots=True)
class StudyView:
    """A study and the last score it was given."""

    study: StoredStudy
    score: StoredScore | None


@dataclass(frozen=True)
class Studies:
    """The stored studies, seen one at a time."""

    database: Database
    renderer: Renderer

    def find(self, key: str, *, site: str) -> StudyView:
        """Give a site's study.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if the site has none of that key.
        """
        with self.database.reading() as connection:
            study = find_study(connection, site=site, key=key)
            if study is None:
                raise ServiceError(Problem.NOT_FOUND, f"There is no study {key!r}.")
            return StudyView(study, newest_score(connection, site=site, study_id=study.id))

    def find_instance(self, key: str, sop_instance_uid: str, *, site: str) -> StoredInstance:
        """Give one image of a site's study.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if there is no such study or image.
        """
        with self.database.reading() as connection:
            instance = find_instance(connection, site=site, key=key, sop_instance_uid=sop_instance_uid)
        if instance is None:
            raise ServiceError(Problem.NOT_FOUND, f"The study {key!r} has no image {sop_instance_uid!r}.")
        return instance

    def render(
        self, instance: StoredInstance, frame_number: int, *, width_px: int | None, coding: Format
    ) -> Picture:
        """Give a frame as a browser shows it; see :meth:`serving.studies.rendering.Renderer.render`."""
        return self.renderer.render(instance, frame_number, width_px=width_px, format=coding)
