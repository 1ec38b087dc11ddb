"""What an operator sets about DICOM's own network: off unless a port is named."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator


class DicomSettings(BaseModel):
    """The part of :class:`serving.settings.Settings` that is about C-STORE and its kin.

    Examples
    --------
    >>> DicomSettings().dicom_port is None, DicomSettings(dicom_port=11112).dicom_title
    (True, 'FIRSTREAD')
    """

    dicom_port: int | None = Field(
        default=None, ge=0, le=65535, description="Listens for DICOM devices; 11112 is customary. Empty: no."
    )
    dicom_host: str = Field(default="127.0.0.1", description="The address that devices call.")
    dicom_title: str = Field(
        default="FIRSTREAD", pattern=r"^[!-\[\]-~]{1,16}$", description="The service's own AE title."
    )
    dicom_in_the_clear: bool = Field(
        default=False,
        description="Listen where other machines call although there is no TLS: for a network of one's own.",
    )
    dicom_tls_certificate: Path | None = Field(
        default=None, description="Certificate chain (PEM): devices call by TLS, and by nothing else."
    )
    dicom_tls_key: Path | None = Field(default=None, description="Its key (PEM).")
    dicom_tls_client_ca: Path | None = Field(
        default=None, description="Authorities (PEM) whose certificates devices show, and are called by."
    )
    dicom_tls_client_certificates: Literal["off", "optional", "required"] = "off"
    dicom_associations: int = Field(default=100, ge=1, le=2000, description="So many stand at once.")
    dicom_associations_of_a_device: int = Field(default=32, ge=1, le=2000)
    dicom_max_pdu_bytes: int = Field(
        default=262144, ge=4096, le=16 * 1024**2, description="The longest unit that a device may send."
    )
    dicom_max_instance_bytes: int = Field(default=4 * 1024**3, ge=1, description="A longer one is refused.")
    dicom_handshake_s: float = Field(
        default=30.0, gt=0, description="From the connection to the request of an association."
    )
    dicom_idle_s: float = Field(
        default=300.0, gt=0, description="An association that says nothing for so long is ended."
    )
    dicom_min_bytes_per_s: float = Field(
        default=1024.0, gt=0, description="A device that sends, or takes, less is ended; it has 30 s more."
    )

    @model_validator(mode="after")
    def _check_dicom_together(self) -> Self:
        if (self.dicom_tls_certificate is None) != (self.dicom_tls_key is None):
            raise ValueError("FIRSTREAD_DICOM_TLS_CERTIFICATE and _KEY go together")
        wants = self.dicom_tls_client_certificates != "off"
        if wants and (self.dicom_tls_client_ca is None or self.dicom_tls_certificate is None):
            raise ValueError(
                "FIRSTREAD_DICOM_TLS_CLIENT_CERTIFICATES needs FIRSTREAD_DICOM_TLS_CERTIFICATE and _CLIENT_CA"
            )
        return self
