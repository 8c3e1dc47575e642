"""
What a month costs: the published tables to the cent, and ten workloads whose bills were worked out by hand.
"""

from decimal import Decimal

import pytest

from ratekit import ConfigurationError
from ratekit.kv.month import plain_month, redis_month, shards_month
from ratekit.kv.prices import Workload, bills, kv_bill, upstash_bill, upstash_fixed_bill

MILLION = 1_000_000


def dollars(text):
    return Decimal(text)


@pytest.mark.parametrize(
    ("workload", "kv", "fixed"),
    [
        (Workload(reads=100 * MILLION, writes=1 * MILLION, stored_gb=1), "55.00", "20.00"),
        (Workload(reads=10 * MILLION, writes=10 * MILLION, stored_gb=1), "55.00", "20.00"),
    ],
)
def test_the_published_tables_leave_out_what_is_included(workload, kv, fixed):
    assert kv_bill(workload, included=False).total == dollars(kv)
    plan = upstash_fixed_bill(workload)
    assert plan.plan == "Upstash fixed 1 GB"
    assert plan.total == dollars(fixed)


def test_ten_million_commands_are_where_a_gigabyte_at_a_fixed_price_breaks_even():
    fixed = upstash_fixed_bill(Workload(stored_gb=1)).total
    assert upstash_bill(Workload(reads=10 * MILLION, stored_gb=1)).total == fixed == dollars("20.00")
    assert upstash_bill(Workload(reads=9_990_000, stored_gb=1)).total < fixed
    assert upstash_bill(Workload(reads=10_010_000, stored_gb=1)).total > fixed


# The sums in the comments were done by hand: KV without and with what is included, Upstash pay-as-you-go without and with its free
# GB, the fixed plan.
BY_HAND = [
    # Nothing: nothing, and the smallest fixed plan.
    (Workload(), "0.00", "0.00", "0.00", "0.00", "10"),
    # 100 x 0.50 + 1 x 5; with: 90 x 0.50 + 0. 101M commands = 1,010 x 0.20 = 202, + 1 GB x 0.25.
    (Workload(reads=100 * MILLION, writes=1 * MILLION, stored_gb=1), "55.00", "45.00", "202.25", "202.00", "20"),
    # 10 x 0.50 + 10 x 5; with: 0 + 9 x 5. 200 x 0.20 = 40, + 0.25.
    (Workload(reads=10 * MILLION, writes=10 * MILLION, stored_gb=1), "55.00", "45.00", "40.25", "40.00", "20"),
    # All just included: 5 + 5 + 5 + 5 and nothing. 13M = 130 x 0.20 = 26.
    (Workload(10 * MILLION, MILLION, MILLION, MILLION), "20.00", "0.00", "26.00", "26.00", "10"),
    # One read more than included costs half a millionth of a dollar: no cent.
    (Workload(reads=10_000_001), "5.00", "0.00", "20.00", "20.00", "10"),
    # 10,000 reads more than included: half a cent, rounded up. 100.1 x 0.20 = 20.02.
    (Workload(reads=10_010_000), "5.01", "0.01", "20.02", "20.02", "10"),
    # Deletes 3 x 5, lists 2.5 x 5 = 27.50; with: 2 x 5 + 1.5 x 5 = 17.50. 55 x 0.20 = 11.
    (Workload(deletes=3 * MILLION, lists=2_500_000), "27.50", "17.50", "11.00", "11.00", "10"),
    # Storage alone: (12.5 - 1) x 0.50 = 5.75; 12.5 x 0.25 = 3.125, up to 3.13; 11.5 x 0.25 = 2.875, up to 2.88; 50 GB plan.
    (Workload(stored_gb="12.5"), "5.75", "5.75", "3.13", "2.88", "400"),
    # 250 MB still fits the smallest plan. 0.123456 x 0.50 + 7.654321 x 5 = 0.061728 + 38.271605 = 38.333333;
    # with: 0 + 6.654321 x 5 = 33.271605. 7,777,777 / 100,000 x 0.20 = 15.555554, + 0.0625 = 15.618054.
    (Workload(reads=123_456, writes=7_654_321, stored_gb="0.25"), "38.33", "33.27", "15.62", "15.56", "10"),
    # More than any fixed plan: (60 - 1) x 0.50 = 29.50, + 1,000 x 0.50 = 529.50; with: 990 x 0.50 + 29.50 = 524.50.
    # 10,000 x 0.20 = 2,000, + 60 x 0.25 = 15; with: 59 x 0.25 = 14.75.
    (Workload(reads=1_000 * MILLION, stored_gb=60), "529.50", "524.50", "2015.00", "2014.75", None),
]


@pytest.mark.parametrize(("workload", "kv", "kv_with", "upstash", "upstash_with", "fixed"), BY_HAND)
def test_bills_are_what_they_are_by_hand(workload, kv, kv_with, upstash, upstash_with, fixed):
    assert kv_bill(workload, included=False).total == dollars(kv)
    assert kv_bill(workload).total == dollars(kv_with)
    assert upstash_bill(workload, included=False).total == dollars(upstash)
    assert upstash_bill(workload).total == dollars(upstash_with)
    plan = upstash_fixed_bill(workload)
    assert (plan and plan.total) == (fixed and dollars(fixed))
    assert len(bills(workload)) == (3 if fixed else 2)


@pytest.mark.parametrize(
    ("holds", "plan"),
    [
        ("0.25", "Upstash fixed 250 MB"),
        ("0.26", "Upstash fixed 1 GB"),
        (10, "Upstash fixed 10 GB"),
        (50, "Upstash fixed 50 GB"),
    ],
)
def test_the_smallest_fixed_plan_that_holds_it_is_taken(holds, plan):
    assert upstash_fixed_bill(Workload(stored_gb=holds)).plan == plan


def test_a_bill_says_what_each_line_is_for():
    lines = {line.what: line for line in kv_bill(Workload(reads=15 * MILLION, stored_gb=3)).lines}
    assert lines["reads"] == ("reads", 15 * MILLION, 10 * MILLION, dollars("2.5"))
    assert lines["GB-months"] == ("GB-months", 3, 1, dollars("1"))
    assert sum(line.amount for line in lines.values()) == dollars("3.5")


def test_a_month_of_shards_costs_the_same_however_many_requests_there_are():
    # 8 processes, a shard every 10 s: 8 x 259,200 writes; each reads 7 others every 30 s: 56 x 86,400 reads, all included.
    assert kv_bill(shards_month(8)).total == dollars("5.37")  # 1.0736 M x 5 = 5.368
    assert kv_bill(shards_month(8, flush=1)).total == dollars("98.68")  # 19.736 M x 5
    # The textbook way at 100 a second: 249.2 M x 0.50 + 258.2 M x 5 = 124.60 + 1,291.00.
    assert kv_bill(plain_month(100)).total == dollars("1415.60")
    # Upstash: 259.2 M commands x 0.20 / 100,000.
    assert upstash_bill(redis_month(100)).total == dollars("518.40")


@pytest.mark.parametrize(
    "wrong",
    [{"reads": -1}, {"writes": 1.5}, {"lists": True}, {"stored_gb": "much"}, {"stored_gb": -1}, {"stored_gb": "NaN"}],
)
def test_what_is_no_workload_is_said_so(wrong):
    with pytest.raises(ConfigurationError, match="write"):
        Workload(**wrong)


def test_what_is_no_month_is_said_so():
    for wrong in (
        lambda: plain_month(-1),
        lambda: redis_month(float("inf")),
        lambda: shards_month(0),
        lambda: shards_month(2, flush=0),
    ):
        with pytest.raises(ConfigurationError, match="write"):
            wrong()
