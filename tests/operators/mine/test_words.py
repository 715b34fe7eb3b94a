from operators.mine.words import counted, joined, split, statistics

SOME = (["red apple", "The red, red car"], [], ["car of a kind", ""])


def test_words_are_lowercase_and_of_two_letters_or_more() -> None:
    words = split(["The Red a Äpfel", "x red"], "english")
    assert words.words.to_pylist() == ["red", "äpfel"]
    assert words.length.tolist() == [2, 1]
    assert words.number.tolist() == [0, 1, 0]
    assert split(["the red"], "").words.to_pylist() == ["the", "red"]


def test_a_word_is_counted_once_a_document_with_its_times() -> None:
    word, document, times = counted(split(SOME[0], "english"))
    found = list(zip(word.tolist(), document.tolist(), times.tolist(), strict=True))
    assert found == [(0, 0, 1), (0, 1, 2), (1, 0, 1), (2, 1, 1)]


def test_joining_statistics_is_associative_and_order_does_not_matter() -> None:
    a, b, c = (statistics(unit, split(texts, "english")) for unit, texts in enumerate(SOME))
    whole = joined([a, b, c])
    for other in (joined([joined([c, a]), b]), joined([a, joined([c, b]), joined([])])):
        assert other.rows.equals(whole.rows)
        assert other.frequency.equals(whole.frequency)
    assert whole.documents == 4
    assert whole.mean_length == 7 / 4
    assert whole.first_row(2) == 2
    assert dict(zip(*whole.frequency.to_pydict().values(), strict=True)) == {
        "apple": 1,
        "car": 2,
        "kind": 1,
        "red": 2,
    }
