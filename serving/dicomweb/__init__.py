"""DICOMweb (PS3.18): studies searched for, given and taken by the standard."""
