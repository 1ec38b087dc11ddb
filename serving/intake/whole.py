"""Looks over a whole study that came in parts, for what no part can tell: missing slices, above all."""

import logging
from dataclasses import dataclass

from data.errors import ImageError
from data.quality.finding import Finding
from serving.errors import ServiceError
from serving.store.database import Database
from serving.store.objects import ObjectStore
from serving.store.quality import findings_of, keep_series_findings
from serving.store.studies import find_study
from serving.store.tenancy import Scope
from serving.studies.assembly import assemble
from serving.studies.looked_over import looked_over

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WholeStudies:
    """Looks over stored studies."""

    database: Database
    objects: ObjectStore

    def look_over(self, key: str, *, scope: Scope, now_us: int) -> tuple[Finding, ...]:
        """Give what is amiss with a study as it stands now, and keep it; none of it is a block.

        Where its files cannot be read now, what was found as they came is given.
        """
        with self.database.reading() as connection:
            study = find_study(connection, scope=scope, key=key)
            if study is None:
                return ()
            known = findings_of(connection, scope=scope, study_id=study.id)
        try:
            of_series = looked_over(assemble(study, self.objects))
        except (ImageError, ServiceError) as error:
            # whoever scores it comes to the same files, and says what is wrong with them
            log.warning("a whole study could not be looked over (%s)", type(error).__name__)
            return known
        if of_series is None:
            return known
        with self.database.writing() as connection:
            return keep_series_findings(
                connection,
                of_series,
                site=study.site,
                study_id=study.id,
                revision=study.revision,
                n_images=len(study.instances),
                now_us=now_us,
            )
