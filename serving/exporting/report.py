"""The report of an export: every file, written or refused, and for stored studies why they left or stayed."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from serving.exporting.service import Exported
from serving.exporting.stored import Begun, StoredExports, StoredFile

Json = dict[str, object]


def report_of(results: Sequence[Exported], to: Path, fingerprint: str) -> Json:
    """Account for files."""
    return {
        "key_fingerprint": fingerprint,
        **_counts(results),
        "files": [_entry(result, to) for result in results],
    }


def report_of_stored(begun: Begun, files: Sequence[StoredFile], to: Path, exports: StoredExports) -> Json:
    """Account for the studies that were meant, and for the files of those that left."""
    return {
        "export": begun.key,
        "purpose": str(exports.purpose),
        "exported_by": exports.who.name,
        "key_fingerprint": exports.pseudonyms.fingerprint,
        **_counts([file.result for file in files]),
        "studies": [
            {
                "study": one.stored.key,
                "uid": one.stored.uid,
                "site": one.stored.site,
                "consent": one.consent,
                "exported_as": exports.pseudonyms.uid(one.stored.uid),
            }
            for one in begun.leaving
        ],
        "studies_kept": [
            {"study": one.study, "reason": one.reason, "consent": one.consent} for one in begun.kept
        ],
        "files": [
            {
                "study": file.study.stored.key,
                "instance": file.instance.sop_instance_uid,
                "sha256": file.instance.sha256,
                **_entry(file.result, to),
            }
            for file in files
        ],
    }


def write_report(report: Json, path: Path) -> str:
    """Write a report where none is, and give the SHA-256 of its bytes."""
    data = json.dumps(report, ensure_ascii=False, indent=1).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def _counts(results: Sequence[Exported]) -> Json:
    refused: dict[str, int] = {}
    for result in results:
        if result.error is not None:
            refused[result.error.reason] = refused.get(result.error.reason, 0) + 1
    return {
        "n_files": len(results),
        "n_written": sum(result.path is not None and not result.was_there for result in results),
        "n_there_already": sum(result.was_there for result in results),
        "n_masked": sum(result.n_masked > 0 for result in results),
        "n_refused": refused,
    }


def _entry(result: Exported, to: Path) -> Json:
    entry: Json = {"source": str(result.source)}
    if result.error is not None:
        return entry | {
            "refused": str(result.error.reason),
            "problem": result.error.problem,
            "remedy": result.error.remedy,
        }
    assert result.path is not None
    return entry | {"file": str(result.path.relative_to(to)), "regions_masked": result.n_masked}
