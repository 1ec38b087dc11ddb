"""Labels for the next model out of signed reads, exported as the consent allows."""

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data.sources.manifest import read_images
from serving.cli import app
from serving.reading.codes import ValueSet
from serving.reading.labels import label_of, labels_of_reads
from serving.store.reads import Decision
from serving.store.tenancy import Scope
from tests.serving.reading.readers import reading_room
from tests.serving.reading.written import MELANOMA, NAEVUS, read, save, sign

CLASSES = {"mel": "melanoma", "nv": "melanocytic-naevus", "bkl": "benign", "df": "benign"}
CODES = ValueSet.of([])
ACCEPTED: tuple[dict[str, object], ...] = ({"key": "mel", "verdict": "accepted"},)


@pytest.mark.parametrize(
    ("decision", "label"),
    [
        (Decision("SCT", "93655004"), "mel"),
        (Decision("ICD-10", "C43.5"), "mel"),
        (Decision("ICD-10", "J18.9"), None),  # no class of the model
        (Decision(diagnosis_text="melanoma"), None),  # words are no label
        (Decision(findings=ACCEPTED), "mel"),
        (Decision("ICD-10", "J18.9", findings=ACCEPTED), None),
        (Decision(findings=(*ACCEPTED, {"key": "nv", "verdict": "accepted"})), None),
        (Decision(findings=({"key": "mel", "verdict": "rejected"},)), None),
    ],
)
def test_the_diagnosis_is_the_label_and_else_the_one_finding_that_was_accepted(
    decision: Decision, label: str | None
) -> None:
    assert label_of(decision, True, CLASSES, CODES) == label


def test_what_was_accepted_of_another_model_is_no_label() -> None:
    assert label_of(Decision(findings=ACCEPTED), False, CLASSES, CODES) is None


def test_signed_reads_leave_as_labels_of_studies_whose_patient_allows_it(tmp_path: Path) -> None:
    home, key = tmp_path / "home", tmp_path / "key"
    home.mkdir()
    key.write_text("0123456789abcdef" * 4)
    with reading_room(home) as room:
        (home / "firstread.sqlite").symlink_to(home / "test.sqlite")
        ann = room.reader("ann")
        sent = {red: room.send(red, consent="training") for red in (10, 120, 250)}
        kept = room.send(60)
        read(ann, sent[10], diagnosis=NAEVUS, action="reassure")
        read(ann, sent[250], diagnosis=NAEVUS, action="reassure")
        save(ann, sent[250], diagnosis=MELANOMA)
        assert sign(ann, sent[250], amendment_reason="pathology").status_code == 200
        read(ann, kept)
        save(ann, sent[120])  # nobody has signed anything of it
        classes = ValueSet([*ValueSet.of([]).search("", limit=999)], {("derm-lesion", "mel"): "melanoma"})
        found = [
            set(labels_of_reads(room.service.database, "derm-lesion", classes, scope=scope))
            for scope in (Scope(None), Scope.of("local"), Scope.of("north"), Scope.of())
        ]
        assert found == [{sent[250], kept}, {sent[250], kept}, set(), set()]
        done = CliRunner().invoke(
            app,
            [
                *("export", "--deidentified", "--stored", "--home", str(home), "--key-file", str(key)),
                *(
                    "--to",
                    str(tmp_path / "out"),
                    "--purpose",
                    "training",
                    "--labels-from-reads",
                    "derm-lesion",
                ),
            ],
        )
        assert done.exit_code == 0, done.output
    with (tmp_path / "out" / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        labels = [row["label"] for row in csv.DictReader(lines)]
    assert sorted(labels) == ["mel", "nv", "unlabelled"]
    assert len(list(read_images(tmp_path / "out" / "manifest.csv"))) == 3


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--labels-from-reads", "no-such-model"], "no-such-model"),
        (["--labels-from-reads", "m", "--labels"], "both"),
    ],
)
def test_labels_of_a_model_that_is_not_here_or_from_two_places_are_refused(
    tmp_path: Path, more: list[str], told: str
) -> None:
    key, table = tmp_path / "key", tmp_path / "labels.csv"
    key.write_text("0123456789abcdef" * 4)
    table.write_text("study,label\n")
    with reading_room(tmp_path / "home") as _:
        (tmp_path / "home" / "firstread.sqlite").symlink_to(tmp_path / "home" / "test.sqlite")
        arguments = ["export", "--deidentified", "--stored", "--home", str(tmp_path / "home")]
        arguments += ["--key-file", str(key), "--to", str(tmp_path / "out"), "--purpose", "training", *more]
        done = CliRunner().invoke(app, arguments + ([str(table)] if more[-1] == "--labels" else []))
    assert done.exit_code != 0
    assert told in done.output
