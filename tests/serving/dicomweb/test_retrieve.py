"""WADO-RS: what is given, in which form, and what is refused."""

import io
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from data.dicom.reading import DicomReader
from data.dicom.transcoding import CODED, TARGETS
from data.dicom.xml_model import NAMESPACE
from tests.serving.dicomweb.sent import (
    BASE,
    INSTANCE,
    PATH,
    SERIES,
    STUDY,
    parts_of,
    photograph,
    send_ct,
    upload,
)
from tests.serving.service_in_process import Service, in_process

RELATED = 'multipart/related; type="application/dicom"'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("retrieve")


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Service]:
    with in_process(folder) as running:
        send_ct(running, folder / "ct")
        yield running


@pytest.fixture(scope="module")
def sent(service: Service, folder: Path) -> dict[str, bytes]:  # noqa: ARG001 - it has sent them
    return {path.stem: path.read_bytes() for path in (folder / "ct").iterdir()}


def _get(service: Service, path: str, accept: str = "*/*") -> list[tuple[str, bytes]]:
    answer = service.client.get(path, headers={"accept": accept})
    assert answer.status_code == 200, answer.text
    return parts_of(answer.headers["content-type"], answer.content)


@pytest.mark.parametrize("path", [f"{BASE}/studies/{STUDY}", f"{BASE}/studies/{STUDY}/series/{SERIES}"])
def test_every_instance_comes_back_byte_for_byte(service: Service, sent: dict[str, bytes], path: str) -> None:
    parts = _get(service, path, RELATED)
    assert sorted(content for _, content in parts) == sorted(sent.values())
    assert {media for media, _ in parts} == {"application/dicom; transfer-syntax=1.2.840.10008.1.2.1"}


def test_an_instance_may_come_by_itself(service: Service, sent: dict[str, bytes]) -> None:
    answer = service.client.get(PATH, headers={"accept": "application/dicom"})
    assert answer.content == sent[INSTANCE]
    assert answer.headers["content-type"].startswith("application/dicom")


@pytest.mark.parametrize("syntax", TARGETS)
def test_an_instance_is_given_in_the_transfer_syntax_asked_for_with_the_same_values(
    service: Service, folder: Path, syntax: str
) -> None:
    ((media, content),) = _get(service, PATH, f"{RELATED}; transfer-syntax={syntax}")
    assert media == f"application/dicom; transfer-syntax={syntax}"
    assert pydicom.dcmread(io.BytesIO(content)).file_meta.TransferSyntaxUID == syntax
    given = folder / "given.dcm"
    given.write_bytes(content)
    before, after = DicomReader(folder / "ct" / f"{INSTANCE}.dcm"), DicomReader(given)
    assert np.array_equal(before.stored(0), after.stored(0))
    assert np.array_equal(before.displayed(0), after.displayed(0))


def test_of_several_accepted_the_one_it_is_stored_in_is_given(
    service: Service, sent: dict[str, bytes]
) -> None:
    accept = f"{RELATED}; transfer-syntax={CODED[0]}, {RELATED}; transfer-syntax=1.2.840.10008.1.2.1;q=0.1"
    ((_, content),) = _get(service, PATH, accept)
    assert content == sent[INSTANCE]


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        (PATH, f"{RELATED}; transfer-syntax=1.2.840.10008.1.2.4.50"),
        (PATH, "image/png"),
        (f"{BASE}/studies/{STUDY}", "application/dicom"),
        (f"{BASE}/studies/{STUDY}", "application/zip"),
        (f"{PATH}/metadata", "text/html"),
        (f"{PATH}/rendered", "image/gif"),
        (f"{PATH}/frames/1", 'multipart/related; type="image/jpeg"'),
    ],
)
def test_what_cannot_be_made_is_refused_and_says_what_can(service: Service, path: str, accept: str) -> None:
    answer = service.client.get(path, headers={"accept": accept})
    assert (answer.status_code, answer.json()["code"]) == (406, "not-acceptable")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{BASE}/studies/1.2.3", 404),
        (f"{BASE}/studies/{STUDY}/series/1.2.3", 404),
        (f"{BASE}/studies/{STUDY}/series/{SERIES}/instances/1.2.3/metadata", 404),
        (f"{PATH}/frames/2", 404),
        (f"{PATH}/frames/0", 404),
        (f"{PATH}/frames/1,x", 400),
        (f"{PATH}/bulkdata/00080018", 404),
        (f"{PATH}/bulkdata/../../x", 404),
        (f"{PATH}/bulkdata/0/0/0/0", 404),
        (f"{PATH}/rendered?window=1", 400),
        (f"{PATH}/rendered?window=nan,1", 400),
        (f"{PATH}/rendered?viewport=100", 400),
        (f"{PATH}/rendered?viewport=100,100000", 400),
        (f"{PATH}/rendered?viewport=9,9,500,500,1,1", 400),
        (f"{PATH}/rendered?quality=0", 400),
        ("/wado?studyUID=1&seriesUID=2&objectUID=3", 404),
        (f"/wado?requestType=X&studyUID={STUDY}&seriesUID={SERIES}&objectUID={INSTANCE}", 400),
    ],
)
def test_what_is_not_there_or_makes_no_sense_is_said(service: Service, path: str, status: int) -> None:
    assert service.client.get(path).status_code == status


def test_metadata_are_the_elements_as_json_in_utf_8(service: Service) -> None:
    answer = service.client.get(f"{PATH}/metadata")
    assert answer.headers["content-type"] == "application/dicom+json"
    (model,) = answer.json()
    assert model["00100010"]["Value"] == [{"Alphabetic": "Wang^Fang", "Ideographic": "王^芳"}]
    assert model["00080005"]["Value"] == ["ISO_IR 192"]
    assert model["00280010"] == {"vr": "US", "Value": [32]}
    assert model["7FE00010"]["vr"] == "OW"
    assert not any(tag.startswith("0002") for tag in model)
    whole = service.client.get(f"{BASE}/studies/{STUDY}/metadata").json()
    assert len(whole) == 3
    assert model in whole


def test_pixel_data_are_had_by_the_uri_in_the_metadata(service: Service, sent: dict[str, bytes]) -> None:
    (model,) = service.client.get(f"{PATH}/metadata").json()
    uri = model["7FE00010"]["BulkDataURI"]
    answer = service.client.get(uri)
    ((media, content),) = parts_of(answer.headers["content-type"], answer.content)
    assert media == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
    assert content == pydicom.dcmread(io.BytesIO(sent[INSTANCE])).PixelData


def test_metadata_come_as_the_native_model_too(service: Service) -> None:
    parts = _get(
        service, f"{BASE}/studies/{STUDY}/metadata", 'multipart/related; type="application/dicom+xml"'
    )
    assert len(parts) == 3
    root = ET.fromstring(parts[0][1])
    name = root.find(f".//{{{NAMESPACE}}}DicomAttribute[@keyword='PatientName']/*/*/*")
    assert name is not None
    assert name.text == "Wang"


@pytest.mark.parametrize(
    ("accept", "media", "syntax"),
    [
        ("*/*", "application/octet-stream", "1.2.840.10008.1.2.1"),
        ('multipart/related; type="image/jls"', "image/jls", CODED[0]),
        ('multipart/related; type="image/jphc"', "image/jphc", CODED[1]),
        (f'multipart/related; type="image/jp2"; transfer-syntax={CODED[2]}', "image/jp2", CODED[2]),
        ('multipart/related; type="application/octet-stream"; transfer-syntax=*', "application/octet-stream",
         "1.2.840.10008.1.2.1"),
    ],
)  # fmt: skip
def test_a_frame_is_given_as_it_is_accepted(
    service: Service, sent: dict[str, bytes], accept: str, media: str, syntax: str
) -> None:
    ((given, content),) = _get(service, f"{PATH}/frames/1", accept)
    assert given == f"{media}; transfer-syntax={syntax}"
    raw = pydicom.dcmread(io.BytesIO(sent[INSTANCE])).PixelData
    assert (content == raw) == (media == "application/octet-stream")


@pytest.mark.parametrize(
    ("accept", "kind"), [("image/jpeg", "JPEG"), ("image/png", "PNG"), ("image/webp", "WEBP")]
)
@pytest.mark.parametrize(
    "level", [f"{BASE}/studies/{STUDY}", f"{BASE}/studies/{STUDY}/series/{SERIES}", PATH]
)
def test_every_level_has_a_picture(service: Service, level: str, accept: str, kind: str) -> None:
    answer = service.client.get(f"{level}/rendered", headers={"accept": accept})
    image = Image.open(io.BytesIO(answer.content))
    assert (image.format, image.size) == (kind, (24, 32))
    small = service.client.get(f"{level}/thumbnail?viewport=12,12", headers={"accept": accept})
    assert Image.open(io.BytesIO(small.content)).size == (9, 12)


def test_all_pictures_of_a_study_come_as_multipart_where_that_is_asked_for(service: Service) -> None:
    parts = _get(service, f"{BASE}/studies/{STUDY}/rendered", 'multipart/related; type="image/png"')
    assert [media for media, _ in parts] == ["image/png"] * 3
    assert len({content for _, content in parts}) == 3 or len(parts) == 3


def test_a_window_a_viewport_and_a_quality_are_followed(service: Service, folder: Path) -> None:
    path = f"{PATH}/frames/1/rendered"
    answer = service.client.get(f"{path}?window=-500,2,linear", headers={"accept": "image/png"})
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)))
    values = DicomReader(folder / "ct" / f"{INSTANCE}.dcm").quantities(0)
    assert np.array_equal(pixels == 255, values >= -500)

    region = service.client.get(f"{path}?viewport=48,64,0,0,12,16", headers={"accept": "image/png"})
    assert Image.open(io.BytesIO(region.content)).size == (48, 64)

    rough, fine = (len(service.client.get(f"{path}?quality={quality}").content) for quality in (10, 100))
    assert rough < fine


def test_wado_uri_gives_the_instance_or_a_picture(service: Service, sent: dict[str, bytes]) -> None:
    address = f"/wado?requestType=WADO&studyUID={STUDY}&seriesUID={SERIES}&objectUID={INSTANCE}"
    assert service.client.get(f"{address}&contentType=application/dicom").content == sent[INSTANCE]
    coded = service.client.get(f"{address}&contentType=application/dicom&transferSyntax={CODED[1]}")
    assert pydicom.dcmread(io.BytesIO(coded.content)).file_meta.TransferSyntaxUID == CODED[1]
    picture = service.client.get(f"{address}&windowCenter=-500&windowWidth=100&rows=16&contentType=image/png")
    assert Image.open(io.BytesIO(picture.content)).size == (12, 16)


def test_what_was_given_stands_in_the_trail(service: Service) -> None:
    from serving.store.audit import read_rows

    service.client.get(f"{PATH}/frames/1")
    service.client.get(f"{BASE}/studies/Wang%20Fang")
    with service.database.reading() as connection:
        given, refused = list(read_rows(connection))[-2:]
    assert (given.action, given.study_uid) == ("viewed-image", STUDY)
    assert INSTANCE in given.details
    assert (refused.result, refused.study_uid) == ("refused", None)
    assert "Wang" not in refused.details


def test_a_photograph_is_a_dicom_object_with_the_very_stream_that_was_sent(tmp_path: Path) -> None:
    with in_process(tmp_path) as service:
        stream = photograph()
        (study,) = upload(service, [("arm.jpg", stream)], age="47", sex="F", body_site="左前臂")
        path = f"{BASE}/studies/{study['uid']}"
        ((media, content),) = _get(service, path)
        assert media == "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50"
        assert _get(service, path)[0][1] == content
        dataset = pydicom.dcmread(io.BytesIO(content))
        assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.77.1.4"
        assert (dataset.StudyInstanceUID, dataset.PatientAge, dataset.PatientSex) == (
            study["uid"],
            "047Y",
            "F",
        )
        assert "左前臂" in dataset.ImageComments
        assert stream in content

        (model,) = service.client.get(f"{path}/metadata").json()
        frames = f"{path}/series/{model['0020000E']['Value'][0]}/instances/{model['00080018']['Value'][0]}"
        ((media, frame),) = _get(service, f"{frames}/frames/1")
        assert media == "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50"
        assert frame.rstrip(b"\0") == stream.rstrip(b"\0")
        ((_, raw),) = _get(
            service, f"{frames}/frames/1", 'multipart/related; type="application/octet-stream"'
        )
        assert len(raw) == 64 * 48 * 3
        picture = service.client.get(f"{path}/rendered", headers={"accept": "image/png"})
        shown = np.asarray(Image.open(io.BytesIO(picture.content)).convert("RGB"))
        assert np.array_equal(shown.reshape(-1), np.frombuffer(raw, np.uint8))


def test_an_image_kept_under_another_uid_is_given_under_it(tmp_path: Path) -> None:
    with in_process(tmp_path) as service:
        (path,) = send_ct(service, tmp_path / "ct", n_slices=1)
        other = pydicom.dcmread(path)
        other.PatientID = "P2"  # a study of that UID is another patient's
        buffer = io.BytesIO()
        other.save_as(buffer)
        (study,) = upload(service, [("b.dcm", buffer.getvalue())])
        assert study["uid"] != STUDY
        ((_, first),) = _get(service, f"{BASE}/studies/{STUDY}")
        assert first == path.read_bytes()
        ((_, content),) = _get(service, f"{BASE}/studies/{study['uid']}")
        given = pydicom.dcmread(io.BytesIO(content))
        (model,) = service.client.get(f"{BASE}/studies/{study['uid']}/metadata").json()
        assert given.StudyInstanceUID == model["0020000D"]["Value"][0] == study["uid"]
        assert given.PatientID == "P2"
        assert given.PixelData == other.PixelData
