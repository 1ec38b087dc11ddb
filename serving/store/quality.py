"""What was found amiss with a study's pictures and series when they came in."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from data.quality.finding import Fault, Finding
from serving.store.consent import hold_study
from serving.store.tables import quality_answers, studies
from serving.store.tenancy import Scope, within
from serving.store.upserts import insert

# What only the whole series can tell.
_OF_WHOLE_SERIES = frozenset({Fault.SLICES_MISSING})


def findings_of(connection: Connection, *, scope: Scope, study_id: int) -> tuple[Finding, ...]:
    """Give what was found amiss with a study in the scope."""
    query = select(quality_answers.c.findings).where(
        within(scope, quality_answers.c.site_id), quality_answers.c.study_id == study_id
    )
    kept: list[dict[str, Any]] | None = connection.execute(query).scalar_one_or_none()
    return tuple(_finding(one) for one in kept or ())


def keep_findings(
    connection: Connection,
    found: Sequence[Finding],
    *,
    site: str,
    key: str,
    instances: frozenset[str],
    is_whole: bool,
    now_us: int,
) -> tuple[Finding, ...]:
    """Keep what was found of the images that came in, beside what was found of others before.

    Parameters
    ----------
    found : sequence of Finding
        Of these images and their series.
    site, key : str
        Whose study it is, and its key.
    instances : frozenset of str
        SOP Instance UIDs of the images that came in.
    is_whole : bool
        Whether they are all that the study has; a part of a stack says nothing of missing slices.
    now_us : int, us since 1970 UTC

    Returns
    -------
    tuple of Finding
        All that is known now.
    """
    own = Scope.of(site)
    held = hold_study(connection, scope=own, key=key)
    if held is None:
        return ()
    before = () if is_whole else findings_of(connection, scope=own, study_id=held[0])
    kept = [one for one in before if one.instance not in instances and one.fault not in _OF_WHOLE_SERIES]
    new = [one for one in found if is_whole or one.fault not in _OF_WHOLE_SERIES]
    every = tuple(dict.fromkeys([*kept, *new]))
    values = {"findings": [_plain(one) for one in every], "looked_at": now_us}
    statement = insert(connection, quality_answers).values(study_id=held[0], site_id=site, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["study_id"], set_=values))
    return every


def keep_series_findings(
    connection: Connection,
    found: Sequence[Finding],
    *,
    site: str,
    study_id: int,
    revision: int,
    n_images: int,
    now_us: int,
) -> tuple[Finding, ...]:
    """Keep what was found of all series of a whole study, in the place of what parts of them seemed to say.

    What was found of single images stays. If the study has been opened again or has more images by now,
    nothing is kept: whoever looks at it then finds more.

    Returns
    -------
    tuple of Finding
        All that is known now.
    """
    own = Scope.of(site)
    held = connection.execute(
        select(studies.c.revision, studies.c.n_images)
        .where(studies.c.site_id == site, studies.c.id == study_id)
        .with_for_update()
    ).one()
    before = findings_of(connection, scope=own, study_id=study_id)
    every = tuple(dict.fromkeys([*(one for one in before if one.instance is not None), *found]))
    if (held.revision, held.n_images) != (revision, n_images) or set(every) == set(before):
        return before
    values = {"findings": [_plain(one) for one in every], "looked_at": now_us}
    statement = insert(connection, quality_answers).values(study_id=study_id, site_id=site, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["study_id"], set_=values))
    return every


def _plain(finding: Finding) -> dict[str, object]:
    return {
        "fault": str(finding.fault),
        "measured": finding.measured,
        "limit": finding.limit,
        "instance": finding.instance,
        "series": finding.series,
    }


def _finding(kept: dict[str, Any]) -> Finding:
    return Finding(Fault(kept["fault"]), kept["measured"], kept["limit"], kept["instance"], kept["series"])
