import pytest

from serving.errors import Problem, ServiceError
from serving.identity.shown_names import shown_name


@pytest.mark.parametrize(
    "name", ["Northern county hospital", "县医院", "O'Neill-李", "بيمارستان", "क्\u200dष", "7", ""]
)
def test_a_name_that_can_be_read_is_taken_as_it_is(name: str) -> None:
    assert shown_name(f" {name}\t", of="a site") == name


@pytest.mark.parametrize(
    "name", ["\u202e", "a\u0000b", "evil\u202egnp", "a\nb", "\u200b", "\ufeffa", "...", "—"]
)
def test_a_name_that_hides_or_turns_what_is_read_is_refused(name: str) -> None:
    with pytest.raises(ServiceError) as refused:
        shown_name(name, of="a site")

    assert refused.value.problem is Problem.INVALID_REQUEST
