"""The devices that may call the service by DICOM's own network."""
