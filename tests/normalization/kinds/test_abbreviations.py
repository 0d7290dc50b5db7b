"""Abbreviations, and the full stop behind them."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Mr. and Mrs. Smith met Dr Jones", "mister and missus smith met doctor jones"),
        ("Prof. J. K. Jones", "professor j k jones"),
        ("No. 7, and no. No 7. No. I will", "number seven, and no. no seven. no. i will"),
        ("vol. 3, p. 12, pp. 3-5", "volume three, page twelve, pages three to five"),
        ("St. Paul on Wall St. today", "saint paul on wall street today"),
        ("5 St. James's St.", "five saint james's street."),
        ("lives on Elm Dr. He", "lives on elm drive. he"),
        ("Dr. Smith", "doctor smith"),
        ("Elm Rd., 5 N. Main St.", "elm road, five north main street."),
        ("Apt. 4B, ext. 12, max. 10", "apartment four b, extension twelve, maximum ten"),
        ("Ft. Worth, Mt. Everest", "fort worth, mount everest"),
        ("Tbl. 1, Pg. 12, Lvl. 9", "table one, page twelve, level nine"),
        ("c. 1850, Eq. 3, Fig. A", "circa eighteen fifty, equation three, figure a"),
        ("dogs, etc. They", "dogs, et cetera. they"),
        ("dogs, etc. and cats", "dogs, et cetera and cats"),
        ("e.g. Acme Inc.", "for example acme incorporated."),
        ("At 7 a.m.? He left (the U.S.).", "at seven a m? he left (the u s)."),
        ("the U.S. Army, the U.S.'s", "the u s army, the u s's"),
        ("in the U.S. He left", "in the u s. he left"),
        ("M. A. R. I. A.", "m a r i a."),
        ("w/o, w/ milk, and/or, he/she", "without, with milk, and or, he or she"),
        ("cats vs dogs, Smith et al. say", "cats versus dogs, smith and others say"),
        ("a.k.a. Bob", "a k a bob"),
        ("E. coli, T. rex or S. aureus", "e coli, t rex or s aureus"),
        ("Got an E. coli", "got an e coli"),
        ("Got an E. plan", "got an e. plan"),
        ("Ctrl+C", "control c"),
        ("Hwy 61, Rt. 66", "highway sixty-one, route sixty-six"),
        ("8 ft. long. 3 men", "eight feet long. three men"),
        ("your order no. (see above)", "your order number (see above)"),
        ("2nd ed., 3 vols., ed. J. Roe", "second edition, three volumes, edited by j roe"),
        (
            "max. $5, Ex. B, w/in 5 bus. days",
            "maximum five dollars, exhibit b, within five business days",
        ),
        (
            "b. Jan. 5, m. 1950 (r. 1643-1715)",
            "born january fifth, married nineteen fifty (reigned sixteen forty-three "
            "to seventeen fifteen)",
        ),
        (
            "Messi 23' (pen), Saka 67' (og); a pen (blue)",
            "messi twenty-three (penalty), saka sixty-seven (own goal); a pen (blue)",
        ),
        (
            "93 S. Ct. 705, 550 F.3d 10",
            "ninety-three supreme court seven hundred five, five hundred fifty f third ten",
        ),
        ("Fed. R. Civ. P. 12", "federal rule of civil procedure twelve"),
        ("a Cat. 4 storm, Rd. 2, ed. by J. Li", "a category four storm, round two, edited by j li"),
        ("Apt. #5C, my order # is 7", "apartment five c, my order number is seven"),
        (
            "Wt. 82 kg, Lat. 40.7, 5th Amend. rights",
            "weight eighty-two kilograms, latitude forty point seven, fifth amendment rights",
        ),
    ],
)
def test_abbreviations_are_said(written: str, said: str) -> None:
    assert normalize(written, "english").strip() == said
