"""Dates, years and decades."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("March 5, 1999", "march fifth, nineteen ninety-nine"),
        ("Jan. 3 or 12 Feb. in all", "january third or the twelfth of february in all"),
        ("Feb 29, 2024", "february twenty-ninth, twenty twenty-four"),
        ("5th of May 2020", "the fifth of may, twenty twenty"),
        ("May 5-7", "may fifth to seventh"),
        ("June-July 2024", "june to july twenty twenty-four"),
        ("on 11/22/1963", "on november twenty-second, nineteen sixty-three"),
        ("05/06/1990", "may sixth, nineteen ninety"),
        ("13/05/2024", "may thirteenth, twenty twenty-four"),
        ("01.05.2024", "may first, twenty twenty-four"),
        ("2024-05-01", "may first, twenty twenty-four"),
        ("2024/05/01", "may first, twenty twenty-four"),
        ("2024-05-01T14:30:00Z", "may first, twenty twenty-four, two thirty p m"),
        ("12/25/24", "december twenty-fifth, twenty twenty-four"),
        ("05/2024 or 2024/12", "may twenty twenty-four or december twenty twenty-four"),
        ("due on 5/16", "due on may sixteenth"),
        ("8/25–12/12", "august twenty-fifth to december twelfth"),
        ("the 2023/24 season", "the twenty twenty-three twenty-four season"),
        ("from 1914-18", "from nineteen fourteen to eighteen"),
        ("the 1990s, the '60s", "the nineteen nineties, the 'sixties"),
        ("in her 30s, the 80s", "in her thirties, the eighties"),
        ("79 AD, 500 BCE", "seventy-nine a d, five hundred b c e"),
        ("In 1066, and since 1086.", "in ten sixty-six, and since ten eighty-six."),
        ("until 1042 under Cnut", "until ten forty-two under cnut"),
        ("in 1066 cases, 1066 men", "in one thousand sixty-six cases, one thousand sixty-six men"),
        ("the 1st c. BCE, a 2nd C. AD vase", "the first century b c e, a second century a d vase"),
        ("the 4th and 5th c. on", "the fourth and fifth century on"),
        ("It is 19th c. He", "it is nineteenth century. he"),
        ("J. C. Bach and c. 1750", "j c bach and circa seventeen fifty"),
        ("Mon-Fri, Jan-Mar", "monday to friday, january to march"),
        ("Tues. and Thurs.", "tuesday and thursday."),
        ("Mon, Jan 5", "monday, january fifth"),
        ("I may go in March", "i may go in march"),
        ("He sat. The sun shone.", "he sat. the sun shone."),
        ("by Fri. 10/18", "by friday october eighteenth"),
        (
            "20th-c. art, 300 BCE–200 CE; in AD 1066",
            "twentieth century art, three hundred b c e to two hundred c e; in a d ten sixty-six",
        ),
        ("kicks off 8/16, low 60s", "kicks off august sixteenth, low sixties"),
    ],
)
def test_dates_are_said(written: str, said: str) -> None:
    assert normalize(written, "english").strip() == said
