"""What a reader types into the form of a study's page, kept as it was typed until it can be saved."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from pydantic import ValidationError
from starlette.datastructures import FormData

from serving.errors import Problem, ServiceError
from serving.reading.draft_schemas import DraftContent, Verdict
from serving.reading.read_schemas import ReadView

_VERDICT = "finding-"


@dataclass(frozen=True, slots=True)
class Written:
    """The fields of the form as text; `verdicts` by the class's key, `key_images` as UID/frame."""

    version: int | None = None
    diagnosis: str = ""
    diagnosis_text: str = ""
    action: str = ""
    interval_days: str = ""
    priority: str = ""
    note: str = ""
    missed: str = ""
    verdicts: Mapping[str, str] = field(default_factory=dict)
    key_images: tuple[str, ...] = ()
    amendment_reason: str = ""

    @classmethod
    def of(cls, draft: ReadView | None) -> Self:
        """Give the form of a draft, or an empty one."""
        if draft is None:
            return cls()
        coded = draft.diagnosis
        said = [one for one in draft.findings if one.key is not None]
        missed = [one.comment for one in draft.findings if one.key is None]
        return cls(
            version=draft.version,
            diagnosis="" if coded is None else f"{coded.scheme} {coded.code}",
            diagnosis_text=draft.diagnosis_text or "",
            action=draft.action or "",
            interval_days="" if draft.interval_days is None else str(draft.interval_days),
            priority=draft.priority or "",
            note=draft.note,
            missed=missed[0] if missed else "",
            verdicts={str(one.key): one.verdict for one in said},
            key_images=tuple(f"{one.sop_instance_uid}/{one.frame}" for one in draft.key_images),
        )

    @classmethod
    def read(cls, form: FormData) -> Self:
        """Read a form that was sent."""
        texts = {name: value for name, value in form.multi_items() if isinstance(value, str)}
        version = texts.get("version", "")
        return cls(
            version=int(version) if version.isascii() and version.isdigit() and len(version) < 10 else None,
            diagnosis=texts.get("diagnosis", "").strip(),
            diagnosis_text=texts.get("diagnosis_text", ""),
            action=texts.get("action", ""),
            interval_days=texts.get("interval_days", "").strip(),
            priority=texts.get("priority", ""),
            note=texts.get("note", "").replace("\r\n", "\n"),
            missed=texts.get("missed", ""),
            verdicts={
                name.removeprefix(_VERDICT): value
                for name, value in texts.items()
                if name.startswith(_VERDICT) and value
            },
            key_images=tuple(
                value for name, value in form.multi_items() if name == "key_image" and isinstance(value, str)
            ),
            amendment_reason=texts.get("amendment_reason", "").strip(),
        )

    def at(self, version: int | None) -> Self:
        """Give the same text over the version that is kept by now."""
        return replace(self, version=version)

    def content(self, save_key: str | None, seen_score: int | None) -> DraftContent:
        """Give what is to be saved.

        Raises
        ------
        ServiceError
            `INVALID_REQUEST` if a field is not one that can be kept.
        """
        scheme, _, code = self.diagnosis.partition(" ")
        findings: list[dict[str, object]] = [
            {"verdict": verdict, "key": key} for key, verdict in self.verdicts.items()
        ]
        if self.missed.strip():
            findings.append({"verdict": Verdict.MISSED, "comment": self.missed})
        images = [image.rpartition("/") for image in self.key_images]
        try:
            return DraftContent.model_validate(
                {
                    "save_key": save_key,
                    "seen_score": seen_score,
                    "diagnosis": {"scheme": scheme, "code": code.split(" ")[0]} if self.diagnosis else None,
                    "diagnosis_text": self.diagnosis_text or None,
                    "action": self.action or None,
                    "interval_days": self.interval_days or None,
                    "priority": self.priority or None,
                    "findings": findings,
                    "key_images": [{"sop_instance_uid": uid, "frame": frame} for uid, _, frame in images],
                    "note": self.note,
                }
            )
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ServiceError(Problem.INVALID_REQUEST, f"{place}: {first['msg']}.") from error
