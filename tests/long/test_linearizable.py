"""
The checker of histories: it finds the order where there is one, and refuses every history that no order explains.
"""

import random
from itertools import permutations

import pytest
from linearizable import Call, order_of, overlaps, quota

YES, NO = True, False


def explained(calls, most=3):
    return order_of(calls, quota(most), 0) is not None


def test_calls_one_after_another_have_one_order():
    calls = [Call(0, 1, "hit", 2, (YES, 1)), Call(2, 3, "hit", 2, (NO, 1)), Call(4, 5, "peek", 1, (YES, 1))]
    assert order_of(calls, quota(3), 0) == calls
    assert overlaps(calls) == 0


def test_who_began_later_may_have_come_first():
    first, second = Call(0, 9, "hit", 2, (NO, 1)), Call(1, 5, "hit", 2, (YES, 1))
    assert order_of([first, second], quota(3), 0) == [second, first]
    assert overlaps([first, second]) == 1


@pytest.mark.parametrize(
    "calls",
    [
        [Call(0, 9, "hit", 2, (YES, 1)), Call(1, 8, "hit", 2, (YES, 1))],  # both were let in
        [Call(0, 9, "hit", 1, (YES, 2)), Call(1, 8, "hit", 1, (YES, 2))],  # an update was lost
        [Call(0, 1, "hit", 3, (YES, 0)), Call(2, 3, "hit", 1, (YES, 2))],  # what was spent before was not seen
        [Call(0, 1, "hit", 1, (NO, 3))],  # refused though there was room
        [Call(0, 1, "hit", 1, (YES, 3))],  # admitted and not charged
        [Call(0, 1, "hit", 4, (NO, 0)), Call(2, 3, "hit", 1, (YES, 2))],  # a refusal says that less was left than there was
        [Call(0, 1, "hit", 3, (YES, 0)), Call(0, 2, "peek", 1, (YES, 1))],  # a state that never was
        [
            Call(0, 1, "hit", 3, (YES, 0)),
            Call(2, 3, "reset", 0, (YES, 3)),
            Call(4, 5, "peek", 1, (NO, 0)),
        ],  # after its end, a reset
        [Call(0, 1, "hit", 3, (YES, 0)), Call(2, 9, "give", 2, (YES, 2)), Call(3, 4, "peek", 1, (YES, 3))],  # more came back
        [
            Call(0, 5, "hit", 3, (YES, 0)),
            Call(6, 7, "reset", 0, (YES, 3)),
            Call(8, 9, "refusal", 1, (NO, 0)),
        ],  # remembered too long
        [Call(0, 1, "hit", 3, None), Call(2, 3, "peek", 1, (YES, 3)), Call(4, 5, "peek", 1, (YES, 2))],  # one call, a part of it
        [Call(0, 1, "hit", 1, None), Call(2, 3, "peek", 1, (YES, 1))],  # an unanswered call that counted twice
    ],
)
def test_what_no_order_explains_is_refused(calls):
    assert not explained(calls)


@pytest.mark.parametrize("late", [NO, YES])
def test_a_call_without_an_answer_counts_once_late_or_never(late):
    lost = Call(0, 1, "hit", 2, None)
    before, after = Call(2, 3, "peek", 1, (YES, 3)), Call(4, 5, "peek", 1, (YES, 1 if late else 3))
    assert explained([lost, before, after])
    assert explained([lost, before._replace(began=6, ended=7), after]) != late  # what was spent does not come back
    assert explained([lost._replace(began=6), before, after]) != late  # and nothing is spent before it is asked


def toy(dice, most, callers, each):
    """A history by construction: every call is done at an instant of its own inside its interval, by the rule."""
    spent, calls, ended = 0, [], [0] * callers
    for instant in sorted(dice.sample(range(100 * callers * each), callers * each)):
        caller = dice.choice([caller for caller in range(callers) if ended[caller] <= instant] or [None])
        if caller is None:  # all of them are asking
            continue
        what = dice.choices(("hit", "peek", "reset"), (6, 2, 1))[0]
        cost = 0 if what == "reset" else dice.randint(1, 3)
        fits = spent + cost <= most
        spent = 0 if what == "reset" else spent + cost if fits and what == "hit" else spent
        answer = None if dice.random() < 0.05 else (fits, most - spent)
        began, ended[caller] = dice.randint(ended[caller], instant), instant + dice.randrange(100 * callers)
        calls.append(Call(max(began, instant - 100 * callers), ended[caller], what, cost, answer))
        ended[caller] += 1
    return calls


def test_whatever_was_done_at_an_instant_inside_each_call_is_explained():
    for seed in range(50):
        assert explained(toy(random.Random(seed), 5, 8, 40), 5)


def by_every_order(calls, most):
    """The definition, tried in full."""
    rule = quota(most)
    for order in permutations(calls):
        if any(late.ended < early.began for i, early in enumerate(order) for late in order[i + 1 :]):
            continue
        spent = 0
        for call in order:
            spent = rule(spent, call)
            if spent is None:
                break
        else:
            return True
    return False


def test_it_says_what_the_definition_says_of_histories_right_and_spoiled():
    dice, verdicts = random.Random(1), []
    for _ in range(300):
        calls = [call for call in toy(dice, 3, 1, 6) if call.answer]
        if calls and dice.random() < 0.7:
            index, change = dice.randrange(len(calls)), dice.choice((-1, 1))
            (allowed, remaining) = calls[index].answer
            calls[index] = calls[index]._replace(answer=(allowed, max(0, remaining + change)))
        verdicts.append(explained(calls))
        assert verdicts[-1] == by_every_order(calls, 3)
    assert 60 < sum(verdicts) < 240  # both were seen


def test_a_long_history_with_one_answer_spoiled_is_refused():
    calls = toy(random.Random(7), 5, 4, 100)
    assert explained(calls, 5)
    hit = next(call for call in calls[300:] if call.what == "hit" and call.answer == (True, 0))
    calls[calls.index(hit)] = hit._replace(answer=(True, 5))  # a hit that shows more than the quota less its own cost
    assert not explained(calls, 5)
