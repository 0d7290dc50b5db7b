"""Telephone numbers and other digits that are read one by one."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("(555) 123-4567", "five five five, one two three, four five six seven"),
        ("+1-555-123-4567", "plus one, five five five, one two three, four five six seven"),
        (
            "+1 555 123 4567 today",
            "plus one, five five five, one two three, four five six seven today",
        ),
        ("555.123.4567", "five five five, one two three, four five six seven"),
        ("1-800-FLOWERS", "one eight hundred, flowers"),
        ("1-800-555-0199", "one eight hundred, five five five, zero one nine nine"),
        ("Call 555-0123.", "call five five five, zero one two three."),
        (
            "(800) 555-0199 ext. 12",
            "eight hundred, five five five, zero one nine nine, extension one two",
        ),
        ("+44 20 7946 0958", "plus four four, two zero, seven nine four six, zero nine five eight"),
        ("+49 (0)30 123456", "plus four nine, zero, three zero, one two three four five six"),
        ("020 7946 0958", "zero two zero, seven nine four six, zero nine five eight"),
        ("call 911", "call nine one one"),
        ("dial 112 now", "dial one one two now"),
        (
            "4111 1111 1111 1111",
            "four one one one, one one one one, one one one one, one one one one",
        ),
        ("123-45-6789", "one two three, four five, six seven eight nine"),
        (
            "ISBN 978-3-16-148410-0",
            "i s b n nine seven eight, three, one six, one four eight four one zero, zero",
        ),
        ("Springfield, IL 62704", "springfield, illinois six two seven zero four"),
        ("the code: 493 027", "the code: four nine three, zero two seven"),
        ("a card ending in 4421", "a card ending in four four two one"),
        ("555 people and 911 cars", "five hundred fifty-five people and nine hundred eleven cars"),
        ("911 calls", "nine one one calls"),
        ("St. Louis, MO;", "saint louis, missouri;"),
        ("it ended in 1918", "it ended in nineteen eighteen"),
        ("from Chicago, IL to Boise", "from chicago, illinois to boise"),
        (
            "Zoom ID: 812 3456 7890",
            "zoom i d: eight one two, three four five six, seven eight nine zero",
        ),
        ("call 555 0123 now", "call five five five, zero one two three now"),
        ("9780306406157", "nine seven eight, zero three zero, six four zero, six one five seven"),
        ("5000000000 stars", "five billion stars"),
        (
            "order #112-7654321-9876543",
            "order number one one two, seven six five four three two one, "
            "nine eight seven six five four three",
        ),
        ("arXiv:2301.00234", "archive: two three zero one point zero zero two three four"),
        (
            "a 17-3-2 record, SSN ends in 4821",
            "a seventeen three two record, s s n ends in four eight two one",
        ),
        (
            "account 10234, UPC 0 12345 67890 5, 12345 of 20000",
            "account one zero two three four, u p c zero, one two three four five, "
            "six seven eight nine zero, five, "
            "twelve thousand three hundred forty-five of twenty thousand",
        ),
        (
            "4-8-15-16-23, 3-4-2024",
            "four, eight, fifteen, sixteen, twenty-three, march fourth, twenty twenty-four",
        ),
    ],
)
def test_phones_are_said(written: str, said: str) -> None:
    assert normalize(written, "english").strip() == said
