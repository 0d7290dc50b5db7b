"""Amounts of money.

$5, $1, $0.50, $.99         five dollars, one dollar, fifty cents, ninety-nine cents
£3.20, €3,50, £3.20p        three pounds and twenty pence, three euros and fifty cents, ...
$3.5 million, $2bn, $5k     three point five million dollars, two billion dollars, ...
US$50, 50 USD, CHF 20       fifty U S dollars, twenty Swiss francs
$5-10, $10/month            five to ten dollars, ten dollars per month
"""

from __future__ import annotations

import re
from re import Match

from sled.normalization import numbers
from sled.normalization.kinds.unit_names import unit_names
from sled.normalization.rules import NUMBER, Rule, before, range_word, rule, spell

_CENT, _US, _HK = ("cent", "cents"), spell("US"), spell("HK")

# The names of a currency, singular and plural, and those of its hundredth.
_CURRENCIES = {
    "USD": (f"{_US}dollar", f"{_US}dollars", *_CENT),
    "EUR": ("euro", "euros", *_CENT),
    "GBP": ("pound", "pounds", "penny", "pence"),
    "JPY": ("yen", "yen", "sen", "sen"),
    "CNY": ("yuan", "yuan", "fen", "fen"),
    "RMB": ("yuan", "yuan", "fen", "fen"),
    "INR": ("rupee", "rupees", "paisa", "paise"),
    "CHF": ("Swiss franc", "Swiss francs", "centime", "centimes"),
    "CAD": ("Canadian dollar", "Canadian dollars", *_CENT),
    "AUD": ("Australian dollar", "Australian dollars", *_CENT),
    "NZD": ("New Zealand dollar", "New Zealand dollars", *_CENT),
    "HKD": ("Hong Kong dollar", "Hong Kong dollars", *_CENT),
    "SGD": ("Singapore dollar", "Singapore dollars", *_CENT),
    "TWD": ("Taiwan dollar", "Taiwan dollars", *_CENT),
    "MXN": ("Mexican peso", "Mexican pesos", "centavo", "centavos"),
    "BRL": ("real", "reais", "centavo", "centavos"),
    "KRW": ("won", "won", "jeon", "jeon"),
    "RUB": ("ruble", "rubles", "kopek", "kopeks"),
    "TRY": ("lira", "lira", "kurus", "kurus"),
    "VND": ("dong", "dong", "xu", "xu"),
    "ILS": ("shekel", "shekels", "agora", "agorot"),
    "UAH": ("hryvnia", "hryvnias", "kopiyka", "kopiykas"),
    "NGN": ("naira", "naira", "kobo", "kobo"),
    "PHP": ("peso", "pesos", "centavo", "centavos"),
    "THB": ("baht", "baht", "satang", "satang"),
    "PLN": ("zloty", "zlotys", "grosz", "groszy"),
    "CZK": ("Czech crown", "Czech crowns", "heller", "hellers"),
    "SEK": ("Swedish crown", "Swedish crowns", "ore", "ore"),
    "NOK": ("Norwegian crown", "Norwegian crowns", "ore", "ore"),
    "DKK": ("Danish crown", "Danish crowns", "ore", "ore"),
    "HUF": ("forint", "forints", "filler", "filler"),
    "ZAR": ("rand", "rand", *_CENT),
    "AED": ("dirham", "dirhams", "fils", "fils"),
    "SAR": ("riyal", "riyals", "halala", "halalas"),
    "IDR": ("rupiah", "rupiah", "sen", "sen"),
    "MYR": ("ringgit", "ringgit", "sen", "sen"),
    "EGP": ("Egyptian pound", "Egyptian pounds", "piastre", "piastres"),
    "BTC": ("bitcoin", "bitcoins", "satoshi", "satoshis"),
    "ETH": ("ether", "ether", "gwei", "gwei"),
}
_CHAINS = ("satoshis", "gwei")  # amounts in these are said with decimals
_SIGNS = {
    "$": ("dollar", "dollars", *_CENT),
    "US$": _CURRENCIES["USD"],
    "A$": _CURRENCIES["AUD"],
    "AU$": _CURRENCIES["AUD"],
    "C$": _CURRENCIES["CAD"],
    "CA$": _CURRENCIES["CAD"],
    "NZ$": _CURRENCIES["NZD"],
    "HK$": _CURRENCIES["HKD"],
    "S$": _CURRENCIES["SGD"],
    "NT$": _CURRENCIES["TWD"],
    "MX$": _CURRENCIES["MXN"],
    "R$": _CURRENCIES["BRL"],
    "£": _CURRENCIES["GBP"],
    "€": _CURRENCIES["EUR"],
    "¥": _CURRENCIES["JPY"],
    "₹": _CURRENCIES["INR"],
    "Rs": _CURRENCIES["INR"],
    "Rs.": _CURRENCIES["INR"],
    "Fr.": _CURRENCIES["CHF"],
    "SFr.": _CURRENCIES["CHF"],
    "₩": _CURRENCIES["KRW"],
    "₽": _CURRENCIES["RUB"],
    "₺": _CURRENCIES["TRY"],
    "₫": _CURRENCIES["VND"],
    "₪": _CURRENCIES["ILS"],
    "₴": _CURRENCIES["UAH"],
    "₦": _CURRENCIES["NGN"],
    "₱": _CURRENCIES["PHP"],
    "฿": _CURRENCIES["THB"],
    "₿": _CURRENCIES["BTC"],
    "₡": ("colon", "colones", "centimo", "centimos"),
    "₲": ("guarani", "guaranis", "centimo", "centimos"),
    "₵": ("cedi", "cedis", "pesewa", "pesewas"),
    "₸": ("tenge", "tenge", "tiyn", "tiyn"),
    "₮": ("tugrik", "tugriks", "mongo", "mongo"),
    "₭": ("kip", "kip", "att", "att"),
    "zł": _CURRENCIES["PLN"],
    "Kč": _CURRENCIES["CZK"],
    "kr": ("crown", "crowns", "ore", "ore"),
    "kr.": ("crown", "crowns", "ore", "ore"),
}
CURRENCY_CODES = frozenset(_CURRENCIES)
CURRENCY_SIGNS = {sign: names[1] for sign, names in _SIGNS.items() if len(sign) == 1}
MAGNITUDES = "lakh|crore|hundred|thousand|million|billion|trillion"
_SCALES = {
    "k": "thousand",
    "m": "million",
    "mm": "million",
    "mn": "million",
    "mio": "million",
    "mln": "million",
    "bln": "billion",
    "mrd": "billion",
    "b": "billion",
    "bn": "billion",
    "t": "trillion",
    "tn": "trillion",
    "trn": "trillion",
}
_PERIODS = {
    "mo": "month",
    "mth": "month",
    "yr": "year",
    "y": "year",
    "wk": "week",
    "d": "day",
    "h": "hour",
    "hr": "hour",
    "min": "minute",
    "fl oz": "fluid ounce",
    "fl. oz": "fluid ounce",
    "pp": "person",
    "ea": "item",
}


def say_money(names: tuple[str, str, str, str], amount: str, scale: str) -> str:
    """An amount of money.

    Args:
        names: The names of the currency.
        amount: A number.
        scale: A word such as "million"; "" for none.
    """
    one, many, small_one, small_many = names
    whole, _, cents = numbers.plain_number(amount).partition(".")
    whole = whole or "0"
    if small_many in _CHAINS and cents:
        return f"{numbers.number(f'{whole}.{cents}', is_count=True)} {many}"
    if scale or (cents and len(cents) != 2):
        text = f"{whole}.{cents}" if cents else whole
        return " ".join(filter(None, [numbers.number(text, is_count=True), scale, many]))
    parts = []
    if whole.strip("0") or not cents.strip("0"):
        parts.append(f"{numbers.number(whole, is_count=True)} {one if whole == '1' else many}")
    if cents.strip("0"):
        parts.append(f"{numbers.cardinal(int(cents))} {small_one if cents == '01' else small_many}")
    return " and ".join(parts)


def _say(match: Match[str]) -> str | None:
    groups = match.groupdict(default="")
    names = _SIGNS.get(groups["sign"]) or _CURRENCIES[groups["sign"]]
    if groups.get("code"):  # $50 USD
        names = _CURRENCIES[groups["code"]]
    amount, scale = _amount(groups["amount"], groups["sign"]), groups["scale"]
    if letter := groups["letter"] or groups["short"]:
        scale = _SCALES[letter.lower()]
    said = say_money(names, amount, scale)
    has_cents = any("." in (text or "") for text in (amount, groups["last"])) and not scale
    is_one = before(match).lower() in ("a", "an") and re.match(
        r" (?:[a-z]|\d+-(?:yr|year|mo|month)\b)|-an?-", _rest(match)
    )
    if is_one or re.match(r" (?:bills?|notes?|coins?)\b", _rest(match)):
        said = _singular(said, names)
    if groups["last"]:
        first = said if has_cents else numbers.number(amount, is_count=True)
        if (letter := groups.get("first_letter", "")) and _SCALES[letter.lower()]:
            first += f" {_SCALES[letter.lower()]}"
        said = f"{first} {range_word(match)} {say_money(names, groups['last'], scale)}"
    if groups["minus"] or groups.get("minus_"):
        said = f"minus {said}"
    return said + _say_rate(groups["rate"]) + (" per" if groups.get("per") else "")


def _amount(text: str, sign: str) -> str:
    """Prices have no three decimals: behind the point of €1.234 are the hundreds."""
    if sign != "$" and re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", text):
        return text.replace(".", "")
    return text


def _rest(match: Match[str]) -> str:
    return match.string[match.end() : match.endpos]


def _singular(said: str, names: tuple[str, str, str, str]) -> str:
    return said.removesuffix(names[1]) + names[0] if said.endswith(names[1]) else said


def _say_rate(unit: str) -> str:
    """What follows a slash after an amount: a month, a unit, or another word."""
    if not unit:
        return ""
    if unit in CURRENCY_SIGNS:
        return f" per {_SIGNS[unit][0]}"
    known = unit_names(unit)
    return f" per {_PERIODS.get(unit) or (known[0] if known else unit)}"


_SIGN = "|".join(re.escape(sign) for sign in sorted(_SIGNS, key=len, reverse=True))
_CODE = "|".join(_CURRENCIES)
_DOLLARS = "USD|CAD|AUD|NZD|SGD|HKD"
_LETTER = "trn|bln|bn|tn|mln|mn|mm|MM|mio|[kKmMbBtT]"
_SCALE = (
    rf"(?:(?P<letter>{_LETTER})(?![A-Za-z0-9])| (?P<short>trn|bln|bn|tn|mln|mn|Mrd|Mio)(?!\w)\.?"
    rf"|[ -](?P<scale>{MAGNITUDES})(?![a-z]))?"
)
_RATE = (
    r"(?:/ ?(?P<rate>fl\.? ?oz|[a-zA-Z]+\b|[$€£¥](?![\d.]))"
    r"(?:\.(?=[,;:!?)]| (?:\+|[\"'(]*[a-z\d])))?)?"
)
_BEFORE = r"(?<![\w.,$€£¥])(?<![\w.,][-−])"
_NEXT = rf"(?:{MAGNITUDES}|trn|bln|bn|tn|mln|mn|Mrd|Mio)[.,;:!?)\"']*|[\d-].*"

BEGINS = rf"[-−]?(?:\.?\d|{_SIGN}|{_CODE})"
RULES: list[Rule] = [
    rule(  # ₹1.5L
        rf"{_BEFORE}(?:₹|Rs\.?) ?(?P<amount>{NUMBER}) ?(?P<scale>L|Cr|cr)(?!\w)",
        lambda m: say_money(
            _CURRENCIES["INR"], m["amount"], "lakh" if m["scale"] == "L" else "crore"
        ),
        begins=r"(?:₹|Rs\.?)",
        reach=2,
    ),
    # The sign or the code before the amount.
    rule(
        rf"{_BEFORE}(?P<minus>[-−])?"
        rf"(?P<sign>{_SIGN}|(?!PHP ?\d\d?(?!\d))(?:{_CODE})(?= ?[\d.])) ?(?P<minus_>[-−])?"
        rf"(?P<amount>{NUMBER})"
        rf"(?:(?P<first_letter>{_LETTER})?"
        rf"(?: ?- ?(?:{_SIGN})?(?P<last>{NUMBER})(?![-\d]|/\d|[.,]\d)))?"
        rf"(?:(?<=[.,]\d\d)[pc¢](?!\w))?{_SCALE}{_RATE}"
        rf"(?:(?<=\d) (?P<code>{_DOLLARS})(?!\w))?"
        rf"(?:(?P<per>/(?=1[kKMB](?!\w)|10+[kKMB]?(?!\w)|1,000))|(?![A-Za-z\d]|\.\d))",
        _say,
        begins=rf"[-−]?(?:(?:{_SIGN}|{_CODE})$|(?:{_SIGN}|{_CODE})[-−]?[\d.][\d.,-]*(?:[a-zA-Z]*|/[a-z]+\.)$)",
        reach=4,
        goes_on=_NEXT,
    ),
    rule(  # EUR/USD
        rf"(?<!\w)(?P<one>{_CODE})/(?P<two>{_CODE})(?!\w)",
        lambda m: spell(m["one"]) + spell(m["two"]),
    ),
    # Behind it.
    rule(
        rf"(?<![\w.,])(?P<minus>[-−])?(?P<amount>{NUMBER})(?: ?- ?(?P<last>{NUMBER}))?{_SCALE}"
        rf" ?(?P<sign>[€£¥₹₩₽₺₫₪₴₦₱฿₿₸]|zł|Kč|kr\.?(?!\w)|(?:{_CODE})(?!\w)){_RATE}(?![A-Za-z\d])",
        _say,
        begins=r"[-−]?[\d.][\d.,-]*[a-zA-Z]*(?:$|[€£¥₹₩₽₺₫₪₴₦₱฿₿₸])",
        reach=2,
        goes_on=rf"(?:{MAGNITUDES}|trn|bln|bn|tn|mln|mn|(?:Mrd|Mio)\.?)|(?:[€£¥₹₩₽₺₫₪₴₦₱฿₿₸]|zł|Kč|kr|{_CODE})[/.,;:!?)\"'\w]*",
    ),
    rule(
        rf"(?<![\w.,])(?P<amount>{NUMBER}) ?¢{_RATE}",
        lambda m: (
            f"{numbers.number(m['amount'], is_count=True)} "
            + ("cent" if m["amount"] == "1" else "cents")
            + _say_rate(m["rate"] or "")
        ),
        begins=r"[\d.][\d.,]*$",
        reach=1,
        goes_on="¢.*",
    ),
]
