"""The headers of the protocol: whatever stands in them, they are read, or refused in a sentence."""

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import Problem, ServiceError
from serving.intake.context import ContextFields
from serving.uploads.announced import Announced, joined, read_announced
from serving.uploads.protocol import read_checksum, read_metadata, read_number

# What a request's header can hold at all: latin-1 without control characters.
HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=200)


def _problem(read: Callable[[], object]) -> Problem | None:
    try:
        read()
    except ServiceError as error:
        return error.problem
    return None


@given(HEADER)
def test_any_header_is_read_or_refused(text: str) -> None:
    refused = {
        _problem(lambda: read_metadata(text)),
        _problem(lambda: read_checksum(text)),
        _problem(lambda: read_number("Upload-Offset", text)),
    }
    assert refused <= {None, Problem.BAD_PARAMETER}


@given(
    st.dictionaries(
        st.text(
            st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=","),
            min_size=1,
            max_size=20,
        ),
        st.text(max_size=40).filter(lambda text: text.isprintable()),
        max_size=12,
    )
)
def test_what_was_written_is_read(said: dict[str, str]) -> None:
    header = ", ".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in said.items())
    assert read_metadata(header) == said


@given(
    st.dictionaries(
        st.sampled_from(["filename", "age", "sex", "batch", "change", "sha256"]), st.text(max_size=30)
    )
)
def test_any_metadata_is_announced_or_refused_by_name(said: dict[str, str]) -> None:
    problem = _problem(lambda: read_announced(said))
    assert problem in {None, Problem.INVALID_REQUEST}
    if problem is None:
        announced = read_announced(said)
        assert announced.name
        assert set(announced.fields) <= set(ContextFields.model_fields)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"filename": "a.jpg"}, "a.jpg"),
        ({"name": "a.jpg", "relativePath": "null", "type": "image/jpeg"}, "a.jpg"),  # as Uppy says it
        ({"filename": "IM1", "relativePath": "CD/DICOM/IM1"}, "CD/DICOM/IM1"),
        ({"filename": "a\u202egpj.exe"}, "agpj.exe"),
        ({}, "file"),
        ({"filename": "\u0000"}, "file"),
    ],
)
def test_a_name_is_taken_from_where_clients_put_it(said: dict[str, str], name: str) -> None:
    assert read_announced(said) == Announced(name)


def test_what_two_files_say_of_one_batch_is_put_together_or_refused() -> None:
    assert joined({"age": "61"}, {"sex": "F", "age": "61"}) == {"age": "61", "sex": "F"}
    with pytest.raises(ServiceError, match="age '61' already, this file says '62'"):
        joined({"age": "61"}, {"age": "62"})
