"""Before the first write: does the store let exactly one of several creators win?"""

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from operators.errors import PreflightError, SourceError
from operators.storage import uri as store

RACERS = 8
OVERRIDE = "write.allow_careless_store: true"
"""What a config says to use such a store all the same; the commit names it."""


def refuse_careless_store(uri: str) -> None:
    """PreflightError unless one of eight racing conditional creates wins; nothing is left behind.

    A store that cannot be written to (no bucket, wrong credentials) is one clear sentence too.
    Local file systems are not asked: a hard link is an atomic create there.
    """
    if store.is_local(uri):
        return
    key = store.join(uri, "_corpusmill/preflight", uuid.uuid4().hex)
    try:
        winners = _race(key)
    except SourceError as error:
        raise PreflightError(f"cannot write to {uri}: {error.problem}") from error
    finally:
        with suppress(SourceError):  # a store that refused to write may refuse to delete
            store.delete([key])
    if winners != 1:
        raise PreflightError(
            f"the store of {uri} let {winners} of {RACERS} writers create the same object, so two "
            "runs could overwrite each other's commits. Use a store with conditional writes, or "
            f"say {OVERRIDE!r} if only one run ever writes there"
        )


def _race(key: str) -> int:
    with ThreadPoolExecutor(RACERS) as pool:
        racers = [pool.submit(store.create_bytes, key, b"%d" % n) for n in range(RACERS)]
        return sum(racer.result() for racer in racers)
