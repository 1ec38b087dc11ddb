"""FHIR resources as an order entry system sends them."""

from typing import Any

TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"


def identifier(code: str, value: str, system: str = "http://his.example") -> dict[str, Any]:
    return {"type": {"coding": [{"system": TYPES, "code": code}]}, "system": system, "value": value}


def service_request(
    *, accession: str = "ACC1", placer: str = "PL1", question: str = "cough", **more: object
) -> dict[str, Any]:
    """Write a ServiceRequest; `more` replaces elements, None removes one."""
    resource: dict[str, Any] = {
        "resourceType": "ServiceRequest",
        "contained": [
            {
                "resourceType": "Patient",
                "id": "p",
                "identifier": [
                    {"system": "urn:oid:1.2.156", "value": "310110"},
                    identifier("MR", "P1", "") | {"assigner": {"display": "HOSP"}},
                ],
                "name": [
                    {"family": "Wang", "given": ["Xiaodong"]},
                    {
                        "extension": [
                            {
                                "url": "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation",
                                "valueCode": "IDE",
                            }
                        ],
                        "family": "王",
                        "given": ["小东"],
                    },
                ],
                "birthDate": "1980-02-03",
                "gender": "male",
            }
        ],
        "identifier": [identifier("ACSN", accession), identifier("PLAC", placer)],
        "status": "active",
        "intent": "order",
        "priority": "stat",
        "code": {"text": "CT head"},
        "subject": {"reference": "#p"},
        "reasonCode": [{"text": question}],
    }
    del resource["contained"][0]["identifier"][1]["system"]
    resource |= more
    return {name: value for name, value in resource.items() if value is not None}
