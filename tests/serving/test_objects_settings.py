from pathlib import Path

import pytest

from serving.errors import StartError
from serving.hosting.command import read_settings
from serving.intake.pace import Pace


def test_objects_lie_in_the_home_unless_another_folder_or_a_bucket_is_named() -> None:
    assert read_settings(home="/srv/f").objects_folder == Path("/srv/f/objects")
    assert read_settings(home="/srv/f", objects_url="/mnt/o").objects_folder == Path("/mnt/o")
    assert read_settings(home="/srv/f", objects_url="file:///mnt/a%20b").objects_folder == Path("/mnt/a b")
    assert read_settings(home="/srv/f", objects_url="s3://images/a").objects_bucket == "s3://images/a"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"objects_url": "ftp://a/b"}, "FIRSTREAD_OBJECTS_URL: it must be a folder, or begin with"),
        ({"objects_url": "s3:///b"}, "names no bucket"),
        ({"objects_url": "s3://someone:hidden@images/a"}, "keys belong into the environment"),
        ({"objects_url": "file://host/b"}, "file:///path"),
        ({"objects_encryption": "AES256"}, "are for s3:// alone"),
        ({"objects_url": "s3://images", "objects_kms_key": "k"}, "needs FIRSTREAD_OBJECTS_ENCRYPTION"),
    ],
)
def test_a_wrong_place_is_said_in_a_sentence_without_what_may_be_a_key(
    given: dict[str, str], said: str
) -> None:
    with pytest.raises(StartError) as caught:
        read_settings(home="/srv/f", **given)
    assert said in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_byte_a_minute_is_too_slow_and_a_slow_modem_is_not() -> None:
    pace = Pace()
    assert pace.seconds_left(1, elapsed_s=61) < 0
    assert pace.seconds_left(7000 * 600, elapsed_s=600) > 0
