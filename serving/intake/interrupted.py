"""Clears what uploads left behind that the end of an earlier process cut off; none of them was acknowledged.

An upload notes the hash of a file before the file goes into the store. If the process ends before the
commit, that note says which stored files nobody may refer to; the database says which of these it does.
"""

import logging
import re
import shutil
from pathlib import Path

from serving.errors import StartError
from serving.store.database import Database
from serving.store.objects import ObjectStore
from serving.store.references import hold_objects, unreferenced
from serving.store.turns import is_shared_by_writers

log = logging.getLogger(__name__)

# In an upload's folder of the spool: a SHA-256 a line. A file of the upload never has this name.
NOTE = "taken"
_SHA256 = re.compile(r"^[0-9a-f]{64}$", re.MULTILINE)


def clear_spool(spool: Path, database: Database, objects: ObjectStore) -> int:
    """Empty the spool folder and take away the stored files that only cut-off uploads know of.

    Gives their number. Called at a start, before anything can come in.

    Raises
    ------
    StartError
        If the spool folder cannot be emptied.
    """
    # The last line of a note may be cut off as well.
    noted = {hit for note in spool.glob(f"*/{NOTE}") for hit in _SHA256.findall(note.read_text("latin-1"))}
    n_cleared = sum(_clear(sha256, database, objects) for sha256 in sorted(noted))
    if n_cleared:
        log.info("cleared %d files of uploads that were cut off before they were acknowledged", n_cleared)
    try:
        if spool.exists():
            shutil.rmtree(spool)
        spool.mkdir(mode=0o700)
    except OSError as error:
        raise StartError(f"{spool} cannot be emptied ({error.strerror}): remove it.") from error
    return n_cleared


def _clear(sha256: str, database: Database, objects: ObjectStore) -> bool:
    """Take away an object that no image refers to.

    Beside other processes it is set aside only: its sender, not having been told, may have sent the same
    bytes to another of them, which has put them and not committed yet. Whoever then asks for it has it back.
    """
    with database.writing() as connection:
        hold_objects(connection)
        if objects.head(sha256) is None or not unreferenced(connection, [sha256]):
            return False
        if is_shared_by_writers(connection):
            return objects.set_aside(sha256)
        objects.remove(sha256)
        return True
