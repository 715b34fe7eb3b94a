import hashlib

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from operators.text.hashes import content_hashes, shares


@given(st.lists(st.none() | st.text(alphabet="aé中", max_size=3)), st.integers(0, 3))
def test_each_text_has_the_hash_of_its_own_bytes(texts, skip) -> None:
    hashes = content_hashes(pa.array(texts, pa.string()).slice(skip)).to_pylist()
    assert hashes == [
        None if text is None else hashlib.blake2b(text.encode(), digest_size=16).digest()
        for text in texts[skip:]
    ]


def test_shares_are_spread_evenly_and_depend_on_the_seed() -> None:
    ids = pa.chunked_array([[str(number) for number in range(4000)]])
    drawn = shares(ids, 1)
    assert 0 <= drawn.min() <= drawn.max() < 1
    assert abs(drawn.mean() - 0.5) < 0.02
    assert (drawn != shares(ids, -1)).all()
