"""Amounts of money."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("$.00, £.05 and $0", "zero dollars, five pence and zero dollars"),
        ("$5, $1, $0.50 and $.99", "five dollars, one dollar, fifty cents and ninety-nine cents"),
        ("$1.01, £0.01", "one dollar and one cent, one penny"),
        ("£3.20, £3.20p", "three pounds and twenty pence, three pounds and twenty pence"),
        ("€3,50 or 3,50 €", "three euros and fifty cents or three euros and fifty cents"),
        ("3.50€", "three euros and fifty cents"),
        ("€1.234,56", "one thousand two hundred thirty-four euros and fifty-six cents"),
        ("$1,234.56", "one thousand two hundred thirty-four dollars and fifty-six cents"),
        (
            "$3.5 million, $2bn, $5k",
            "three point five million dollars, two billion dollars, five thousand dollars",
        ),
        ("a $5 bill, a $5 million deal", "a five dollar bill, a five million dollar deal"),
        ("US$50, 50 USD, USD 50", "fifty u s dollars, fifty u s dollars, fifty u s dollars"),
        (
            "CHF 10.50, 100 kr, R$ 20",
            "ten swiss francs and fifty centimes, one hundred crowns, twenty reais",
        ),
        (
            "₹500, ₹1,00,000, ¥100",
            "five hundred rupees, one hundred thousand rupees, one hundred yen",
        ),
        ("$5-10, $5–$10", "five to ten dollars, five to ten dollars"),
        ("-$5 or $-5", "minus five dollars or minus five dollars"),
        (
            "$10/month, $3.50/lb, $5/hr",
            "ten dollars per month, three dollars and fifty cents per pound, five dollars per hour",
        ),
        ("50¢, 1¢", "fifty cents, one cent"),
        (
            "15¢/kWh, $9/mo., please",
            "fifteen cents per kilowatt hour, nine dollars per month, please",
        ),
        ("$20/mo. (billed yearly)", "twenty dollars per month (billed yearly)"),
        ("$9/yr. after that", "nine dollars per year after that"),
        (
            "1 234 567,89 €",
            "one million two hundred thirty-four thousand five hundred sixty-seven "
            "euros and eighty-nine cents",
        ),
        (
            "€ 12 300, 1 200 EUR",
            "twelve thousand three hundred euros, one thousand two hundred euros",
        ),
        ("the $20 bill", "the twenty dollar bill"),
        (
            "$5/1M tokens, $2.50–$3.75",
            "five dollars per one million tokens, two dollars and fifty cents to "
            "three dollars and seventy-five cents",
        ),
        ("$3/fl. oz.", "three dollars per fluid ounce."),
        (
            "$4.10–$4.25/share, a $350K 30-yr loan",
            "four dollars and ten cents to four dollars and twenty-five cents per share, "
            "a three hundred fifty thousand dollar thirty year loan",
        ),
        (
            "$50 USD, 0.25 ETH, 2/$5",
            "fifty u s dollars, zero point two five ether, two for five dollars",
        ),
        ("$1.25MM, 4 x $25", "one point two five million dollars, four times twenty-five dollars"),
    ],
)
def test_money_are_said(written: str, said: str) -> None:
    assert normalize(written, "english").strip() == said
