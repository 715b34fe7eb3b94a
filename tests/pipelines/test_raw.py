"""A config's data: YAML without repeated keys, changes by path, secrets found."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipelines.raw import change, parsed, secret_keys

NAMES = st.text("abcdefgh_", min_size=1, max_size=6)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("xyz 0", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


@given(TREES)
def test_what_yaml_writes_is_read_back(tree):
    assert parsed(yaml.safe_dump(tree)) == tree


@pytest.mark.parametrize("text", ["a: 1\na: 2", "{a: {b: 1, b: 1}}", "- {x: 1, x: 2}"])
def test_a_key_that_comes_twice_is_refused_with_its_line(text):
    with pytest.raises(ValueError, match=r"line \d: the key '.' comes twice"):
        parsed(text)


def test_yaml_runs_no_code():
    with pytest.raises(ValueError, match="could not determine a constructor"):
        parsed("!!python/object/apply:os.getcwd []")


@given(st.lists(NAMES, min_size=1, max_size=4), st.integers())
def test_a_change_sets_exactly_that_path(path, value):
    raw: dict[str, object] = {"untouched?": {"x": 1}}
    change(raw, f"{'.'.join(path)}={value}")
    place: object = raw
    for key in path:
        place = place[key]
    assert place == value
    assert raw["untouched?"] == {"x": 1}


def test_a_change_may_hold_an_equals_sign_and_any_yaml():
    raw = {"a": {"b": 1}}
    change(raw, "a.b={c: x=y}")
    assert raw == {"a": {"b": {"c": "x=y"}}}


@pytest.mark.parametrize(
    ("raw", "keys"),
    [
        ({"a": {"token": "x"}}, ["token"]),
        (
            {"a": [{"b": {"secret_access_key": "x"}}, {"api-key": 5}]},
            ["secret_access_key", "api-key"],
        ),
        ({"token_budget": 5, "max_tokens": 6, "token": ""}, []),
        ({"tokenize": {"model": "token"}}, []),
    ],
)
def test_keys_that_name_a_secret_are_found_anywhere(raw, keys):
    assert list(secret_keys(raw)) == keys
