"""The door for DICOM devices as settings ask for it."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from serving.dicom_settings import DicomSettings
from serving.errors import StartError
from serving.hosting.dicom import client_tls, dicom_door, server_tls, terms_of
from serving.settings import Settings
from tests.serving.identity.authority import Authority
from tests.serving.service_in_process import in_process


def test_nobody_listens_unless_a_port_is_named(tmp_path: Path) -> None:
    from serving.dicomweb.service import DicomWeb
    from serving.studies.rendering import Renderer

    with in_process(tmp_path) as service:
        dicomweb = DicomWeb(service.database, service.objects, service.trail, Renderer(service.objects))
        parts = {"intake": service.intake, "dicomweb": dicomweb, "trail": service.trail}
        with dicom_door(DicomSettings(), **parts) as door:  # type: ignore[arg-type]  # each its own part
            assert door is None
        with dicom_door(DicomSettings(dicom_port=0), **parts) as door:  # type: ignore[arg-type]
            assert door is not None
            assert door.address == f"FIRSTREAD@127.0.0.1:{door.listener.port}"
            figures = door.figures()
            assert (figures.is_listening, figures.n_associations, figures.is_tls) == (True, 0, False)
            taken = DicomSettings(dicom_port=door.listener.port)
            with pytest.raises(StartError, match="FIRSTREAD_DICOM_PORT"), dicom_door(taken, **parts):  # type: ignore[arg-type]
                pass
        assert not door.figures().is_listening


def test_other_machines_are_let_in_by_tls_or_where_that_is_said(tmp_path: Path) -> None:
    with in_process(tmp_path) as service:
        open_to_all = DicomSettings(dicom_port=0, dicom_host="0.0.0.0")
        parts = {"intake": service.intake, "dicomweb": None, "trail": service.trail}
        with pytest.raises(StartError, match="IN_THE_CLEAR"), dicom_door(open_to_all, **parts):  # type: ignore[arg-type]
            pass
        said = DicomSettings(dicom_port=0, dicom_host="0.0.0.0", dicom_in_the_clear=True)
        with dicom_door(said, **parts) as door:  # type: ignore[arg-type]
            assert door is not None


def test_certificates_are_loaded_or_named_where_they_cannot_be(tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.issue("localhost").write(tmp_path, "server")
    root = tmp_path / "root.pem"
    root.write_bytes(authority.root.certificate_pem)
    settings = DicomSettings(
        dicom_port=0,
        dicom_tls_certificate=certificate,
        dicom_tls_key=key,
        dicom_tls_client_ca=root,
        dicom_tls_client_certificates="required",
    )
    assert server_tls(settings) is not None
    assert client_tls(settings)().check_hostname
    root.write_text("no certificate")
    with pytest.raises(StartError, match="CLIENT_CA"):
        server_tls(settings)
    key.unlink()
    with pytest.raises(StartError, match="FIRSTREAD_DICOM_TLS_CERTIFICATE"):
        server_tls(settings)


def test_limits_come_from_the_settings_and_what_does_not_fit_together_is_refused() -> None:
    terms = terms_of(DicomSettings(dicom_title="ARCHIVE", dicom_associations=7, dicom_idle_s=9.0))
    assert (terms.title, terms.most_associations, terms.patience.idle_s) == ("ARCHIVE", 7, 9.0)
    for wrong in (
        {"dicom_title": "a\\b"},
        {"dicom_title": "seventeen letters"},
        {"dicom_tls_key": "x"},
        {"dicom_tls_client_certificates": "required"},
        {"dicom_max_pdu_bytes": 1},
    ):
        with pytest.raises(ValidationError):
            DicomSettings.model_validate(wrong)


def test_the_environment_sets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTREAD_DICOM_PORT", "11112")
    monkeypatch.setenv("FIRSTREAD_DICOM_TITLE", "ARCHIVE")
    settings = Settings()
    assert (settings.dicom_port, settings.dicom_title) == (11112, "ARCHIVE")
