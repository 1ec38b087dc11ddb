"""A study's orders as its readers see them: in the interface and on the page."""

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from data.phantoms import write_sample_studies
from serving.orders.inbox import Inbox
from serving.orders.service import Orders
from serving.store.hl7_senders import add_sender
from serving.worklist.placement import Placer
from serving.worklist.policy import read_policy
from tests.serving.orders.messages import orm
from tests.serving.orders.received import ADDRESS, SENDER
from tests.serving.service_in_process import Service, in_process


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with in_process(tmp_path) as running:
        yield running


def inbox_of(service: Service) -> Inbox:
    with service.database.writing() as connection:
        add_sender(connection, SENDER, created_by="test", now_us=0)
    return Inbox(Orders(service.database, service.trail, Placer(read_policy()), service.queue))


def radiograph(folder: Path, *, patient: str = "P1", accession: str = "ACC1") -> bytes:
    (path,) = write_sample_studies(folder / "phantoms", seed=1, n_skin=0, n_chest=1, n_head=0)
    dataset = pydicom.dcmread(path)
    dataset.PatientID, dataset.AccessionNumber = patient, accession
    dataset.IssuerOfPatientID = "HOSP"
    dataset.save_as(folder / "sent.dcm")
    return (folder / "sent.dcm").read_bytes()


def send(service: Service, content: bytes) -> str:
    answer = service.client.post("/api/v1/studies", files={"files": ("a.dcm", content)}).json()
    return str(answer["studies"][0]["id"])


@pytest.mark.parametrize("is_first", ["order", "study"])
def test_a_study_is_shown_with_its_order_and_its_place(
    service: Service, tmp_path: Path, is_first: str
) -> None:
    inbox = inbox_of(service)
    content = radiograph(tmp_path)
    if is_first == "order":
        inbox.take(orm(question="吸烟者，咳嗽").encode(), address=ADDRESS)
    study = send(service, content)
    if is_first == "study":
        inbox.take(orm(question="吸烟者，咳嗽").encode(), address=ADDRESS)
    service.score_all()
    shown = service.client.get(f"/api/v1/studies/{study}").json()
    (order,) = shown["orders"]
    assert shown["priority"] == "stat"
    assert (order["counts"], order["contradiction"], order["state"]) == (True, None, "active")
    assert (order["accession"], order["placer"], order["question"]) == ("ACC1", "PL1", "吸烟者，咳嗽")
    page = service.client.get(f"/studies/{study}?lang=zh").text
    assert "申请单" in page
    assert "吸烟者，咳嗽" in page
    assert "Orders" in service.client.get(f"/studies/{study}?lang=en").text


def test_an_order_of_another_patient_is_shown_as_that_without_what_it_says(
    service: Service, tmp_path: Path
) -> None:
    inbox = inbox_of(service)
    study = send(service, radiograph(tmp_path, patient="P2"))
    inbox.take(orm(question="secret of another").encode(), address=ADDRESS)
    shown = service.client.get(f"/api/v1/studies/{study}").json()
    (order,) = shown["orders"]
    assert (order["counts"], order["contradiction"], order["question"]) == (False, "patient-id", None)
    assert shown["priority"] == "routine"
    page = service.client.get(f"/studies/{study}?lang=zh").text
    assert "患者与影像中的信息不一致" in page
    assert "secret" not in page


def test_a_study_without_an_order_says_nothing_of_orders(service: Service, tmp_path: Path) -> None:
    study = send(service, radiograph(tmp_path, accession=""))
    assert service.client.get(f"/api/v1/studies/{study}").json()["orders"] == []
    assert "申请单" not in service.client.get(f"/studies/{study}?lang=zh").text
