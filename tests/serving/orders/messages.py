"""HL7 messages as a radiology information system sends them."""

from serving.orders.charset import decode
from serving.orders.message import Message, parse

PID = "PID|1||P1^^^HOSP^MR||Wang^Xiaodong^^^^^L^A~王^小东^^^^^L^I||19800203|M"


def orm(
    *,
    control: str = "NW",
    accession: str = "ACC1",
    placer: str = "PL1",
    priority: str = "S",
    question: str = "cough",
    number: str = "1",
    patient: str = PID,
    version: str = "2.5",
    acknowledge: str = "|",
    charset: str = "UNICODE UTF-8",
    status: str = "",
    application: str = "RIS",
    facility: str = "HOSP",
) -> str:
    """Write an ORM^O01."""
    obr = ["OBR", "1", placer, "", "CT^CT head^L", priority] + [""] * 12 + [accession]
    obr += [""] * 12 + [f"^{question}"]
    head = f"MSH|^~\\&|{application}|{facility}|FIRSTREAD|NET|20260101120000||ORM^O01^ORM_O01|{number}|P|"
    orc = f"ORC|{control}|{placer}|||{status}"
    lines = [f"{head}{version}|||{acknowledge}||{charset}", patient, "PV1|1|O", orc, "|".join(obr), ""]
    return "\r".join(lines)


def omi(*, accession: str = "ACC1", tq1: str = "A", note: str = "since a week") -> str:
    """Write an OMI^O23."""
    return "\r".join(
        [
            "MSH|^~\\&|RIS|HOSP|FIRSTREAD|NET|20260101120000||OMI^O23^OMI_O23|2|P|2.8||||||UNICODE UTF-8",
            PID,
            "PV1|1|O",
            "ORC|NW|PL2",
            f"TQ1|1||||||||{tq1}",
            "OBR|1|PL2||XR^Chest PA^L",
            f"NTE|1||{note}",
            f"IPC|{accession}^RIS|RP1|1.2.3|SP1|DX",
            "",
        ]
    )


def read(text: str, *, codec: str = "utf-8", override: str = "") -> Message:
    """Read a message as it comes over the wire."""
    return parse(decode(text.encode(codec), override=override))
