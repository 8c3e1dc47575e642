"""
Limits and their text: read strictly, printed so that reading gives them back.
"""

import copy
import pickle
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratekit import ConfigurationError, Limit

TEN_YEARS = 3_653 * 86_400

RIGHT = {
    "100/minute": Limit(100, per=60),
    "10/15s": Limit(10, per=15),
    "10/15 s": Limit(10, per=15),
    "5 per 2 hours": Limit(5, per=7_200),
    "5 per hour": Limit(5, per=3_600),
    " 5 / minute ": Limit(5, per=60),
    "1/ms": Limit(1, per=0.001),
    "7/250ms": Limit(7, per=0.25),
    "3/w": Limit(3, per=604_800),
    "3/2 weeks": Limit(3, per=1_209_600),
    "100/minute burst 20": Limit(100, per=60, burst=20),
    "100/minute token_bucket": Limit(100, per=60, algorithm="token_bucket"),
    "100/hour sliding_window buckets 30 name hourly": Limit(100, per=3_600, buckets=30, name="hourly"),
    "100/hour name a/b:c fixed_window": Limit(100, per=3_600, algorithm="fixed_window", name="a/b:c"),
    "1000000000/day": Limit(10**9, per=86_400),
    "1/3653 days": Limit(1, per=TEN_YEARS),
}

WRONG = {
    "5/minute, 100/hour": "write ';' between two limits",
    "5 per minute burst 9,100 per hour": "write ';' between two limits",
    "5/month": "30 days",
    "5/2 months": "30 days",
    "5/year": "365 days",
    "10/ms2": "unit",
    "100/2x": "unit",
    "-1/minute": "1 to 1000000000",
    "0/minute": "1 to 1000000000",
    "1e20/second": "1 to 1000000000",
    "1000000001/second": "1 to 1000000000",
    "5": "5/minute",
    "": "5/minute",
    " ": "5/minute",
    "/": "5/minute",
    "/minute": "1 to 1000000000",
    "5/": "5/minute",
    "5//minute": "5/minute",
    "nan/second": "1 to 1000000000",
    "inf/second": "1 to 1000000000",
    "1.5/second": "1 to 1000000000",
    "1_000/second": "1 to 1000000000",
    "٣/second": "1 to 1000000000",
    "5/0 seconds": "1 ms",
    "5/1.5 seconds": "unit",
    "5/-1 seconds": "unit",
    "5/4000 days": "ten years",
    "5/99999999999999999999 s": "ten years",
    "5/Minute": "unit",
    "5/minute burst 0": "burst",
    "5/minute burst": "value",
    "5/minute burst x": "burst",
    "5/minute burst 1 burst 2": "twice",
    "5/minute burst 2 sliding_window": "token_bucket",
    "5/minute burst 2 fixed_window": "token_bucket",
    "5/minute leaky_bucket": "sliding_window",
    "5/minute sliding_window token_bucket": "twice",
    "5/minute buckets 1": "buckets",
    "5/minute buckets 10001": "buckets",
    "5/minute buckets 3 fixed_window": "sliding_window",
    "5/minute name": "value",
    "5/minute name a name b": "twice",
    "5/minute name a b": "not understood",
    "5/minute name " + "x" * 65: "64",
    "5/minute name é": "ASCII",
    "5/minute please": "not understood",
    "five/minute": "1 to 1000000000",
    "5/minute; 6/hour": "",
    "5 per": "5/minute",
    "1/10 days burst 10000": "100 years",
    "5/minute\0": "unit",
}


@pytest.mark.parametrize("text", RIGHT)
def test_a_right_text_means_this_limit(text):
    assert Limit.parse(text) == RIGHT[text]


@pytest.mark.parametrize("text", WRONG, ids=ascii)
def test_a_wrong_text_is_quoted_and_told_what_would_be_right(text):
    with pytest.raises(ConfigurationError) as caught:
        Limit.parse(text)
    assert isinstance(caught.value, ValueError)
    assert repr(text) in str(caught.value)
    assert WRONG[text] in str(caught.value)


@pytest.mark.parametrize("value", [None, 5, b"5/minute", ["5/minute"], Limit(5, per=60)])
def test_what_is_no_text_is_refused(value):
    for parse in (Limit.parse, Limit.parse_many):
        with pytest.raises(ConfigurationError):
            parse(value)


def test_several_limits_stand_apart_by_semicolons():
    assert Limit.parse_many("10/second; 1000/hour burst 5") == (Limit(10, per=1), Limit(1000, per=3600, burst=5))


@pytest.mark.parametrize("text", ["", ";", "5/minute;", "5/minute;;6/hour"])
def test_an_empty_part_of_several_limits_is_an_error(text):
    with pytest.raises(ConfigurationError):
        Limit.parse_many(text)


@st.composite
def limits(draw):
    algorithm = draw(st.sampled_from(["fixed_window", "sliding_window", "sliding_counter", "token_bucket"]))
    options = {
        "name": draw(st.none() | st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64))
    }
    if options["name"] is not None:
        options["name"] = options["name"].replace(";", "_")
    quota, milliseconds = draw(st.integers(1, 10**9)), draw(st.integers(1, TEN_YEARS * 1000))
    if algorithm == "token_bucket":
        options["burst"] = draw(st.integers(1, min(10**9, max(1, 36_525 * 86_400_000 * quota // milliseconds))))
    if algorithm == "sliding_window":
        options["buckets"] = draw(st.integers(2, 10_000))
    return Limit(quota, per=timedelta(milliseconds=milliseconds), algorithm=algorithm, **options)


@given(limit=limits())
@settings(max_examples=300)
def test_a_limit_prints_as_its_text_and_reading_that_gives_it_back(limit):
    again = Limit.parse(str(limit))
    assert again == limit
    assert hash(again) == hash(limit)
    assert str(again) == str(limit)
    assert eval(repr(limit), {"Limit": Limit}) == limit
    assert pickle.loads(pickle.dumps(limit)) == limit
    assert copy.deepcopy(limit) == limit


@given(text=st.text(alphabet="0123456789 /perminutsdhyoxb.-;_\n", max_size=40))
@settings(max_examples=1_000)
def test_any_text_is_a_limit_or_a_configuration_error(text):
    try:
        limit = Limit.parse(text)
    except ConfigurationError as error:
        limit, quoted = None, repr(text) in str(error)
    assert quoted if limit is None else Limit.parse(str(limit)) == limit


def test_the_defaults_are_a_sliding_window_and_with_a_burst_a_token_bucket():
    assert Limit(5, per=60).algorithm == "sliding_window"
    assert Limit(5, per=60, burst=2).algorithm == "token_bucket"
    assert Limit(5, per=60, algorithm="token_bucket").burst == 5
    assert (Limit(5, per=60).burst, Limit(5, per=60).buckets, Limit(5, per=60).name) == (None, 60, None)


@pytest.mark.parametrize("per", [1, 0.001, 1.5, timedelta(days=1), timedelta(milliseconds=1), TEN_YEARS, 60.0])
def test_a_period_is_seconds_or_a_timedelta_of_whole_milliseconds(per):
    seconds = per.total_seconds() if isinstance(per, timedelta) else per
    assert Limit(1, per=per).per == seconds


@pytest.mark.parametrize(
    "per",
    [
        0,
        -1,
        0.0005,
        1.0001,
        timedelta(microseconds=1500),
        TEN_YEARS + 0.001,
        float("nan"),
        float("inf"),
        True,
        "60",
        None,
        Decimal(60),
    ],
)
def test_a_period_outside_the_domain_is_an_error(per):
    with pytest.raises(ConfigurationError, match="period"):
        Limit(1, per=per)


@pytest.mark.parametrize("quota", [0, -1, 10**9 + 1, 1.0, True, "5", None, float("nan")])
def test_a_quota_and_a_burst_outside_the_domain_are_errors(quota):
    with pytest.raises(ConfigurationError, match="quota"):
        Limit(quota, per=1)
    if quota is not None:
        with pytest.raises(ConfigurationError, match="burst"):
            Limit(1, per=1, burst=quota)


def test_a_bucket_may_take_a_hundred_years_to_fill_and_no_more():
    assert Limit(1, per=36_525, burst=86_400).burst == 86_400
    with pytest.raises(ConfigurationError, match="100 years"):
        Limit(1, per=36_525, burst=86_401)


def test_a_limit_cannot_be_changed():
    with pytest.raises(AttributeError):
        Limit(5, per=60).quota = 6


def test_limits_that_differ_in_anything_are_not_equal():
    different = [Limit(5, per=60), Limit(6, per=60), Limit(5, per=61), Limit(5, per=60, buckets=5), Limit(5, per=60, name="a")]
    assert len(set(different)) == len(different)
