"""Logical dates: what a scheduled run is called, always told in UTC."""

from datetime import UTC, datetime

from operators.errors import ConfigError


def logical(text: str) -> str:
    """A date as runs are labelled, such as 2026-11-22T03:00:00Z; empty stays empty.

    A date without a zone is UTC. ConfigError when it is no ISO date.
    """
    return told(moment(text)) if text else ""


def moment(text: str) -> datetime:
    """An ISO date in UTC; ConfigError when it is none."""
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        wanted = "an ISO date such as 2026-11-22 or 2026-11-22T03:00Z"
        raise ConfigError((f"--date {text}: not {wanted}",)) from error


def told(at: datetime) -> str:
    """A moment as a logical date, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
