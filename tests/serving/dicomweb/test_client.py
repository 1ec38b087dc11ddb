"""A client that this project did not write stores, finds and retrieves over a real connection."""

import io
import socket
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
import uvicorn
from dicomweb_client import DICOMwebClient
from fastapi import FastAPI
from PIL import Image

from data.dicom.reading import DicomReader
from tests.serving.dicomweb.sent import INSTANCE, SERIES, STUDY, ct, photograph, upload
from tests.serving.service_in_process import Service, in_process


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with in_process(tmp_path_factory.mktemp("client")) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[DICOMwebClient]:
    assert isinstance(service.client.app, FastAPI)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(service.client.app, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the client's libraries
        thread.start()
        try:
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            client = DICOMwebClient(f"http://{address}/dicom-web")
            client.host = address  # by itself it leaves the port out, and is then sent to one at port 80
            yield client
        finally:
            server.should_exit = True
            thread.join()
            listener.close()


@pytest.fixture(scope="module")
def slices(client: DICOMwebClient, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    paths = list(ct(tmp_path_factory.mktemp("ct")))
    answer = client.store_instances([pydicom.dcmread(path) for path in paths])
    assert len(answer.ReferencedSOPSequence) == 3
    assert "FailedSOPSequence" not in answer
    return paths


@pytest.mark.usefixtures("slices")
def test_what_was_stored_is_found_at_each_level(client: DICOMwebClient) -> None:
    (study,) = client.search_for_studies(search_filters={"PatientName": "Wang*"})
    assert pydicom.Dataset.from_json(study).StudyInstanceUID == STUDY
    assert pydicom.Dataset.from_json(study).PatientName.ideographic == "王^芳"
    (series,) = client.search_for_series(STUDY, search_filters={"Modality": "CT"})
    assert pydicom.Dataset.from_json(series).SeriesInstanceUID == SERIES
    assert len(client.search_for_instances(STUDY, SERIES)) == 3
    assert len(client.search_for_instances(limit=2)) == 2
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []


def test_instances_are_retrieved_as_pydicom_wrote_them(client: DICOMwebClient, slices: list[Path]) -> None:
    sent = {path.stem: pydicom.dcmread(path) for path in slices}
    for given in (client.retrieve_study(STUDY), client.retrieve_series(STUDY, SERIES)):
        assert {one.SOPInstanceUID: one for one in given} == sent
    assert client.retrieve_instance(STUDY, SERIES, INSTANCE) == sent[INSTANCE]
    coded = client.retrieve_instance(
        STUDY, SERIES, INSTANCE, media_types=(("application/dicom", "1.2.840.10008.1.2.4.80"),)
    )
    assert coded.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.80"
    assert np.array_equal(coded.pixel_array, sent[INSTANCE].pixel_array)


def test_metadata_and_bulk_data_make_the_object_again(client: DICOMwebClient, slices: list[Path]) -> None:
    sent = {path.stem: pydicom.dcmread(path) for path in slices}
    assert len(client.retrieve_study_metadata(STUDY)) == 3
    assert len(client.retrieve_series_metadata(STUDY, SERIES)) == 3
    metadata = client.retrieve_instance_metadata(STUDY, SERIES, INSTANCE)
    uri = metadata["7FE00010"].pop("BulkDataURI")
    (pixels,) = client.retrieve_bulkdata(uri)
    assert pixels == sent[INSTANCE].PixelData
    metadata.pop("7FE00010")
    assert pydicom.Dataset.from_json(metadata).group_dataset(0x0020) == sent[INSTANCE].group_dataset(0x0020)


@pytest.mark.usefixtures("slices")
def test_frames_come_raw_and_rendered(client: DICOMwebClient, slices: list[Path]) -> None:
    sent = {path.stem: path for path in slices}
    (raw,) = client.retrieve_instance_frames(STUDY, SERIES, INSTANCE, [1])
    assert raw == pydicom.dcmread(sent[INSTANCE]).PixelData
    rendered = client.retrieve_instance_frames_rendered(
        STUDY, SERIES, INSTANCE, [1], media_types=("image/png",)
    )
    pixels = np.asarray(Image.open(io.BytesIO(rendered)))
    assert np.array_equal(pixels, DicomReader(sent[INSTANCE]).displayed(0))
    whole = client.retrieve_instance_rendered(STUDY, SERIES, INSTANCE, media_types=("image/jpeg",))
    assert Image.open(io.BytesIO(whole)).size == (24, 32)


def test_a_photograph_is_an_object_like_any_other(client: DICOMwebClient, service: Service) -> None:
    stream = photograph()
    (study,) = upload(service, [("arm.jpg", stream)])
    (given,) = client.retrieve_study(str(study["uid"]))
    assert given.SOPClassUID == "1.2.840.10008.5.1.4.1.1.77.1.4"
    assert stream in given.PixelData
    (found,) = client.search_for_instances(str(study["uid"]))
    assert pydicom.Dataset.from_json(found).SOPInstanceUID == given.SOPInstanceUID
