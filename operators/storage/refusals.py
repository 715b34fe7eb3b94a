"""What a store's refusal becomes: one sentence with the place, and without secrets."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from operators.errors import PassingError
from operators.redaction import without_secrets

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_ANSWER = re.compile(r"<Code>(\w+)</Code>\s*<Message>(.*?)</Message>", re.DOTALL)


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn a store's refusal into one sentence: what, where, what would be right."""
    try:
        yield
    except PermissionError as error:
        hint = "check the credentials and the bucket's policy"
        raise PassingError(uri, f"access denied ({told(error)}); {hint}") from error
    except FileNotFoundError as error:
        raise PassingError(uri, f"not found ({told(error)})") from error
    except (OSError, ValueError, ImportError, NotImplementedError) as error:
        raise PassingError(uri, f"{type(error).__name__}: {told(error)}") from error
    except Exception as error:  # botocore's errors share no base with OSError
        if type(error).__module__.partition(".")[0] not in {"botocore", "aiobotocore", "aiohttp"}:
            raise
        raise PassingError(uri, f"{type(error).__name__}: {told(error)}") from error


def told(error: BaseException) -> str:
    """An error's own words on one line, without terminal colours and secrets.

    Of a store's XML answer only the code and the message stay.
    """
    text = str(error)
    if answer := _ANSWER.search(text):
        text = f"{answer[1]}: {answer[2]}"
    return without_secrets(" ".join(_COLOURS.sub("", text).replace("\u21b3", ":").split()))
