import pytest

from operators.quantize.protocol import Scheme
from operators.quantize.registry import SCHEMES, scheme_class


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_is_registered_under_its_own_name(name) -> None:
    assert scheme_class(name).name == name
    assert isinstance(scheme_class(name)(), Scheme)


def test_a_misspelt_scheme_is_answered_with_the_one_it_resembles() -> None:
    with pytest.raises(ValueError, match="no scheme 'binray'; did you mean 'binary'"):
        scheme_class("binray")


def test_an_unknown_scheme_is_answered_with_all_there_are() -> None:
    with pytest.raises(
        ValueError, match="no scheme 'x'; there are fp16, fp8, int8, int8-dim, binary"
    ):
        scheme_class("x")
