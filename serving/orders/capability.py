"""What the service understands of FHIR: its CapabilityStatement.

References
----------
FHIR R4: CapabilityStatement, RESTful API.
"""

from typing import Any

_SEARCH = "http://hl7.org/fhir/SearchParameter/clinical-identifier"


def capability_statement(version: str, *, base: str) -> dict[str, Any]:
    """Write the statement.

    Parameters
    ----------
    version : str
        Of the program.
    base : str
        The address below which resources stand.
    """
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-01-01",
        "kind": "instance",
        "software": {"name": "firstread", "version": version},
        "implementation": {"description": "firstread: reads every incoming study first", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [
            {
                "mode": "server",
                "documentation": "Orders, matched to studies by accession number within the caller's "
                "site. For prioritisation only.",
                "security": {"description": "A token (Authorization: Bearer) of the site that sends."},
                "resource": [
                    {
                        "type": "ServiceRequest",
                        "profile": "http://hl7.org/fhir/StructureDefinition/ServiceRequest",
                        "documentation": "Kept are identifiers of type ACSN (needed) and PLAC, status, "
                        "priority, code, subject (a contained Patient, or an identifier), reasonCode and "
                        "note, which become one reasonCode; other elements are passed over. The intent must "
                        "be an order.",
                        "interaction": [
                            {"code": "read"},
                            {"code": "create"},
                            {"code": "update"},
                            {"code": "search-type"},
                        ],
                        "versioning": "versioned-update",
                        "readHistory": False,
                        "updateCreate": False,
                        "conditionalCreate": True,
                        "conditionalRead": "not-supported",
                        "conditionalUpdate": False,
                        "conditionalDelete": "not-supported",
                        "referencePolicy": ["local", "logical"],
                        "searchParam": [{"name": "identifier", "definition": _SEARCH, "type": "token"}],
                    }
                ],
            }
        ],
    }
