"""Words, and letters that are said by their names."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("The FBI, NASA and TV's AI", "the f b i, nasa and t v's a i"),
        ("NYC, MIT, USPS, YMCA, ESPN", "n y c, m i t, u s p s, y m c a, e s p n"),
        ("AT&T, R&D, M&Ms", "a t and t, r and d, m and m's"),
        ("WWII, PhD, 4G LTE", "world war two, p h d, four g l t e"),
        ("WHO says, the IT department", "w h o says, the i t department"),
        ("WHO IS THERE? GET IT.", "who is there? get it."),
        ("I am NOT going. STOP!", "i am not going. stop!"),
        ("CDs, URLs, the USA's", "c d's, u r l's, the u s a's"),
        ("getUserName, NullPointerException", "get user name, null pointer exception"),
        ("YouTube, LeBron, iPhone, userID", "youtube, lebron, iphone, user i d"),
        ("a-z, A-F", "a to z, a to f"),
        ("sooo, goooal", "so, goal"),
        ("well-known, don't", "well-known, don't"),
        ("Nooooooo! Goooood, Yessss", "no! good, yes"),
        ("xxxxxxxxxxxxxxxxxxxx", "x"),
        ("mRNA, siRNAs, eGFR, iOS, eSIM", "m r n a, s i r n a's, e g f r, i o s, e sim"),
        ("IKEA, JSON, COVID", "ikea, json, covid"),
        ("the CI on RA, NO and UP", "the c i on r a, no and up"),
        ("M-W, Tu–Th, Th 9-5", "monday to wednesday, tuesday to thursday, thursday nine to five"),
        ("run npm ci, udp and xyz; hmm, psst", "run n p m ci, udp and x y z; hmm, psst"),
        ("M–Th 10–6, F 10–4", "monday to thursday ten to six, friday ten to four"),
        ("a DE out of LSU", "a d e out of l s u"),
        ("an SAT score, the 5 Ws", "an s a t score, the five w's"),
    ],
)
def test_letters_are_said(written: str, said: str) -> None:
    assert normalize(written, "english").strip() == said
