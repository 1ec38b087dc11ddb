"""The interface's description says what each operation really takes."""

from collections.abc import Iterator

import pytest

from serving.identity.permissions import PERMISSIONS
from tests.serving.service_in_process import Service, in_process


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with in_process(tmp_path_factory.mktemp("service"), with_sign_in=True) as running:
        yield running


def test_every_operation_names_the_proofs_and_roles_of_its_row(service: Service) -> None:
    document = service.client.get("/api/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    rules = {(method, path.replace(":path}", "}")): rule for (method, path), rule in PERMISSIONS.items()}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            rule = rules[method.upper(), path]
            takes = [name for proof in operation["security"] for name in proof]
            assert ("session" in takes) == (not rule.is_public), (method, path)
            assert ("token" in takes) == (rule.token_scope is not None), (method, path)
            assert operation.get("x-roles") == (None if rule.is_public else sorted(rule.roles))


def test_the_description_is_the_same_each_time(service: Service) -> None:
    first, second = (service.client.get("/api/v1/openapi.json").json() for _ in range(2))
    assert first == second
