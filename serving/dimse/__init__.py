"""DICOM's own network: images are received, found and given by C-STORE, C-FIND, C-MOVE and C-GET."""
