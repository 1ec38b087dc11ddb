"""What an operator changes of people beside their grants; operators are counted under a lock."""

from sqlalchemy import Connection, select, update

from serving.store.identity_tables import user_roles, users

_OPERATOR = "operator"


def active_operators(connection: Connection) -> set[int]:
    """Give the ids of the operators who may sign in.

    Their rows stay locked until the transaction ends, so that two who remove one another cannot both succeed;
    SQLite's writers take turns as it is.
    """
    query = (
        select(users.c.id)
        .join(user_roles, user_roles.c.user_id == users.c.id)
        .where(user_roles.c.role == _OPERATOR, users.c.is_active)
        .order_by(users.c.id)
        .with_for_update(of=users)
    )
    return set(connection.execute(query).scalars())


def set_home_and_names(
    connection: Connection, user_id: int, *, home_site: str | None, name_zh: str, name_en: str
) -> None:
    """Replace the site that somebody belongs to, and the names others know them by."""
    connection.execute(
        update(users)
        .where(users.c.id == user_id)
        .values(home_site_id=home_site, name_zh=name_zh, name_en=name_en)
    )
