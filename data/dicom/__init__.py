"""DICOM: headers, frames, pixel transforms, character sets, grouping into studies."""
