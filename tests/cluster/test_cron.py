"""Cron expressions mean what crontab means by them, in every time zone."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.cron import cron
from operators.errors import ConfigError

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)  # a Sunday
WEEK = timedelta(days=7)
MINUTE = timedelta(minutes=1)
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)).map(
    lambda at: at.replace(tzinfo=UTC)
)
EXPRESSIONS = st.sampled_from(
    ["0 3 * * *", "*/15 * * * *", "30 2 * * 0", "0 0 1 * *", "5 4 1 * 1", "0 12 29 2 *"]
)
ZONES = ["UTC", "Europe/Paris", "America/New_York", "Africa/Cairo", "Australia/Lord_Howe"]


def weekdays(field):
    """The days on which a cron fires, as crontab counts them."""
    dates = cron(f"0 0 * * {field}").between(NOON, NOON + WEEK)
    return sorted(date.isoweekday() % 7 for date in dates)


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("0", [0]),
        ("7", [0]),
        ("1-5", [1, 2, 3, 4, 5]),
        ("5-7", [0, 5, 6]),
        ("fri-sun", [0, 5, 6]),
        ("MON,3", [1, 3]),
        ("*/2", [0, 2, 4, 6]),
        ("1/2", [1, 3, 5]),
        ("*", [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_days_of_the_week_are_counted_from_sunday(field, days):
    assert weekdays(field) == days


def test_a_day_of_the_month_and_one_of_the_week_mean_either():
    dates = islice(cron("0 0 1 * 1").between(NOON, NOON + 5 * WEEK), 3)
    assert [date.day for date in dates] == [23, 30, 1]  # Monday, Monday, the first


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("time", ["0 0", "30 1", "30 2", "0 3"])
def test_a_daily_cron_has_one_date_a_day_whatever_the_clocks_do(zone, time):
    first, last = (datetime(year, 1, 1, tzinfo=ZoneInfo(zone)) - MINUTE for year in (2025, 2027))
    dates = list(cron(f"{time} * * *", zone).between(first, last))
    assert len(dates) == 2 * 365
    assert len({date.astimezone(ZoneInfo(zone)).date() for date in dates}) == 2 * 365


@given(EXPRESSIONS, st.sampled_from(ZONES), MOMENTS, st.integers(1, 1500))
def test_the_newest_date_of_a_span_is_the_last_of_its_dates(expression, zone, since, hours):
    schedule, until = cron(expression, zone), since + timedelta(hours=hours)
    dates = list(islice(schedule.between(since, until), 20_001))
    assert dates == sorted(set(dates))
    assert all(since < date <= until for date in dates)
    assert schedule.newest(since, until) == (dates[-1] if dates else None)


@given(EXPRESSIONS, st.sampled_from(ZONES), MOMENTS)
def test_no_date_lies_between_the_last_and_the_next(expression, zone, now):
    schedule = cron(expression, zone)
    last = schedule.last(now)
    assert last is not None
    assert last <= now < schedule.after(last) == schedule.after(now)


@pytest.mark.parametrize(
    ("expression", "zone", "phrase"),
    [
        ("0 3 * *", "UTC", "--cron '0 3 * *': 4 fields; expected five fields (minute hour"),
        ("@daily", "UTC", "1 fields; expected five fields"),
        ("61 * * * *", "UTC", "higher than the maximum value (59)"),
        ("0 0 * * 8", "UTC", "'8' is no day of the week (0 to 7, or sun to sat)"),
        ("0 0 * * 5-1", "UTC", "'5-1' is no day of the week, nor a range of them"),
        ("0 0 * * */0", "UTC", "'*/0' is no day"),
        ("0 0 31 2 *", "UTC", "there is no such date in any year"),
        ("0 0 * * *", "Mars/Base", "--timezone Mars/Base: no such time zone"),
        ("0 0 * * *", "../etc", "--timezone ../etc: no such time zone"),
    ],
)
def test_what_is_no_cron_is_one_sentence(expression, zone, phrase):
    with pytest.raises(ConfigError) as refused:
        cron(expression, zone)
    assert phrase in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 2
