"""Roman numerals."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Henry VIII, Louis XIV", "henry the eighth, louis the fourteenth"),
        ("Pope Pius X, Malcolm X", "pope pius the tenth, malcolm x"),
        ("King Charles III", "king charles the third"),
        ("Elizabeth I was queen", "elizabeth the first was queen"),
        ("Charles I think", "charles i think"),
        ("Rocky IV, Apollo XI", "rocky four, apollo eleven"),
        ("Super Bowl LVIII", "super bowl fifty-eight"),
        ("World War II", "world war two"),
        ("the XIX century", "the nineteenth century"),
        ("Act II, Scene iii", "act two, scene three"),
        ("Vol. III, Episode V", "volume three, episode five"),
        ("Section IV.2", "section four point two"),
        ("Chapter IV. Act I.", "chapter four. act one."),
        ("the part I like", "the part i like"),
        ("James T. Reed III", "james t reed the third"),
        ("Xbox Series X, generation X", "xbox series x, generation x"),
        ("I, II, III, IV", "one, two, three, four"),
        ("types I, II and III", "types one, two and three"),
        ("phases IV, V and VI", "phases four, five and six"),
        ("I, too, saw IV", "i, too, saw i v"),
        ("either II or III", "either two or three"),
        ("§ 4.2(a)(iii)", "section four point two (a) (three)"),
    ],
)
def test_roman_are_said(written: str, said: str) -> None:
    assert normalize(written, "english").strip() == said
