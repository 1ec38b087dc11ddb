import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from data.phantoms import chest_radiograph, write_sample_studies
from serving.intake.upload import UploadLimits
from serving.store.schema import NEWEST
from serving.worklist.service import Worklist
from tests.serving.service_in_process import MEBIBYTE, Service, in_process, photograph, zipped


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with in_process(tmp_path) as running:
        yield running


def _send(service: Service, *files: tuple[str, bytes], **fields: str) -> dict[str, object]:
    answer = service.client.post(
        "/api/v1/studies", files=[("files", file) for file in files], data=fields or None
    )
    assert answer.status_code in {200, 201}, answer.text
    document: dict[str, object] = answer.json()
    return document


def test_a_photograph_is_queued_unscored_then_scored_with_its_key_image(service: Service) -> None:
    answer = service.client.post(
        "/api/v1/studies", files={"files": ("mole.jpg", photograph(250))}, data={"age": "61", "sex": "female"}
    )
    assert answer.status_code == 201
    (study,) = answer.json()["studies"]
    (waiting,) = service.client.get("/api/v1/worklist").json()["entries"]
    assert (waiting["state"], waiting["reason_line"]) == ("received", "not scored yet: read within 4 h")
    assert waiting["key_image"] is None
    assert waiting["cover"] is not None

    service.score_all()

    (scored,) = service.client.get("/api/v1/worklist").json()["entries"]
    assert (scored["id"], scored["state"]) == (study["id"], "scored")
    assert scored["reason_line"].startswith("mel")
    assert scored["model"] == {"name": "derm-lesion", "version": "1"}
    assert scored["due_at"] < waiting["due_at"]
    assert (scored["age"], scored["sex"]) == (61, "F")
    detail = service.client.get(study["url"]).json()
    assert detail["purpose"] == "for prioritisation only"
    assert len(detail["score"]["model"]["onnx_sha256"]) == 64
    assert sum(line["probability"] for line in detail["score"]["probabilities"]) == pytest.approx(1)
    corners = [xy for polygon in detail["key_images"][0]["contour"] for point in polygon for xy in point]
    assert all(0 <= xy <= 1 for xy in corners)


def test_the_list_is_in_the_order_of_what_the_model_fears(service: Service) -> None:
    for name, red in (("harmless.jpg", 10), ("grave.jpg", 250), ("middling.jpg", 70)):
        _send(service, (name, photograph(red)))
    service.score_all()
    entries = service.client.get("/api/v1/worklist").json()["entries"]
    files = [service.client.get(entry["url"]).json()["images"][0]["file"] for entry in entries]
    assert files == ["grave.jpg", "middling.jpg", "harmless.jpg"]
    assert [entry["due_at"] for entry in entries] == sorted(entry["due_at"] for entry in entries)


def test_a_doctors_stat_counts_before_every_model(service: Service) -> None:
    _send(service, ("grave.jpg", photograph(250)))
    _send(service, ("stat.jpg", photograph(10)), priority="stat")
    service.score_all()
    first, second = service.client.get("/api/v1/worklist").json()["entries"]
    assert (first["priority"], first["tier"]) == ("stat", "critical")
    assert second["priority"] == "routine"


def test_a_mixed_upload_takes_the_good_and_names_the_bad(service: Service, tmp_path: Path) -> None:
    chest, head = write_sample_studies(tmp_path / "phantoms", seed=1, n_skin=0, n_chest=1, n_head=1)
    slices = {f"head/{path.name}": path.read_bytes() for path in sorted(head.iterdir())}
    answer = _send(
        service,
        ("mole.jpg", photograph(100)),
        ("chest.dcm", chest.read_bytes()),
        ("head.zip", zipped(**slices, **{"notes.txt": b"a note"})),
        ("empty.jpg", b""),
        ("letter.dcm", b"Dear colleague, " * 40),
    )
    assert sorted(study["images"] for study in answer["studies"]) == [1, 1, len(slices)]  # type: ignore[attr-defined]
    reasons = {line["file"]: line["reason"] for line in answer["rejected"]}  # type: ignore[attr-defined]
    assert reasons == {
        "empty.jpg": "empty-file",
        "letter.dcm": "not-an-image",
        "head.zip/notes.txt": "not-an-image",
    }


def test_a_study_that_no_model_takes_stays_in_the_queue_and_says_why(
    service: Service, tmp_path: Path
) -> None:
    (chest,) = write_sample_studies(tmp_path / "phantoms", seed=1, n_skin=0, n_chest=1, n_head=0)
    _send(service, ("chest.dcm", chest.read_bytes()))
    service.score_all()
    (entry,) = service.client.get("/api/v1/worklist").json()["entries"]
    assert entry["state"] == "abstained"
    assert entry["reason_line"] == "no model for this study: read within 4 h"
    assert service.client.get(entry["url"]).json()["reason"] == "no-model"


def test_the_same_bytes_twice_give_one_study_and_say_so(service: Service) -> None:
    first = service.client.post("/api/v1/studies", files={"files": ("a.jpg", photograph(9))})
    again = service.client.post("/api/v1/studies", files={"files": ("b.jpg", photograph(9))})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["studies"][0]["id"] == again.json()["studies"][0]["id"]
    assert service.client.get("/api/v1/worklist").json()["waiting"] == 1


def test_a_scored_study_is_not_scored_again(service: Service) -> None:
    _send(service, ("a.jpg", photograph(9)))
    service.score_all()
    _send(service, ("a.jpg", photograph(9)))
    assert service.client.get("/api/v1/worklist").json()["entries"][0]["state"] == "scored"


def test_a_repeated_request_under_its_key_gets_the_same_answer(service: Service) -> None:
    request = {"files": {"files": ("a.jpg", photograph(9))}, "headers": {"Idempotency-Key": "k1"}}
    first = service.client.post("/api/v1/studies", **request)  # type: ignore[arg-type]
    again = service.client.post("/api/v1/studies", **request)  # type: ignore[arg-type]
    other = service.client.post(
        "/api/v1/studies", files={"files": ("a.jpg", photograph(10))}, headers={"Idempotency-Key": "k1"}
    )
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


def _huge_png() -> bytes:
    # 40,000 x 40,000 grey, as a header that a decoder would believe
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _traversal() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        bundle.writestr("../../evil.jpg", photograph(1))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.jpg", b"", "empty-file"),
        ("text.dcm", b"This is no image. " * 50, "not-an-image"),
        ("cut.jpg", photograph(99, side=200)[:900], "truncated"),
        ("bomb.zip", zipped(zeros=bytes(150 * MEBIBYTE)), "archive-bomb"),
        ("evil.zip", _traversal(), "archive-unsafe-path"),
        ("huge.png", _huge_png(), "too-many-pixels"),
    ],
)
def test_a_bad_file_is_refused_with_its_code_and_leaves_nothing_but_its_bytes_behind(
    service: Service, tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    answer = service.client.post("/api/v1/studies", files={"files": (name, content)})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "nothing-taken"
    assert [(line["file"], line["reason"]) for line in problem["rejected"]] == [(name, reason)]
    assert all(line["problem"] and line["remedy"] for line in problem["rejected"])
    assert list((tmp_path / "spool").iterdir()) == []
    kept = [path.read_bytes() for path in (tmp_path / "objects").rglob("*") if path.is_file()]
    assert kept == ([content] if content else [])  # in the quarantine
    assert f'reason="{reason}"' in service.client.get("/metrics").text


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"age": "old"}, "age"),
        ({"age": "200"}, "age"),
        ({"skin_type": "7"}, "skin_type"),
        ({"priority": "at once"}, "priority"),
        ({"sex": "x"}, "sex"),
        ({"bodysite": "arm"}, "bodysite"),
    ],
)
def test_a_wrong_field_is_named(service: Service, fields: dict[str, str], named: str) -> None:
    answer = service.client.post("/api/v1/studies", files={"files": ("a.jpg", photograph(9))}, data=fields)
    assert answer.status_code == 422
    assert repr(named) in answer.json()["detail"]
    assert service.client.get("/api/v1/worklist").json()["waiting"] == 0


def test_an_upload_over_the_limits_is_refused_before_it_is_read_whole(tmp_path: Path) -> None:
    with in_process(tmp_path, limits=UploadLimits(max_bytes=2000, max_files=2, min_free_bytes=0)) as service:
        large = service.client.post("/api/v1/studies", files={"files": ("a.jpg", bytes(5000))})
        many = service.client.post(
            "/api/v1/studies", files=[("files", (f"{number}.jpg", b"x")) for number in range(3)]
        )
        chunked = service.client.post(
            "/api/v1/studies",
            content=(bytes(500) for _ in range(10)),
            headers={"Content-Type": "multipart/form-data; boundary=x"},
        )
    assert [answer.status_code for answer in (large, many)] == [413, 413]
    assert many.json()["code"] == "upload-too-large"
    assert chunked.status_code in {400, 413}


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data", b"", 400),
        ("multipart/form-data; boundary=x", b"", 400),
        ("multipart/form-data; boundary=x", b"nonsense", 400),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="f"\r\n\r\ncut',
            400,
        ),
        ("multipart/form-data; boundary=x", b"--x\r\nA: b\r\n\r\nhi\r\n--x--\r\n", 400),
        ("multipart/form-data; boundary=x", b"--x--\r\n", 422),
    ],
)
def test_a_malformed_upload_is_a_problem_and_no_crash(
    service: Service, tmp_path: Path, content_type: str, body: bytes, status: int
) -> None:
    answer = service.client.post("/api/v1/studies", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_full_disk_is_said_before_anything_is_taken(tmp_path: Path) -> None:
    with in_process(tmp_path, limits=UploadLimits(MEBIBYTE, 9, min_free_bytes=2**60)) as service:
        answer = service.client.post("/api/v1/studies", files={"files": ("a.jpg", photograph(9))})
    assert (answer.status_code, answer.json()["code"]) == (507, "storage-full")


def test_a_frame_is_rendered_small_or_whole_as_jpeg_or_png(service: Service) -> None:
    _send(service, ("a.png", photograph(200, side=300, coding="PNG")))
    (entry,) = service.client.get("/api/v1/worklist").json()["entries"]
    cover = entry["cover"]
    whole = service.client.get(cover["rendered"], headers={"Accept": "image/png"})
    small = service.client.get(cover["rendered"] + "?width=100")
    thumbnail = service.client.get(cover["thumbnail"])
    assert whole.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(whole.content)).size == (300, 300)
    assert Image.open(io.BytesIO(whole.content)).getpixel((5, 200)) == (200, 0, 0)
    assert small.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(small.content)).size == (100, 100)
    assert Image.open(io.BytesIO(thumbnail.content)).size == (192, 192)
    known = service.client.get(cover["thumbnail"], headers={"If-None-Match": thumbnail.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")
    assert service.client.get(cover["rendered"], headers={"Accept": "text/html"}).status_code == 406


def test_a_dicom_frame_is_rendered_as_it_is_displayed(service: Service, tmp_path: Path) -> None:
    (chest,) = write_sample_studies(tmp_path / "phantoms", seed=3, n_skin=0, n_chest=1, n_head=0)
    _send(service, ("chest.dcm", chest.read_bytes()))
    (entry,) = service.client.get("/api/v1/worklist").json()["entries"]
    shown = Image.open(
        io.BytesIO(service.client.get(entry["cover"]["rendered"], headers={"Accept": "image/png"}).content)
    )
    expected = chest_radiograph(3, has_opacity=False)
    assert shown.size == expected.shape[::-1]
    assert shown.mode == "L"


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/studies/unknown",
        "/api/v1/studies/unknown/instances/1/frames/1/rendered",
        "/api/v1/nothing",
        "/assets/../app.py",
        "/assets/none.css",
    ],
)
def test_what_is_not_there_is_a_problem_with_the_status_404(service: Service, path: str) -> None:
    answer = service.client.get(path)
    assert answer.status_code == 404
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (404, "not-found")
    assert problem["request_id"] == answer.headers["x-request-id"]


def test_a_frame_beyond_the_last_is_not_found(service: Service) -> None:
    _send(service, ("a.jpg", photograph(9)))
    cover = service.client.get("/api/v1/worklist").json()["entries"][0]["cover"]
    answer = service.client.get(cover["rendered"].replace("/frames/1/", "/frames/2/"))
    assert answer.status_code == 404
    assert "frames 1 to 1" in answer.json()["detail"]


def test_a_damaged_object_is_never_shown(service: Service) -> None:
    _send(service, ("a.jpg", photograph(9)))
    (stored,) = [path for path in service.objects.folder.rglob("*") if path.is_file()]
    stored.chmod(0o600)
    stored.write_bytes(photograph(10))
    cover = service.client.get("/api/v1/worklist").json()["entries"][0]["cover"]
    answer = service.client.get(cover["rendered"])
    assert (answer.status_code, answer.json()["code"]) == (500, "object-damaged")
    service.score_all()
    assert service.client.get("/api/v1/worklist").json()["entries"][0]["state"] == "failed"


def test_a_wrong_method_and_a_wrong_query_are_problems_too(service: Service) -> None:
    wrong_method = service.client.delete("/api/v1/worklist")
    assert (wrong_method.status_code, wrong_method.json()["code"]) == (405, "method-not-allowed")
    assert wrong_method.headers["allow"] == "GET"
    for query in ("limit=0", "limit=201", "limit=x", "cursor=%21", "cursor=AAAA", "lang=fr"):
        answer = service.client.get(f"/api/v1/worklist?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request"), query


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/v1/worklist", "/assets/pages.css"])
def test_what_can_be_read_can_be_asked_about_without_its_body(service: Service, path: str) -> None:
    whole, head = service.client.get(path), service.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert service.client.head("/api/v1/studies").status_code == 405


def test_the_description_of_the_interface_refers_to_nothing_outside_itself(service: Service) -> None:
    document = service.client.get("/api/v1/openapi.json").json()

    def references(node: object) -> Iterator[str]:
        for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from references(value)
        if isinstance(node, dict) and "$ref" in node:
            yield str(node["$ref"])

    for reference in references(document):
        found: object = document
        for step in reference.removeprefix("#/").split("/"):
            assert isinstance(found, dict)
            assert step in found, reference
            found = found[step]


@pytest.mark.parametrize("path", ["/send", "/api/v1/studies"])
@pytest.mark.parametrize(
    ("site", "is_taken"), [("cross-site", False), ("same-site", False), ("same-origin", True)]
)
def test_a_page_of_another_site_cannot_put_studies_into_the_queue(
    service: Service, path: str, site: str, *, is_taken: bool
) -> None:
    answer = service.client.post(
        path, files={"files": ("a.jpg", photograph(9))}, headers={"Sec-Fetch-Site": site}
    )
    assert answer.status_code == (201 if is_taken else 403)
    assert (
        service.client.get("/api/v1/worklist", headers={"Sec-Fetch-Site": site}).json()["waiting"] == is_taken
    )


def test_a_fault_of_ours_is_a_problem_without_its_inside(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(Worklist, "read", break_down)
    answer = service.client.get("/api/v1/worklist", headers={"X-Request-Id": "from-outside"})
    assert (answer.status_code, answer.json()["code"]) == (500, "failed")
    assert answer.json()["request_id"] == "from-outside"
    assert "secret" not in answer.text


def test_pages_of_the_list_lead_on_to_each_other(service: Service) -> None:
    for red in range(0, 250, 50):
        _send(service, (f"{red}.jpg", photograph(red)))
    seen = []
    address: str | None = "/api/v1/worklist?limit=2"
    while address is not None:
        page = service.client.get(address).json()
        seen += [entry["id"] for entry in page["entries"]]
        address = page["next"]
    assert len(seen) == len(set(seen)) == 5


def test_the_answer_comes_in_the_language_that_is_asked_for(service: Service) -> None:
    _send(service, ("a.jpg", photograph(9)))
    by_header = service.client.get("/api/v1/worklist", headers={"Accept-Language": "zh-CN,en;q=0.5"})
    by_query = service.client.get("/api/v1/worklist?lang=en", headers={"Accept-Language": "zh-CN"})
    assert by_header.json()["entries"][0]["reason_line"] == "尚未评分：请在4小时内阅片"
    assert by_header.headers["content-language"] == "zh"
    assert by_query.json()["entries"][0]["reason_line"].startswith("not scored yet")


def test_the_operator_is_told_what_runs_and_whether_it_can_work(service: Service) -> None:
    health = service.client.get("/healthz").json()
    assert (health["status"], health["provider"]) == ("alive", "CPUExecutionProvider")
    (model,) = health["models"]
    assert (model["name"], model["version"], len(model["onnx_sha256"])) == ("derm-lesion", "1", 64)
    ready = service.client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    with service.database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    behind = service.client.get("/readyz")
    assert behind.status_code == 503
    assert behind.json()["checks"][0]["detail"] == f"stands at 0000, not at {NEWEST}"


def test_every_answer_carries_an_id_and_the_protecting_headers(service: Service) -> None:
    for path in ("/", "/api/v1/worklist", "/nothing", "/assets/pages.css"):
        answer = service.client.get(path)
        assert answer.headers["x-request-id"]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_description_of_the_interface_names_every_operation_and_its_errors(service: Service) -> None:
    document = service.client.get("/api/v1/openapi.json").json()
    by_the_standard = {path for path in document["paths"] if path.startswith(("/dicom-web/", "/wado"))}
    assert {"/wado", "/dicom-web/studies/{study}/metadata"} <= by_the_standard
    assert set(document["paths"]) - by_the_standard == {
        "/fhir/metadata",
        "/fhir/ServiceRequest",
        "/fhir/ServiceRequest/{order}",
        "/api/v1/me",
        "/api/v1/studies",
        "/api/v1/quarantine",
        "/api/v1/quarantine/discard",
        "/api/v1/quarantine/purge",
        "/api/v1/quarantine/retry",
        "/api/v1/quarantine/{entry}",
        "/api/v1/quarantine/{entry}/corrections",
        "/api/v1/quarantine/{entry}/discard",
        "/api/v1/quarantine/{entry}/rendered",
        "/api/v1/quarantine/{entry}/retry",
        "/api/v1/quiet-times",
        "/api/v1/studies/{study}/arrival",
        "/api/v1/studies/{study}/complete",
        "/api/v1/uploads",
        "/api/v1/uploads/{upload}",
        "/api/v1/uploads/batches/{batch}",
        "/api/v1/uploads/batches/{batch}/complete",
        "/api/v1/worklist",
        "/api/v1/studies/{study}",
        "/api/v1/studies/{study}/consent",
        "/api/v1/claims",
        "/api/v1/devices",
        "/api/v1/devices/{device}",
        "/api/v1/codes",
        "/api/v1/discrepancies",
        "/api/v1/studies/{study}/rank",
        "/api/v1/studies/{study}/read",
        "/api/v1/studies/{study}/read/sign",
        "/api/v1/studies/{study}/reads",
        "/api/v1/studies/{study}/claim",
        "/api/v1/studies/{study}/claim/renew",
        "/api/v1/studies/{study}/claim/take-over",
        "/api/v1/worklist/next",
        "/api/v1/studies/{study}/instances/{sop_instance_uid}/frames/{frame}/rendered",
        "/api/v1/studies/{study}/instances/{sop_instance_uid}/frames/{frame}/thumbnail",
        "/api/v1/operations/scoring",
        "/api/v1/operations/scoring/pause",
        "/api/v1/operations/scoring/resume",
        "/api/v1/operations/stuck",
        "/api/v1/operations/studies/{study}/retry",
        "/api/v1/operations/workers",
        "/api/v1/users",
        "/api/v1/users/{user}",
        "/api/v1/users/{user}/licence",
        "/api/v1/users/{user}/password-link",
        "/api/v1/sites",
        "/api/v1/sites/{site}",
        "/api/v1/tokens",
        "/api/v1/tokens/{token}",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    body = document["paths"]["/api/v1/studies"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert {
        "files",
        "age",
        "sex",
        "body_site",
        "skin_type",
        "clinical_question",
        "duration",
        "change",
        "change_note",
        "priority",
        "consent",
        "arrival",
    } == set(body["schema"]["properties"])
    for path, operations in document["paths"].items():
        told_as = "application/fhir+json" if path.startswith("/fhir/") else "application/problem+json"
        for operation in operations.values():
            assert told_as in operation["responses"]["4XX"]["content"]
            assert "HTTPValidationError" not in str(operation)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("testserver", 200),  # named by the operator
        ("localhost:8080", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("evil.example", 421),  # a page's own name that was made to lead here
        ("evil.example:8080", 421),
        ("127.0.0.1.evil.example", 421),
    ],
)
def test_a_request_under_a_name_that_is_not_ours_is_told_nothing(
    service: Service, host: str, status: int
) -> None:
    answer = service.client.get("/api/v1/worklist", headers={"Host": host})

    assert answer.status_code == status
    if status == 421:
        assert answer.json()["code"] == "unknown-host"
        assert "FIRSTREAD_HOST_NAMES" in answer.json()["detail"]
