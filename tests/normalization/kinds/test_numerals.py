"""Numbers that are nothing else, and numbers within words."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("7 of 42 came", "seven of forty-two came"),
        ("1,234,567", "one million two hundred thirty-four thousand five hundred sixty-seven"),
        ("3.14, .5, 3,5", "three point one four, zero point five, three point five"),
        ("1,2,3", "one, two, three"),
        ("-5, +5", "minus five, plus five"),
        ("Agent 007", "agent zero zero seven"),
        ("In 1905 and 1984", "in nineteen oh five and nineteen eighty-four"),
        ("1st, 22nd, 1,000th", "first, twenty-second, one thousandth"),
        ("21st-century", "twenty-first century"),
        ("Llama-3.1-8B, Qwen-2-7B", "llama three point one eight billion, qwen two seven billion"),
        ("10-12 days, 50-50", "ten to twelve days, fifty fifty"),
        ("10k followers, 3M views", "ten thousand followers, three million views"),
        ("4K, a 5k run, 1K tokens", "four k, a five k run, one thousand tokens"),
        ("version 1.2.3, v2.0", "version one point two point three, v two point zero"),
        ("1920x1080, 4x4", "nineteen twenty by ten eighty, four by four"),
        ("10x faster, 1080p", "ten times faster, ten eighty p"),
        ("a 4x100 m relay", "a four by one hundred meter relay"),
        ("No.5, #3, № 5", "number five, number three, number five"),
        ("H.264, COVID-19", "h two six four, covid nineteen"),
        ("MP3, B2B, 4G, GPT-4", "m p three, b two b, four g, g p t four"),
        ("Suite 210, Apt. 4B", "suite two ten, apartment four b"),
        ("a 5-year-old", "a five year-old"),
        ("1 000 000", "one million"),
        ("1 234 567", "one million two hundred thirty-four thousand five hundred sixty-seven"),
        ("12 500 people", "twelve thousand five hundred people"),
        ("iPhone 15 128 GB", "iphone fifteen one hundred twenty-eight gigabytes"),
        ("on March 12 500 men", "on march twelfth five hundred men"),
        (
            "747-8, 787-9, A350-900",
            "seven forty-seven eight, seven eighty-seven nine, a three fifty nine hundred",
        ),
        ("4x100m relay, 4 x 400 m", "four by one hundred meter relay, four by four hundred meters"),
        ("Flight BA2490", "flight b a twenty-four ninety"),
        ("v1.0.0-beta.2", "v one point zero point zero beta point two"),
        ("Llama-3-70B", "llama three seventy billion"),
        ("Q1–Q3", "q one to q three"),
        (
            "5m views, 1.3m staff, a 1.3m fence",
            "five million views, one point three million staff, a one point three meter fence",
        ),
        (
            "No. 22-1234, under-12s, 1A-1C",
            "number twenty-two twelve thirty-four, under twelves, one a to one c",
        ),
        ("pages 11ff., 9x13-in.", "pages eleven and following, nine by thirteen inch."),
        ("First: 1) save. 2) quit.", "first: one. save. two. quit."),
        ("Rm. 12B", "room twelve b"),
        ("48k mi., 10K in 48:32", "forty-eight thousand miles, ten k in forty-eight thirty-two"),
        (
            "UTC−5, DDR5-6000, 1920s–'30s",
            "u t c minus five, d d r five six thousand, nineteen twenties to 'thirties",
        ),
        ("Case №2023-118", "case number twenty twenty-three one eighteen"),
        (
            "SAVE20, HTML5, a GPA of 3.85/4.0",
            "save twenty, h t m l five, a g p a of three point eight five out of four point zero",
        ),
        (
            "3840×2160, 2556 x 1179",
            "thirty-eight forty by twenty-one sixty, twenty-five fifty-six by eleven seventy-nine",
        ),
        (
            "3.13.0rc2, 5.15.0-91, 21E236",
            "three point thirteen point zero r c two, five point fifteen point zero ninety-one, "
            "twenty-one e two thirty-six",
        ),
        ("1 tab q4-6h", "one tab every four to six hours"),
        ("#2024-118, #fff", "number twenty twenty-four one eighteen, hash f f f"),
        (
            "a 401(k), a 529 plan; 10-4, over",
            "a four oh one k, a five twenty-nine plan; ten four, over",
        ),
        (".286/.351, .500 ball", "two eighty-six, three fifty-one, five hundred ball"),
        (
            "model XR-2200B, S/N 00A4-77F1",
            "model x r twenty-two hundred b, s n zero zero a four seventy-seven f one",
        ),
        ("PO #4500012345", "p o number four five zero zero zero one two three four five"),
        ("a 5/2 favorite, a 1/4 mile", "a five to two favorite, a quarter mile"),
        (
            "6/10, would not recommend; SKU 88-2104-B; HDMI x2",
            "six out of ten, would not recommend; "
            "s k u eighty-eight two thousand one hundred four b; h d m i x two",
        ),
    ],
)
def test_numerals_are_said(written: str, said: str) -> None:
    assert normalize(written, "english").strip() == said
