"""What a secret looks like, and that it goes from every text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.redaction import HIDDEN, names_secret, secret_in, secrets_of, without_secrets

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
HUB = "hf_" + "aB3" * 11


@given(NAMES, st.text("abc/+=:", min_size=1), NAMES)
def test_a_password_in_a_uri_is_found_and_blanked(user, password, host):
    text = f"uri: s3://{user}:{password}@{host}/x"
    assert secret_in(text) == "a URI holds a password"
    assert without_secrets(text) == f"uri: s3://***@{host}/x"


@pytest.mark.parametrize(
    "text",
    [
        "s3://lake/a@b",
        "http://host:80/a@b",
        "mail: a@b",
        "s3://lake/x, me: you@there",
        "6,475 tokens/s, 35.4% truncated",
        "special token: [CLS]",
        "token_budget=512, n_tokens=7",
        "SignatureDoesNotMatch: the request signature does not match",
        "as it was",
    ],
)
def test_other_texts_are_left_as_they_are(text):
    assert secret_in(text) == ""
    assert without_secrets(text) == text


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("GET https://b/x?X-Amz-Signature=0a1b2c3d&x=1", "0a1b2c3d"),
        ("GET https://b/x?se=1&sig=Zm9v%3D", "Zm9v"),
        ("{'Authorization': 'Bearer abcdefgh1234'}", "abcdefgh1234"),
        ("authorization: AWS4-HMAC-SHA256 Credential=AKIA1234", "AKIA1234"),
        (f"pulled with {HUB}", HUB),
        ("key AKIAABCDEFGHIJKLMNOP of a user", "AKIAABCDEFGHIJKLMNOP"),
        ("--set models.m.hf_token=hunter2", "hunter2"),
        ("{'secret_access_key': 'hunter2'}", "hunter2"),
        ("AWS_SECRET_ACCESS_KEY=hunter2", "hunter2"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----", "MIIEow"),
    ],
)
def test_what_looks_like_a_secret_is_blanked(text, secret):
    assert secret not in without_secrets(text)
    assert HIDDEN in without_secrets(text)


@pytest.mark.parametrize(
    "name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "RAY_AUTH_TOKEN"]
)
def test_a_secret_of_the_environment_is_blanked_whatever_it_looks_like(name, monkeypatch):
    monkeypatch.setenv(name, "some plain words")
    assert without_secrets("signed with some plain words.") == "signed with ***."
    assert secret_in("uri: some plain words") == "it holds a secret of the environment"


def test_a_secret_that_may_be_in_a_text_by_chance_is_blanked_and_refuses_nothing(monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "vectors-1")
    assert secret_in("table: out/vectors-1") == ""
    assert without_secrets("table: out/vectors-1") == "table: out/***"


def test_of_two_secrets_of_which_one_begins_the_other_nothing_stays(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "abcdefgh")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "abcdefghijklmnop")
    assert without_secrets("abcdefghijklmnop abcdefgh") == "*** ***"


def test_names_that_only_say_where_a_secret_is_hold_none():
    held = ("HF_TOKEN", "secret-key", "token", "DB_PASSWORD", "AZURE_STORAGE_ACCOUNT_KEY")
    none = (
        *("RAY_AUTH_TOKEN_PATH", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ACCESS_KEY_ID", "n_tokens"),
        *("GOOGLE_APPLICATION_CREDENTIALS", "token_budget", "TOKENIZERS_PARALLELISM", "key"),
        *("SECRET_NAME", "TOKEN_URL", "SECRET_ARN", "password_enabled"),
    )
    assert all(map(names_secret, held))
    assert not any(map(names_secret, none))


def test_a_short_value_is_no_secret_or_it_would_garble_every_sentence():
    assert secrets_of({"HF_TOKEN": "a", "DB_PASSWORD": ""}) == []
