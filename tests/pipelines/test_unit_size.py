"""How large units are where a config does not say."""

import pytest

from pipelines.plan import bytes_a_unit

MIB, GB = 1 << 20, 10**9


@pytest.mark.parametrize(
    ("total", "wanted"),
    [
        (0, MIB // 2),
        (10 * MIB, MIB // 2),
        (256 * MIB, 4 * MIB),
        (4 * GB, 16 * MIB),
        (200 * GB, 16 * MIB),
        (500 * GB, 500 * GB // 15_000),
        (2000 * GB, 64 * MIB),
    ],
)
def test_units_are_many_but_not_too_many_and_never_too_long_for_a_slow_model(total, wanted):
    assert bytes_a_unit(total, ()) == wanted
