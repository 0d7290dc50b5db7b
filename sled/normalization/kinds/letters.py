"""Words, and letters that are said by their names.

    FBI, NYC, USPS, AT&T, NAACP     f b i, n y c, u s p s, a t and t, n a a c p
    NASA, NATO, STOP                nasa, nato, stop: a word that can be said
    WHO says, the IT department     w h o says, the i t department; but WHO IS THERE
    Vitamin A, A, B, C; a man       the letter, which does not sound like the article
    WWII, PhD, 4G LTE               world war two, p h d, four g l t e
    Nooooo!, xxxxxxxx               no!, x: of more than three equal letters one or two are said

Capitals are said by their names if they are listed here, have no vowel, or are at most five letters
that are no frequent word and cannot be said as one. Where the words around them are in capitals,
too, words that are also frequent words are read as words.
"""

from __future__ import annotations

import re
from re import Match

from sled.normalization.characters import without_accents
from sled.normalization.kinds.chat import SPELLED as CHAT
from sled.normalization.kinds.compounds import parts_of
from sled.normalization.kinds.sums import GREEK
from sled.normalization.pronunciations import frequent_words
from sled.normalization.rules import (
    CONSONANT,
    LETTER,
    LETTER_GAP,
    Rule,
    before,
    rule,
    spell,
    word_set,
    word_table,
)

# Capitals that are said by the names of their letters, although they could be read as a word.
SPELLED = word_set(
    "AA AAA AARP ABA ABC AC ACL ACLU AD ADA ADD ADHD AFC AFL AI AIG ALS AMA AMC AMD AMEX "
    "AOL AP API APA APR ARM ATF ATM ATP ATV AWS BA BBC BBQ BC BCE BLT BMI BMW BS CAA "
    "CBO CBS CCTV CDC CD CE CEO CET CFO CGI CIA CIO CNN COO CPA CPI CPR CPU CRM CSI CSS "
    "CST CT CTA CTO CV DA DAO DC DEA DHS DJ DMV DNA DNC DNR DOA DOB DOC DOD DOE DOJ DOT "
    "DUI DVD EA EAP ECB ECG EEG EKG EMS EMT EPA ER ERP ESG ESL ESP EST ESPN ET ETA ETF EU "
    "EV FAA FBI FCC FDA FDIC FDR FHA FIA FOB FTC GAAP GDP GE GED GI GIS GMO GOP GPA "
    "GPS GPU GUI HBO HIV HOA HOV HR HUD HVAC IBM IBS ICE ICU ID IDE IEEE INS IOC IOU IP "
    "IPA IPO IQ IRA IRC IRS ISBN ISO ISP IT ITV IUD IV IVF JFK KFC KGB LA LAN LCD LED LGBT "
    "LLC LSD LTE MA MBA MD MIA MIT MLA MLB MMA MRI MS MSG MTA MVP NAACP NBA NBC NCAA NDA NEA "
    "NFL NGO NHL NHS NIH NOAA NPR NRA NSA NSF NY NYC NYPD NYU NZ OCD OED OEM OK OOP OP OS OT "
    "PA PBS PC PCR PDA PE PDF PGA PHP PIN PM PMS POV POW PPE PR PSA PTA PTO PTSD QA QR RAF "
    "RAM RBI RIP RNA RNC ROI RPG RSPCA RV SAE SAP SAT SEC SEO SI SIM SMS SOS SPCA SQL "
    "SRO SSN STD SUV TA TB THC TIA TLC TSA TV UAE UC UCLA UCSF UFC UFO UI UK UN UPC "
    "UPI UPS URI URL US USA USAF USB USDA USMC USN USP USPS USSR UTC UTI UV UX VA VAT VC VFX "
    "VIP VOA VP VPN VR WHO WHOIS WIP WMD WPA WTO WWE WWF XML YA YMCA YWCA ZIP "
    "IM DOI TIL AQI IU AES OECD IMF UNHCR "
    "ERA IFN IOP UVA UVB LAX IR UDP XYZ USD AEST AEDT CEST JST AR GA YMMV IANAL"
) - word_set("ARM DOT ICE PIN RAM RIP SAT SIM ZIP ADD SAP POW")
SPELLED |= {letters.upper() for letters in CHAT}
# Those of them that are also words are read as words in a text in capitals.
_WORDS_TOO = word_set("IT ERA WHO US AM PM OK ID IS AD ADA MA LA ET HUD ME OR IN LED AI ER TA")
# Words of two letters; others are spelled.
_SHORT_WORDS = word_set(
    "AH AM AN AS AT AW AX BE BY DO EH ER EX GO HA HE HI HM HO IF IN IS IT LO MA ME MY NO OF OH ON "
    "OR OW OX PA PI SO TO UH UM UP US WE YA YE YO LA EM"
)
# Capitals that are read as words although they are no frequent words.
_ACRONYMS = word_set(
    "AIDS ASAP ASCII BIOS CAPTCHA COBOL COVID DARPA FEMA FIFA FICA FLOPS GIF HIPAA IKEA JPEG "
    "LASER LOL MIDI NAFTA NASA NASCAR NASDAQ NATO NAVY NIMBY OPEC OSHA PETA PIN POTUS RADAR "
    "RAID RAM RICO ROM SARS SCOTUS SCUBA SIM SNAP SOAP SONAR SWAT SWIFT TASER UEFA UNESCO "
    "UNICEF VAR VOIP WASP YOLO YAML ZIP"
)
_SPECIAL = {
    "WWI": "world war one",
    "WWII": "world war two",
    "WW1": "world war one",
    "WW2": "world war two",
    "PhD": spell("PhD"),
    "PhDs": spell("PhD") + "'s",
    "BSc": spell("BSc"),
    "MSc": spell("MSc"),
    "DPhil": spell("D") + " phil",
    "IoT": spell("IoT"),
    "NVMe": spell("NVMe"),
    "PyPI": "pie " + spell("PI"),
    "arXiv": "archive",
    "OAuth": spell("O") + "auth",
    "pH": spell("pH"),
    "pKa": spell("pKa"),
    "WiFi": "Wi-Fi",
    "macOS": "mac " + spell("OS"),
    "MHz": "megahertz",
    "vs": "versus",
    "Rx": spell("Rx"),
    "NaN": "not a number",
    "NE": "northeast",
    "NW": "northwest",
    "SE": "southeast",
    "SW": "southwest",
}
# mRNA, eGFR, siRNA
_SMALL_BEFORE_CAPITALS = re.compile(
    r"(?P<first>[a-z]|(?:si|mi|ss|ds|sn|sc|cf|pi)(?=[DR]NA))(?P<rest>[A-Z]{2,})(?P<owner>s|'s)?"
)
# After these, IT is the word, emphasised.
_BEFORE_IT = word_set("do did does mean meant get got want love hate said made make try")
_VOWELS = set("AEIOUY")
_SEVERAL = re.compile("[BCDFGHJKLNPQRSTWXYZ]s")  # the three Rs
_CONSONANTS = re.compile(f"{CONSONANT}{{2,}}")  # npm, xyz, bf
_SMALL_WORDS = word_set("til als ama dao gaap mia sae tia")
_SOUNDS = word_set(
    "hm hmm mm mmm shh sshh pst psst brr brrr grr grrr zz zzz pfft tsk nth th st nd rd"
)
_MAX_SPELLED = 5
# Consonants at the beginning and the end of a word that can be said.
_ONSET = (
    "(?:[bcdfghjklmnpqrstvwxz]?|[bcfgp]l|[bcdfgpt]r|[cst]h|s[cklmnpqtw]|s[cpt]r|thr|[dt]w"
    "|wh|wr|kn|ph|qu|spl|sch)"
)
_CODA = (
    "(?:[bcdfghklmnprstvwxz]?|[bdfglmnprst]s|c?k|[lnr][dkmnpt]|[lnr]t|m[bp]|n[cdgkt]|[cfpsx]t|s[hkmpt]"
    "|[cst]h|ll|ss|ff|tt|zz|ng|n[gk]s|lf|r[bcfgklms])"
)
_SAYABLE = re.compile(
    rf"{_ONSET}(?:[aeiou]{{1,2}}[bcdfghjklmnpqrstvwxyz]{{1,3}})*[aeiou]{{1,2}}y?{_CODA}y?"
)

# Before a letter: Vitamin A, Plan B. A letter alone is one as well, see _say_a.
_LETTERED = word_set(
    "vitamin hepatitis plan group type grade class section team point option blood category "
    "exhibit appendix letter part answer column item phase level model series side track "
    "block question terminal gate unit room hall studio size schedule influenza method "
    "scenario version an"
)


def say_word(match: Match[str]) -> str:
    """A word, or several with hyphens between them."""
    text = match[0]
    if text in _SPECIAL:
        return _SPECIAL[text]
    if len(text) == 1:
        return GREEK.get(text) or (
            text if text in "aI" or text.islower() and _is_french(match) else _say_letter(match)
        )
    said = "-".join(_say_part(part, match) for part in text.split("-"))
    return said.replace(f"{LETTER_GAP}-", LETTER_GAP)


def _is_french(match: Match[str]) -> bool:
    return match[0] not in "bcdfghjklmnpqrstvwxz"


def _say_letter(match: Match[str]) -> str:
    return spell(match[0]) if match[0].isascii() else match[0]


def _say_part(text: str, match: Match[str]) -> str:
    if text in _SPECIAL:
        return _SPECIAL[text]
    text = _shorten(text)
    if small := _SMALL_BEFORE_CAPITALS.fullmatch(text):
        owner = "'s" if small["owner"] else ""
        return f"{spell(small['first'])}{_say_part(small['rest'], match)}{owner}"
    if len(parts := parts_of(text)) > 1:
        return " ".join(_say_part(part, match) for part in parts)
    if _SEVERAL.fullmatch(text):
        return f"{spell(text[0])}'s"
    letters, _, ending = text.partition("'")
    if ending and ending not in ("s", "S"):
        return text
    plural = ""
    if letters.endswith("s") and letters[:-1].isupper() and len(letters) > 2:
        letters, plural = letters[:-1], "'s"
    if letters.islower() and _is_spelled_small(letters):
        return spell(letters) + ("'s" if ending else "")
    if len(letters) < 2 or not letters.isupper() or not _is_spelled(letters, match):
        return text
    return spell(letters) + (plural or ("'s" if ending else ""))


def _is_spelled_small(letters: str) -> bool:
    """Whether small letters are said by their names: npm, udp."""
    if _CONSONANTS.fullmatch(letters):
        return letters not in _SOUNDS
    is_code = len(letters) > 2 and letters.upper() in SPELLED and letters not in _SMALL_WORDS
    return is_code and not frequent_words().find(letters)


def _is_spelled(letters: str, match: Match[str]) -> bool:
    """Whether capitals are said by the names of their letters."""
    if letters in _ACRONYMS:
        return False
    if letters == "IT" and before(match).lower() in _BEFORE_IT:
        return False
    if letters in SPELLED:
        return letters not in _WORDS_TOO or not _is_among_capitals(match)
    if len(letters) == 2 and letters not in _SHORT_WORDS and not _is_among_capitals(match):
        return True
    if not _VOWELS & set(without_accents(letters)):
        return True
    if len(letters) > _MAX_SPELLED or frequent_words().find(letters.lower()):
        return False
    if not letters.isascii() or _is_among_capitals(match):
        return False
    return len(letters) <= 3 or not _SAYABLE.fullmatch(letters.lower())


def _is_among_capitals(match: Match[str]) -> bool:
    """Whether a word next to it is a word in capitals."""
    previous = match.string[: match.start()].rstrip(" \"'(*_").rpartition(" ")[2]
    following = match.string[match.end() : match.endpos].lstrip(" \"')*_,;:").partition(" ")[0]
    return any(
        _CAPITALS.fullmatch(word.strip("\"'(),;:.!?*_")) is not None
        for word in (previous, following)
    )


_CAPITALS = re.compile(r"(?=[A-Z']*[AEIOUY])[A-Z][A-Z']+|[A-Z']{5,}")


def _say_a(match: Match[str]) -> str:
    """The letter A, or the article."""
    following = match.string[match.end() : match.endpos]
    previous = before(match).lower().strip("\"'(,;:")
    is_letter = (
        following[:1] in (*".,;:!?)\"'", "")
        or previous in _LETTERED
        or re.match(r" (?:[A-Z](?!\w)|(?:and|or|to|through|is|was) [A-Z](?!\w))", following)
        is not None
        or re.search(r"(?<!\w)[B-Z],? (?:and |or )?$", match.string[: match.start()]) is not None
    )
    return spell("A") if is_letter else "A"


def _shorten(text: str) -> str:
    """Of more than three equal letters one or two are kept, whichever is a word."""
    if not _LONG.search(text):
        return text
    one, two = _LONG.sub(lambda m: m[0][:1], text), _LONG.sub(lambda m: m[0][:2], text)
    known = frequent_words().find
    return two if len(two) > 2 and known(two.lower()) else one


_LONG = re.compile(r"([aeiouy])\1{2,}|(?i:(.)\2{3,})")

_OPENED = re.compile(r"(?<!\w)(?:M|Tu?|W|Th|Sa)(?:-(?:Tu|W|Th|F|Sa|Su))? \d[\d:apm-]*[,;] $")
_DAYS = word_table(
    "M=Monday T=Tuesday Tu=Tuesday W=Wednesday Th=Thursday F=Friday Sa=Saturday Su=Sunday"
)
BEGINS = LETTER
RULES: list[Rule] = [
    rule(
        r"(?<![\w'.-])A(?![\w'&-])",
        _say_a,
        begins=r"A$",
        reach=2,
        goes_on="and|or|to|through|is|was",
    ),
    rule(r"(?<![\w'-])d[xyzt](?![\w'-])", lambda m: spell(m[0])),
    rule("[α-ωΑ-Ω]", lambda m: GREEK.get(m[0])),
    rule(  # A-Z, a-f; A-B is no range
        r"(?<![\w'-])(?:A-(?P<last>[C-Z])|a-(?P<small>[c-z]))(?![\w'-])",
        lambda m: f"{spell('A')}to {spell(m['last'] or m['small'])}",
    ),
    rule(  # AB-1234
        r"(?<![\w'-])(?!NO|IN|TO|OF|AT|ON|UP|GO)[A-Z]{2}(?=-\d)", lambda m: spell(m[0])
    ),
    rule(  # M-F, Tu-Th
        r"(?<![\w'-])(?P<first>M|Tu|W|Th|F|Sa|T(?=-Th))-(?P<last>Tu|W|Th|F|Sa|Su)(?![\w'-])",
        lambda m: f"{_DAYS[m['first']]} to {_DAYS[m['last']]}",
    ),
    rule(  # an SAT score
        r"(?<!\w)(?:SAT|ACT)(?= (?:\d\d|scores?|prep|exams?|tests?)(?!,\d))",
        lambda m: spell(m[0]),
        begins="(?:SAT|ACT)$",
        reach=1,
    ),
    rule(r"(?<!\w)T(?:u?-?/?)Th(?= \d)", "Tuesday Thursday", begins="T(?:u?-?/?)Th$", reach=1),
    rule(  # M-Th 10-6, F 10-4
        r"(?<![\w'-])(?P<day>[MTWF])(?= \d\d?(?::\d\d)?(?:[ap]m?)?-\d)",
        lambda m: _DAYS[m["day"]] if _OPENED.search(m.string, 0, m.start()) else None,
        begins="[MTWF]$",
        reach=1,
    ),
    rule(  # Th 9-12
        r"(?<![\w'-])(?P<day>Tu|Th)(?= \d\d?(?::\d\d)?(?:[ap]m?)?[-,;)])",
        lambda m: _DAYS[m["day"]],
        begins="(?:Tu|Th)$",
        reach=1,
    ),
    # The letters of AT&T, R&D, Q&A.
    rule(
        r"(?<!\w)(?P<letters>[A-Z]{1,3}(?: ?& ?[A-Z]{1,3})+)(?P<plural>s?)(?!\w)",
        lambda m: (
            " and ".join(spell(part.strip()) for part in m["letters"].split("&"))
            + ("'s" if m["plural"] else "")
        ),
    ),
    rule(
        r"(?:(?![α-ωΑ-Ω])[^\W\d_])+(?:['-](?![A-Z]\.[A-Z])(?:(?![α-ωΑ-Ω])[^\W\d_])+)*",
        say_word,
        begins=r"(?:IT|WHO|US|LED|AD|AM|PM|OK|ID|[A-Z]{2,5})(?:'s)?$",
        reach=1,
    ),
]
