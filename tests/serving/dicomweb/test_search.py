"""QIDO-RS: what matches, what is returned, in which order and how much of it."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.dicom.writing import ObjectInfo, write_ct_series, write_radiograph
from serving.dicomweb.matching import KEY_OF
from serving.store.audit import read_rows
from serving.store.search import Key
from tests.serving.dicomweb.sent import BASE, parts_of, photograph, upload
from tests.serving.service_in_process import Service, in_process

# seed, patient id, name, accession, time of the examination
STUDIES = (
    ("a", "P1", "Wang^Fang=王^芳", "A-1", datetime(2026, 1, 2, 8, tzinfo=UTC)),
    ("b", "P1", "Wang^Fang=王^芳", "A-2", datetime(2026, 2, 3, 9, 30, tzinfo=UTC)),
    ("c", "P%2", "Li^Na", "A_3", datetime(2026, 3, 4, 10, 15, 20, tzinfo=UTC)),
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("search")
    with in_process(folder) as running:
        for seed, patient, name, accession, moment in STUDIES:
            info = ObjectInfo(
                seed,
                f"[{seed}]",
                patient_id=patient,
                patient_name=name,
                accession=accession,
                performed_at=moment,
            )
            slices = np.zeros((2, 8, 8), np.int16)
            paths = [*write_ct_series(folder / seed, slices, info=info, spacing_mm=(1, 1), thickness_mm=1)]
            if seed == "b":
                paths.append(write_radiograph(folder / "dx.dcm", np.zeros((8, 8), np.uint8), info=info))
            upload(running, [(path.name, path.read_bytes()) for path in paths])
        yield running


def _search(service: Service, query: str, path: str = "studies") -> list[dict[str, Any]]:
    answer = service.client.get(f"{BASE}/{path}?{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom+json"
    models: list[dict[str, Any]] = answer.json()
    return models


def _accessions(service: Service, query: str) -> list[str]:
    return [model["00080050"]["Value"][0] for model in _search(service, query)]


def test_the_newest_study_comes_first_with_what_it_is_listed_by(service: Service) -> None:
    models = _search(service, "")
    assert [model["00080050"]["Value"][0] for model in models] == ["A_3", "A-2", "A-1"]
    study = models[1]
    assert study["00100010"]["Value"] == [{"Alphabetic": "Wang^Fang", "Ideographic": "王^芳"}]
    assert (study["00080020"]["Value"], study["00080030"]["Value"]) == (["20260203"], ["093000"])
    assert study["00080061"]["Value"] == ["CT", "DX"]
    assert (study["00201206"]["Value"], study["00201208"]["Value"]) == ([2], [3])
    assert study["00081190"]["Value"][0].endswith(f"/dicom-web/studies/{study['0020000D']['Value'][0]}")
    assert service.client.get(study["00081190"]["Value"][0]).status_code == 200
    assert list(study) == sorted(study)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("PatientID=P1", ["A-2", "A-1"]),
        ("00100020=P1", ["A-2", "A-1"]),
        ("PatientID=p1", []),
        ("PatientID=P%25*", ["A_3"]),
        ("PatientID=P%3F2", ["A_3"]),
        ("PatientID=P%3F", ["A-2", "A-1"]),
        ("PatientID=*2", ["A_3"]),
        ("PatientID=", ["A_3", "A-2", "A-1"]),
        ("AccessionNumber=A_*", ["A_3"]),
        ("AccessionNumber=A-1", ["A-1"]),
        ("StudyDescription=[a]", ["A-1"]),
        ("StudyDescription=[a*", ["A-1"]),
        ("PatientName=wang*", ["A-2", "A-1"]),
        ("PatientName=WANG^FANG", ["A-2", "A-1"]),
        ("PatientName=WANG^FANG^^", ["A-2", "A-1"]),
        ("PatientName=王*", ["A-2", "A-1"]),
        ("PatientName=*芳", ["A-2", "A-1"]),
        ("PatientName=*", ["A_3", "A-2", "A-1"]),
        ("StudyDate=20260203", ["A-2"]),
        ("StudyDate=20260203-", ["A_3", "A-2"]),
        ("StudyDate=-20260203", ["A-2", "A-1"]),
        ("StudyDate=20260103-20260301", ["A-2"]),
        ("StudyTime=09-10", ["A_3", "A-2"]),
        ("StudyTime=101520", ["A_3"]),
        ("StudyTime=1015", ["A_3"]),
        ("ModalitiesInStudy=DX", ["A-2"]),
        ("ModalitiesInStudy=C*", ["A_3", "A-2", "A-1"]),
        ("ModalitiesInStudy=DX,MR", ["A-2"]),
        ("PatientID=P1&StudyDate=20260203", ["A-2"]),
        ("PatientID=' OR 1=1 --", []),
        ("limit=1", ["A_3"]),
        ("limit=1&offset=1", ["A-2"]),
        ("limit=0", []),
    ],
)  # fmt: skip
def test_a_search_finds_what_matches_and_nothing_else(service: Service, query: str, found: list[str]) -> None:
    assert _accessions(service, query) == found


def test_a_list_of_uids_finds_each(service: Service) -> None:
    uids = [model["0020000D"]["Value"][0] for model in _search(service, "")]
    for separator in (",", "%5C"):
        assert _accessions(service, f"StudyInstanceUID={separator.join(uids[:2])}") == ["A_3", "A-2"]


def test_series_and_instances_are_found_at_every_path(service: Service) -> None:
    (study,) = _search(service, "ModalitiesInStudy=DX")
    uid = study["0020000D"]["Value"][0]
    series = _search(service, "", f"studies/{uid}/series")
    assert sorted(one["00080060"]["Value"][0] for one in series) == ["CT", "DX"]
    assert "00100010" not in series[0]
    (ct,) = _search(service, "Modality=CT", f"studies/{uid}/series")
    assert ct["00201209"]["Value"] == [2]
    assert (ct["00200011"]["Value"], ct["0008103E"]["Value"]) == ([1], ["[b]"])

    of_series = _search(service, "", f"studies/{uid}/series/{ct['0020000E']['Value'][0]}/instances")
    assert [one["00200013"]["Value"] for one in of_series] == [[1], [2]]
    assert of_series[0]["00080016"]["Value"] == ["1.2.840.10008.5.1.4.1.1.2"]
    assert service.client.get(of_series[0]["00081190"]["Value"][0]).status_code == 200
    assert len(_search(service, "", f"studies/{uid}/instances")) == 3
    assert len(_search(service, "InstanceNumber=2", f"studies/{uid}/instances")) == 1

    everywhere = _search(service, "Modality=DX", "series")
    assert [one["00080050"]["Value"][0] for one in everywhere] == ["A-2"]
    assert len(_search(service, "PatientID=P1&Modality=CT&InstanceNumber=1", "instances")) == 2
    assert len(_search(service, f"SOPClassUID={of_series[0]['00080016']['Value'][0]}", "instances")) == 6


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("studies", "PatientNmae=x"),
        ("studies", "Modality=CT"),
        ("studies", "Rows=512"),
        ("series", "InstanceNumber=1"),
        ("studies", "StudyDate=2026-01-01"),
        ("studies", "StudyDate=-"),
        ("studies", "StudyTime=9"),
        ("studies", "limit=-1"),
        ("studies", "limit=x"),
        ("studies", "offset=100001"),
        ("studies", "fuzzymatching=perhaps"),
        ("studies", "includefield=Nonsense"),
        ("studies", "includefield=RequestAttributesSequence.ScheduledProcedureStepID"),
        ("studies", "RequestAttributesSequence.ScheduledProcedureStepID=1"),
        ("series", "SeriesNumber=one"),
        ("studies", "PatientName=a=b"),
    ],
)
def test_what_cannot_be_followed_is_refused_and_not_left_out(service: Service, path: str, query: str) -> None:
    answer = service.client.get(f"{BASE}/{path}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-parameter")


def test_warnings_tell_of_more_results_and_of_fuzzy_matching(service: Service) -> None:
    answer = service.client.get(f"{BASE}/studies?limit=2&fuzzymatching=true")
    warnings = answer.headers.get_list("warning")
    assert any("fuzzymatching" in warning for warning in warnings)
    assert any("additional results" in warning for warning in warnings)
    assert "warning" not in service.client.get(f"{BASE}/studies?fuzzymatching=false").headers


def test_a_search_is_answered_in_xml_too(service: Service) -> None:
    xml = {"accept": 'multipart/related; type="application/dicom+xml"'}
    answer = service.client.get(f"{BASE}/studies", headers=xml)
    parts = parts_of(answer.headers["content-type"], answer.content)
    assert len(parts) == 3
    assert all(ET.fromstring(content) is not None for _, content in parts)
    assert service.client.get(f"{BASE}/studies?PatientID=none", headers=xml).status_code == 204


def test_a_photograph_is_found_as_the_object_that_is_made_of_it(tmp_path: Path) -> None:
    with in_process(tmp_path) as service:
        upload(service, [("arm.jpg", photograph())], age="47", sex="F")
        (study,) = _search(service, "ModalitiesInStudy=XC&PatientSex=F")
        (found,) = _search(service, "", "instances")
        (model,) = service.client.get(f"{found['00081190']['Value'][0]}/metadata").json()
        for tag in ("00080016", "00080018", "00080020", "00080030", "0020000D", "0020000E", "00280010"):
            assert (study | found)[tag]["Value"] == model[tag]["Value"], tag


def test_whoever_searched_stands_in_the_trail_with_what_they_were_shown(service: Service) -> None:
    _search(service, "PatientName=Li*")
    with service.database.reading() as connection:
        row = list(read_rows(connection))[-1]
    assert row.action == "viewed-list"
    assert '"keys":["patient-name"]' in row.details
    assert "Li" not in row.details


def test_every_key_has_a_name_in_dicom() -> None:
    assert set(KEY_OF.values()) == set(Key)
