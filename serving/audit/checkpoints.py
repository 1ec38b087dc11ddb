"""Signed places of the chain: what a checkpoint vouches for cannot be made anew without the key."""

from collections.abc import Callable, Sequence

from serving.audit.keys import PublicKey, SigningKey
from serving.store.audit import Signed
from serving.store.audit_chain import Link

Check = Callable[[Signed], bool]


def sign_checkpoint(key: SigningKey, link: Link) -> Signed:
    """Vouch for a row and so for every row before it."""
    return Signed(link, key.sign(_message("checkpoint", link)), key.public.fingerprint)


def sign_purge(key: SigningKey, link: Link) -> Signed:
    """Vouch for the hash that the kept rows follow once those up to a place are removed."""
    return Signed(link, key.sign(_message("purge", link)), key.public.fingerprint)


def checkpoint_check(keys: Sequence[PublicKey]) -> Check:
    """Make the check of checkpoints: whether one of `keys` has signed it."""
    return lambda signed: _is_signed("checkpoint", signed, keys)


def purge_check(keys: Sequence[PublicKey]) -> Check:
    """Make the check of purges."""
    return lambda signed: _is_signed("purge", signed, keys)


def _is_signed(kind: str, signed: Signed, keys: Sequence[PublicKey]) -> bool:
    return any(key.has_signed(_message(kind, signed.link), signed.signature) for key in keys)


def _message(kind: str, link: Link) -> bytes:
    # the kind stands in it, so that no checkpoint passes for a purge
    return f"firstread audit {kind} 1\n{link.seq}\n{link.hash}\n{link.at_us}\n".encode("ascii", "replace")
