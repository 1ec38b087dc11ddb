"""The second factor: codes of an app that change every 30 seconds (TOTP), and recovery codes on paper.

References
----------
.. [1] RFC 6238: time steps of 30 s; a code is taken once (5.2), and from one step earlier or later.
"""

import base64
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from serving.identity.refused_sign_in import Reason, SignInRefusedError
from serving.identity.sealing import Seal
from serving.store.database import Database
from serving.store.people import Person
from serving.store.second_factors import (
    confirm_factor,
    find_factor,
    set_factor,
    set_recovery_codes,
    use_recovery_code,
    use_step,
)
from serving.store.times import now_us

_STEP_S = 30
_DIGITS = 6
_N_RECOVERY_CODES = 10
_ISSUER = "firstread"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What somebody's app needs: the secret as text and as a picture (SVG) of its address."""

    secret: str
    picture: str


@dataclass(frozen=True)
class SecondFactors:
    """Sets up and checks second factors."""

    database: Database
    seal: Seal
    clock: Callable[[], int] = now_us

    def enrolment(self, person: Person) -> Enrolment | None:
        """Give the secret that is yet to be confirmed, made if need be; None if one counts already."""
        import pyotp  # noqa: PLC0415 - when the first one is set up
        import segno  # noqa: PLC0415

        with self.database.writing() as connection:
            factor = find_factor(connection, person.id)
            if factor is not None and factor.is_confirmed:
                return None
            secret = None if factor is None else self.seal.open(factor.sealed_secret, bound_to=person.key)
            if secret is None:
                secret = pyotp.random_base32()
                sealed = self.seal.close(secret, bound_to=person.key)
                set_factor(connection, person.id, sealed, now_us=self.clock())
        address = pyotp.TOTP(secret).provisioning_uri(name=person.login_name, issuer_name=_ISSUER)
        picture = segno.make(address, error="m", micro=False).svg_inline(
            border=4, dark="#000", light="#fff", svgclass="code", lineclass=None, omitsize=True
        )
        return Enrolment(secret, picture)

    def confirm(self, person: Person, code: str) -> list[str]:
        """Let the secret count once its first code is right; gives the recovery codes, which are shown once.

        Raises
        ------
        SignInRefusedError
            `CODE_WRONG` if it is not right, or there is nothing to confirm.
        """
        self._check_app(person, code, is_confirmed=False)
        codes = [_recovery_code() for _ in range(_N_RECOVERY_CODES)]
        with self.database.writing() as connection:
            confirm_factor(connection, person.id, now_us=self.clock())
            set_recovery_codes(connection, person.id, [_plain(one) for one in codes])
        return codes

    def check(self, person: Person, code: str) -> str:
        """Check a code of the app or of the paper, use it up, and say which it was.

        Raises
        ------
        SignInRefusedError
            `CODE_WRONG`, or `CODE_AGAIN` if it was used already.
        """
        if len(_plain(code)) > _DIGITS:
            with self.database.writing() as connection:
                if use_recovery_code(connection, person.id, _plain(code), now_us=self.clock()):
                    return "recovery code"
            raise SignInRefusedError(Reason.CODE_WRONG)
        self._check_app(person, code, is_confirmed=True)
        return "app"

    def _check_app(self, person: Person, code: str, *, is_confirmed: bool) -> None:
        import pyotp  # noqa: PLC0415 - see above

        with self.database.writing() as connection:
            factor = find_factor(connection, person.id)
            if factor is None or factor.is_confirmed is not is_confirmed:
                raise SignInRefusedError(Reason.CODE_WRONG)
            secret = self.seal.open(factor.sealed_secret, bound_to=person.key)
            if secret is None:
                raise SignInRefusedError(Reason.CODE_WRONG)
            totp = pyotp.TOTP(secret)
            now_step = self.clock() // (_STEP_S * 1_000_000)
            given = _plain(code).encode()
            steps = [
                step
                for step in (now_step - 1, now_step, now_step + 1)
                if hmac.compare_digest(totp.generate_otp(step).encode(), given)
            ]
            if not steps:
                raise SignInRefusedError(Reason.CODE_WRONG)
            if not use_step(connection, person.id, steps[-1]):
                raise SignInRefusedError(Reason.CODE_AGAIN)


def _recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(10)).decode("ascii")  # 80 bits, 16 letters and digits
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def _plain(code: str) -> str:
    return "".join(code.upper().split()).replace("-", "")[:64]
