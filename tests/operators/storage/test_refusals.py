import pytest

from operators.errors import SourceError
from operators.storage.refusals import explained, told


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
def test_a_secret_that_an_error_quotes_is_blanked_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "hush-hush")
    with pytest.raises(SourceError) as caught, explained("s3://b/k"):
        raise OSError("signed with hush-hush")
    assert str(caught.value) == "source s3://b/k: OSError: signed with ***"


def test_an_error_is_told_on_one_line_without_colours() -> None:
    assert told(OSError("first\n  \x1b[31m↳\x1b[0m second\n")) == "first : second"


def test_of_an_xml_answer_the_code_and_message_stay() -> None:
    answer = "<Error><Code>NoSuchKey</Code><Message>It is gone.</Message><Host>h</Host></Error>"
    assert told(OSError(f"GET failed\n{answer}")) == "NoSuchKey: It is gone."


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError("403"), "access denied (403); check the credentials"),
        (FileNotFoundError("no bucket"), "not found (no bucket)"),
        (NotImplementedError("create"), "NotImplementedError: create"),
    ],
)
def test_each_refusal_has_its_sentence(error: Exception, sentence: str) -> None:
    with pytest.raises(SourceError) as caught, explained("s3://b/k"):
        raise error
    assert sentence in str(caught.value)


def test_a_mistake_of_ours_passes_as_it_is() -> None:
    with pytest.raises(KeyError), explained("s3://b/k"):
        raise KeyError("ours")
