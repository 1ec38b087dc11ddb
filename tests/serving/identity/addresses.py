"""Real requests for the addresses of the table; a new parameter, query or body must be entered here."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from serving.identity.permissions import Address

PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")

# Below these, studies are named by their UIDs and not by our keys.
_BY_UID = ("/dicom-web/", "/wado")

# Things that are not there.
NOTHING = {
    "study": "0" * 32,
    "study_uid": "1.2.3.4",
    "series": "1.2.3.5",
    "instance": "1.2.3.6",
    "sop_instance_uid": "1.2.3.6",
    "frame": "1",
    "frames": "1",
    "value": "00091010",
    "name": "pages.css",
    "token": "0" * 32,
    "order": "0" * 32,
    "site": "nowhere",
    "user": "0" * 32,
    "entry": "0" * 32,
    "upload": "0" * 32,
    "batch": "no-such-batch",
    "device": "0" * 32,
    "certificate": "0" * 64,
}

# What an address needs in its query.
QUERIES: Mapping[str, Mapping[str, str]] = {
    "/wado": {"studyUID": "study_uid", "seriesUID": "series", "objectUID": "instance"},
}

# What a request must carry to be more than ill-formed.
BODIES: Mapping[Address, dict[str, Any]] = {
    ("PUT", "/fhir/ServiceRequest/{order}"): {
        "content": b"{}",
        "headers": {"Content-Type": "application/fhir+json"},
    },
    ("PATCH", "/api/v1/sites/{site}"): {"json": {"name": "x"}},
    ("PUT", "/api/v1/studies/{study}/consent"): {"json": {"consent": "care-only"}},
    ("POST", "/api/v1/studies/{study}/claim/take-over"): {"json": {"reason": "away", "for_me": False}},
    ("POST", "/api/v1/studies/{study}/rank"): {
        "json": {"due_at": "2099-01-01T00:00:00Z", "reason": "because"}
    },
    ("PUT", "/api/v1/studies/{study}/read"): {"json": {"note": "x"}},
    ("POST", "/api/v1/studies/{study}/read/sign"): {
        "json": {"version": 1, "seen_revision": 1, "seen_images": 1, "seen_score": None}
    },
    ("POST", "/studies/{study}/consent"): {"data": {"consent": "care-only"}},
    ("PATCH", "/api/v1/uploads/{upload}"): {
        "content": b"x",
        "headers": {
            "Tus-Resumable": "1.0.0",
            "Upload-Offset": "0",
            "Content-Type": "application/offset+octet-stream",
        },
    },
    ("DELETE", "/api/v1/uploads/{upload}"): {"headers": {"Tus-Resumable": "1.0.0"}},
    ("POST", "/api/v1/quarantine/{entry}/corrections"): {"json": {"new_uid": True}},
    ("POST", "/api/v1/quarantine/{entry}/discard"): {"json": {"reason": "no image"}},
    ("POST", "/quarantine/{entry}/discard"): {"data": {"reason": "no image"}},
    ("POST", "/dicom-web/studies/{study}"): {
        "content": b"--x\r\nContent-Type: application/dicom\r\n\r\nno image\r\n--x--\r\n",
        "headers": {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'},
    },
}

# Searches within something: where that is not there, there is nothing to find.
SEARCHES = {
    "/dicom-web/studies/{study}/series",
    "/dicom-web/studies/{study}/instances",
    "/dicom-web/studies/{study}/series/{series}/instances",
}


def filled(address: Address, values: Mapping[str, str] = NOTHING) -> str:
    """Give the address of something, with the query that it needs."""
    path = address[1]
    named = {**values, "study": values["study_uid"]} if path.startswith(_BY_UID) else values
    query = {name: named[value] for name, value in QUERIES.get(path, {}).items()}
    way = PARAMETER.sub(lambda found: named[found.group(1)], path)
    return f"{way}?{urlencode(query)}" if query else way


# Sends into the study of a UID, which each site may have one of its own of; whose it becomes is tested there
# (tests/serving/dicomweb).
_SENDS = {("POST", "/dicom-web/studies/{study}")}


def names_one_thing(address: Address) -> bool:
    """Whether an address is that of one thing that belongs to a site."""
    if address in _SENDS or address[1] == "/assets/{name}":
        return False
    return "{" in address[1] or address[1] in QUERIES
