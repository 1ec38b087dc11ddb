from pathlib import Path

import pyotp
import pytest

from serving.audit.opening import open_trail, operator
from serving.identity.caller import Role, Stage
from serving.identity.opening import open_identity
from serving.identity.own_account import NewPassword
from serving.identity.refused_sign_in import Reason, SignInRefusedError
from serving.store.audit import read_rows
from serving.store.sessions import find_session
from serving.store.times import now_us
from tests.serving.identity.people import PASSWORD, VISITOR
from tests.serving.store.databases import Place
from tests.serving.store.stored import opened


def test_from_the_first_link_to_the_second_factor_and_out(place: Place, tmp_path: Path) -> None:
    with opened(place) as database:
        trail = open_trail(database, tmp_path)
        identity = open_identity(database, trail, tmp_path, factor_roles=[Role.OPERATOR])
        assert identity.accounts is not None
        accounts, signing_in = identity.accounts, identity.accounts.signing_in
        link = accounts.links.for_set_up(operator())
        assert link is not None
        new = NewPassword(PASSWORD, PASSWORD)
        first = accounts.set_up(VISITOR, link, login_name="zhou", name_zh="周", name_en="", new=new)
        assert first.stage is Stage.ENROLMENT
        with pytest.raises(SignInRefusedError) as caught:
            accounts.set_up(VISITOR, link, login_name="li", name_zh="李", name_en="", new=new)
        assert caught.value.reason is Reason.LINK_INVALID

        with database.reading() as connection:
            found = find_session(connection, first.token)
        assert found is not None
        _, person = found
        enrolment = signing_in.factors.enrolment(person)
        assert enrolment is not None
        assert signing_in.factors.enrolment(person) == enrolment
        assert len(signing_in.factors.confirm(person, pyotp.TOTP(enrolment.secret).now())) == 10

        with pytest.raises(SignInRefusedError):
            signing_in.with_password(VISITOR, "zhou", "wrong")
        half = signing_in.with_password(VISITOR, "zhou", PASSWORD)
        assert half.stage is Stage.SECOND_FACTOR
        following = pyotp.TOTP(enrolment.secret).at(now_us() // 1_000_000 + 30)
        through = signing_in.with_second_factor(VISITOR, half.token, following)
        assert through.stage is Stage.OPEN
        signing_in.out(VISITOR, through.token)
        with database.reading() as connection:
            actions = [(row.action, row.result) for row in read_rows(connection)]
        assert actions == [
            ("permission-changed", "done"),
            ("permission-changed", "done"),
            ("logged-in", "done"),
            ("logged-in", "refused"),
            ("logged-in", "refused"),
            ("logged-in", "done"),
            ("logged-out", "done"),
        ]
