"""`firstread export --deidentified --stored`: what consent allows leaves, and nothing else."""

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pydicom
import pytest
from typer.testing import CliRunner, Result

from data.dicom.pseudonyms import read_key
from data.sources.manifest import read_images
from serving.cli import app
from serving.store.audit import read_rows
from serving.store.audit_chain import AuditRow
from serving.store.consent import Statement, hold_study, say
from serving.store.database import open_database
from serving.store.exports import Export, Selection, begin, candidates, exports_of
from serving.store.local_objects import LocalObjects
from serving.store.receipt import record
from serving.store.sites import LOCAL_SITE, ensure_local_site
from serving.store.tenancy import Scope
from serving.store.uses import Consent, Purpose
from tests.serving.exporting.test_export_command import radiograph
from tests.serving.service_in_process import Service, in_process, photograph
from tests.serving.store.databases import Place
from tests.serving.store.stored import in_four_hours
from tests.serving.store.stored import study as arrived


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def service(home: Path) -> Iterator[Service]:
    home.mkdir()
    with in_process(home) as running:
        (home / "firstread.sqlite").symlink_to(home / "test.sqlite")
        yield running


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text("0123456789abcdef" * 4)
    return path


def sent(service: Service, name: str, content: bytes, **fields: str) -> dict[str, str]:
    files = {"files": (name, content)}
    answer = service.client.post("/api/v1/studies", files=files, data=fields)
    assert answer.status_code == 201, answer.text
    study: dict[str, str] = answer.json()["studies"][0]
    return study


def run(home: Path, key: Path, to: Path, *more: object, purpose: str = "training") -> Result:
    arguments = ["export", "--deidentified", "--stored", "--home", home, "--key-file", key, "--to", to]
    return CliRunner().invoke(app, [*map(str, (*arguments, "--purpose", purpose, *more))])


def exported_rows(service: Service) -> list[AuditRow]:
    with service.database.reading() as connection:
        return [row for row in read_rows(connection) if row.action == "exported"]


def test_for_training_only_studies_whose_patient_allowed_it_leave_and_all_of_it_is_audited(
    service: Service, home: Path, key: Path, tmp_path: Path
) -> None:
    scan = radiograph(tmp_path / "Wang Xiaodong.dcm", "W-1").read_bytes()
    allowed = sent(service, "Wang Xiaodong.dcm", scan, consent="training")
    mole = sent(
        service, "Li Na.jpg", photograph(200), consent="training", age="93", sex="F", body_site="左前臂"
    )
    kept = [
        sent(service, "a.jpg", photograph(30)),
        sent(service, "b.jpg", photograph(60), consent="care-only"),
        sent(service, "c.jpg", photograph(90), consent="withdrawn"),
    ]

    done = run(home, key, tmp_path / "out")

    assert done.exit_code == 0, done.output
    written = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert [path.suffix for path in written] == [".dcm", ".csv", ".jpg"]
    assert not [path for path in written if b"Wang" in path.read_bytes() or b"Li Na" in path.read_bytes()]
    assert pydicom.dcmread(written[0]).PatientIdentityRemoved == "YES"
    report = json.loads((tmp_path / "out-report.json").read_text())
    assert {one["study"] for one in report["studies"]} == {allowed["id"], mole["id"]}
    assert {one["study"]: one["consent"] for one in report["studies_kept"]} == {
        kept[0]["id"]: "unknown",
        kept[1]["id"]: "care-only",
        kept[2]["id"]: "withdrawn",
    }
    assert (report["purpose"], report["n_files"], report["n_written"]) == ("training", 2, 2)

    rows = exported_rows(service)
    of_study = {row.study_uid: row for row in rows}
    assert of_study[allowed["uid"]].result == of_study[mole["uid"]].result == "done"
    assert {of_study[one["uid"]].result for one in kept} == {"refused"}
    assert '"reason":"no-consent"' in of_study[kept[0]["uid"]].details
    assert all('"purpose":"training"' in row.details and row.actor_kind == "operator" for row in rows)
    sha256 = hashlib.sha256((tmp_path / "out-report.json").read_bytes()).hexdigest()
    assert json.loads(rows[-1].details)["report_sha256"] == sha256
    assert report["export"] in rows[-1].details


def test_the_manifest_is_one_that_training_reads(
    service: Service, home: Path, key: Path, tmp_path: Path
) -> None:
    scan = radiograph(tmp_path / "a.dcm", "W-1").read_bytes()
    first = sent(service, "a.dcm", scan, consent="training")
    second = sent(
        service, "b.jpg", photograph(200), consent="training", age="93", sex="F", body_site="左前臂"
    )
    labels = tmp_path / "labels.csv"
    labels.write_text(f"study,label\n{first['uid']},pneumonia\n{second['id']},mel\n")

    assert run(home, key, tmp_path / "plain").exit_code == 0
    told = run(home, key, tmp_path / "told", "--labels", labels, "--characteristics")
    assert told.exit_code == 0, told.output

    plain = list(read_images(tmp_path / "plain" / "manifest.csv"))
    assert [image.label for image in plain] == ["unlabelled", "unlabelled"]
    assert {image.context.age_years for image in plain} == {None}
    scanned, mole = read_images(tmp_path / "told" / "manifest.csv")
    assert (scanned.label, mole.label) == ("pneumonia", "mel")
    pseudonyms = read_key(key)
    assert (scanned.group, scanned.study) == (pseudonyms.patient("", "W-1"), pseudonyms.uid(first["uid"]))
    assert mole.group == pseudonyms.patient("study", second["uid"])
    assert (mole.context.age_years, mole.context.sex, mole.context.body_site) == (90, "F", "upper_extremity")
    with (tmp_path / "told" / "manifest.csv").open(newline="") as lines:
        assert next(csv.DictReader(lines)).keys() >= {"path", "label", "group", "study", "skin_type"}


def test_who_withdraws_is_told_which_exports_held_the_study(
    service: Service, home: Path, key: Path, tmp_path: Path
) -> None:
    study = sent(service, "a.jpg", photograph(200), consent="training")
    assert run(home, key, tmp_path / "one").exit_code == 0

    answer = service.client.put(f"{study['url']}/consent", json={"consent": "withdrawn"}).json()

    (held,) = answer["exports"]
    report = (tmp_path / "one-report.json").read_bytes()
    assert (held["id"], held["purpose"], held["files"]) == (json.loads(report)["export"], "training", 1)
    assert held["report_sha256"] == hashlib.sha256(report).hexdigest()
    page = service.client.get(f"/studies/{study['id']}?lang=en").text
    assert held["id"][:8] in page
    again = run(home, key, tmp_path / "two")
    assert again.exit_code == 1
    assert "no-consent, consent withdrawn" in again.output
    assert not (tmp_path / "two").exists()
    for purpose in ("quality", "care"):
        assert run(home, key, tmp_path / purpose, purpose=purpose).exit_code == 1


def test_an_export_that_was_cut_off_is_told_too(
    service: Service, home: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = sent(service, "a.jpg", photograph(200), consent="training")

    def cut_off(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalObjects, "checked", cut_off)
    assert run(home, key, tmp_path / "one").exit_code != 0
    (held,) = service.client.get(f"{study['url']}/consent").json()["exports"]
    assert (held["ended_at"], held["files"]) == (None, None)


def test_studies_are_chosen_by_name_site_day_and_consent(
    service: Service, home: Path, key: Path, tmp_path: Path
) -> None:
    first = sent(service, "a.jpg", photograph(200), consent="training")
    second = sent(service, "b.jpg", photograph(90), consent="training")

    def chosen(name: str, *more: object) -> set[str]:
        run(home, key, tmp_path / name, *more)
        report = json.loads((tmp_path / f"{name}-report.json").read_text())
        return {one["study"] for one in report["studies"]}

    both = {first["id"], second["id"]}
    assert chosen("1", "--study", first["id"]) == {first["id"]}
    assert chosen("2", "--study", second["uid"], "--study", first["id"]) == both
    assert chosen("3", "--site", "local") == both
    assert chosen("4", "--site", "elsewhere") == set()
    assert chosen("5", "--since", "2020-01-01") == both
    assert chosen("6", "--until", "2020-01-01") == set()
    assert chosen("7", "--consent", "care-only") == set()
    missing = run(home, key, tmp_path / "8", "--study", "nothing")
    assert missing.exit_code == 1
    assert "unknown-study" in missing.output


def test_a_damaged_or_refused_file_is_accounted_for_and_the_rest_leaves(
    service: Service, home: Path, key: Path, tmp_path: Path
) -> None:
    first = sent(service, "a.jpg", photograph(200), consent="training")
    sent(service, "b.jpg", photograph(90), consent="training")
    digest = service.client.get(first["url"]).json()["images"][0]["sha256"]
    (path,) = (home / "objects").rglob(digest)
    path.chmod(0o600)
    path.write_bytes(b"damaged")

    done = run(home, key, tmp_path / "out")

    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "out-report.json").read_text())
    assert (report["n_files"], report["n_written"], report["n_refused"]) == (2, 1, {"corrupt": 1})
    assert service.client.get(f"{first['url']}/consent").json()["exports"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--stored",),
        ("--purpose", "training"),
        ("a.dcm", "--stored", "--purpose", "care"),
        ("a.dcm", "--purpose", "training"),
        ("a.dcm", "--study", "1.2"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_written(
    tmp_path: Path, key: Path, arguments: tuple[str, ...]
) -> None:
    radiograph(tmp_path / "a.dcm", "W-1")
    named = [str(tmp_path / one) if one.endswith(".dcm") else one for one in arguments]
    fixed = ["export", "--deidentified", "--to", str(tmp_path / "out"), "--key-file", str(key)]
    assert CliRunner().invoke(app, [*fixed, *named]).exit_code == 2
    assert not (tmp_path / "out").exists()


def test_a_withdrawal_and_an_export_at_once_see_each_other(place: Place) -> None:
    everywhere = Scope(None)
    database = open_database(place)
    with database.writing() as connection:
        ensure_local_site(connection)
        done = record(
            connection,
            arrived("s"),
            site=LOCAL_SITE,
            now_us=1,
            place_unscored=in_four_hours,
            enqueue=lambda _connection, _job: None,
            max_images=9,
        )
        held = hold_study(connection, scope=everywhere, key=done.study_key)
        assert held is not None
        say(connection, Statement(Consent.TRAINING, "x", 1), site=LOCAL_SITE, study_id=held[0])
    found: list[Export] = []

    def withdraw() -> None:
        with database.writing() as connection:
            held = hold_study(connection, scope=everywhere, key=done.study_key)
            assert held is not None
            say(connection, Statement(Consent.WITHDRAWN, "x", 3), site=LOCAL_SITE, study_id=held[0])
            found.extend(exports_of(connection, scope=everywhere, study_id=held[0]))

    withdrawal = Thread(target=withdraw)
    with database.writing() as connection:
        (one,) = candidates(connection, scope=everywhere, selection=Selection(named=("s",)))
        withdrawal.start()
        begin(connection, [one], purpose=Purpose.TRAINING, by="x", key_fingerprint="ab", now_us=2)
    withdrawal.join()
    assert [export.ended_at_us for export in found] == [None]
    with database.writing() as connection:
        (one,) = candidates(connection, scope=everywhere, selection=Selection(named=("s",)))
        assert one.consent is not None
        assert one.consent.consent is Consent.WITHDRAWN
    database.close()
