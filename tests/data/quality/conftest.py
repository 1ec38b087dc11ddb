"""The DICOM objects of these tests are made as those of the reader's."""

from tests.data.dicom.conftest import make_dicom

__all__ = ["make_dicom"]
