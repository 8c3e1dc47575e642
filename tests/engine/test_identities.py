"""
No two identities meet in one key, whatever is in them, and nobody chooses what a key looks like.
"""

import itertools

import pytest
from doors import PATIENT
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from redis.cluster import key_slot

from ratekit import ConfigurationError, Limit, Limiter
from ratekit.stores import MemoryStore
from ratekit.stores.naming import canonical, plan_of, spot
from ratekit.stores.redis import RedisStore

SEPARATORS = ":/,#(){}%|\\\"' \0\r\n\t;=@é\ud800\udfff42ab"
texts = st.text(alphabet=SEPARATORS, max_size=8) | st.text(alphabet="%#(:,C3A9é", min_size=0, max_size=40)
atoms = texts | st.integers(-50, 50)
identities = st.recursive(atoms, lambda inner: st.lists(inner, min_size=1, max_size=3).map(tuple), max_leaves=6)

NAMED_PAIRS = [
    ("a b", "a%20b"),
    ("%C3%A9" * 30, "é" * 30),
    ("%C3%A9", "é"),
    (("a", "b"), ("a,b",)),
    (("a", "b"), "a,b"),
    (("a", "b"), "(a,b)"),
    (("a", ("b",)), ("a", "b")),
    ((("a",), "b"), ("a", ("b",))),
    (("a",), "a"),
    (("a",), (("a",),)),
    (("a", ""), ("a",)),
    (("", "a"), ("a", "")),
    ("", ("",)),
    (("1", "23"), ("12", "3")),
    ("a:b", "a%3Ab"),
    ("a\0", "a"),
    ("a\r\nb", "a\nb"),
    ("{a}", "a"),
    ("a}{b", "a{}b"),
    ("\ud800", "\udc00"),
    ("\ud800", "?"),
    ("\ud83d\ude00", "\U0001f600"),
    ("é", "e\u0301"),
    ("ann", "Ann"),
    ("ann", "ann "),
    ("a" * 1_000_000, "a" * 999_999),
    ("a" * 128, "a" * 129),
    ("a" * 129, canonical("a" * 129).hex()),
    ("a" * 129, "#" + canonical("a" * 129).hex()),
    (("a" * 61,), ("a" * 62,)),
    (-1, "\u20131"),
    (0, "00"),
]


def normal(identity):
    """What an identity means: an integer is its decimal text."""
    return tuple(map(normal, identity)) if isinstance(identity, tuple) else str(identity)


def recut(identity):
    """Identities that hold the same characters in other places."""
    yield str(identity)
    yield (identity,)
    if isinstance(identity, tuple):
        flat = [str(part) for part in identity]
        yield ("".join(flat),)
        yield "".join(flat)
        yield ",".join(flat)
        yield tuple(reversed(identity))
        yield (*identity, "")
        yield (identity[:1], *identity[1:])
    else:
        text = str(identity)
        yield from ((text[:cut], text[cut:]) for cut in range(len(text)))
        yield text.replace("%", "%25")


def key_of(identity, **options):
    return plan_of([Limit(1, per=60)], **{"prefix": "ratekit", "name": "default"} | options)[0][1].key(canonical(identity))


@given(one=identities, other=identities)
@settings(max_examples=500)
def test_two_identities_have_one_key_only_if_they_are_one(one, other):
    assert (key_of(one) == key_of(other)) is (normal(one) == normal(other))
    assert (canonical(one) == canonical(other)) is (normal(one) == normal(other))


longer = st.recursive(
    atoms | st.sampled_from(["a" * 129, "é" * 300, 10**200]),
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(tuple),
    max_leaves=6,
)


@given(identity=longer)
@settings(max_examples=200)
def test_the_spot_of_an_identity_is_that_of_its_canonical_form(identity):
    assert spot(identity) == spot(canonical(identity)) == spot(normal(identity))


@given(identity=identities)
@settings(max_examples=500)
def test_cutting_an_identity_elsewhere_makes_another_key(identity):
    for other in recut(identity):
        assert (key_of(identity) == key_of(other)) is (normal(identity) == normal(other))


@given(one=st.tuples(texts, texts, texts, texts), other=st.tuples(texts, texts, texts, texts))
@settings(max_examples=300)
def test_prefix_name_identity_and_policy_stay_apart_in_a_key(one, other):
    assume(all((*one[:2], *other[:2])))
    keys = [key_of(parts[2], prefix=parts[0], name=parts[1], policy=parts[3]) for parts in (one, other)]
    assert (keys[0] == keys[1]) is (one == other)


@given(name=st.text(min_size=1), identity=identities, policy=st.text())
@settings(max_examples=300)
def test_every_key_is_printable_ascii_short_and_has_one_hash_tag(name, identity, policy):
    limits = [Limit(1, per=60), Limit(1, per=1, name="n" * 64), Limit(10, per=315_619_200, algorithm="sliding_counter")]
    keys = [space.key(canonical(identity)) for _, space in plan_of(limits, prefix="p" * 50, name=name, policy=policy)]
    for key in keys:
        assert key.isascii()
        assert key.isprintable()
        assert " " not in key
        assert len(key) < 200
        assert key.count("{") == key.count("}") == 1
    assert len({key_slot(key.encode()) for key in keys}) == 1


def test_an_identity_with_braces_does_not_choose_the_slot():
    slots = {key_slot(key_of(f"{{same}}{number}").encode()) for number in range(100)}
    assert len(slots) > 90


@pytest.mark.parametrize("pair", NAMED_PAIRS, ids=lambda pair: ascii(pair)[:60])
def test_named_pairs_count_apart_everywhere(redis_url, pair):
    remote = RedisStore(redis_url)
    for store in (MemoryStore(), remote):
        limiter = Limiter("1/minute", store=store, **PATIENT)
        for identity in pair:
            assert limiter.hit(identity)
            assert not limiter.hit(identity)
    remote.close()


def test_a_number_is_its_decimal_text_at_any_depth():
    assert key_of(42) == key_of("42")
    assert key_of(("a", (42,))) == key_of(("a", ("42",)))
    assert key_of(-(10**30)) == key_of(str(-(10**30)))


@pytest.mark.parametrize(
    "identity", [True, False, None, 1.5, b"ann", (), ("a", True), ("a", None), ["a"], {"a"}, frozenset(), object()]
)
def test_what_is_no_identity_is_refused_before_anything_is_sent(identity):
    limiter = Limiter("1/minute", store=RedisStore("redis://127.0.0.1:1/0"))
    for ask in (limiter.hit, limiter.peek, limiter.acquire, limiter.reserve, limiter.reset):
        with pytest.raises(ConfigurationError, match="identity"):
            ask(identity)


@pytest.mark.parametrize("identity", [True, None, 1.5, b"ann", (), ("a", True), ("a", b"x" * 28), ["a"]])
def test_what_is_no_identity_has_no_spot(identity):
    with pytest.raises(TypeError):
        spot(identity)


def test_a_long_identity_takes_little_memory():
    store = MemoryStore()
    limiter = Limiter("1/minute", store=store)
    limiter.hit("a" * 1_000_000)
    ((identity,),) = ([*shard] for table in store._tables._tables.values() for shard in table.shards if shard)
    assert len(identity) < 100


def test_every_kind_of_limit_has_keys_of_its_own():
    algorithms = ["fixed_window", "sliding_window", "sliding_counter", "token_bucket"]
    limits = [
        Limit(1, per=per, algorithm=kind, name=name) for per, kind, name in itertools.product((1, 60), algorithms, (None, "n"))
    ]
    keys = {plan_of([limit], prefix="p", name="n")[0][1].key("ann") for limit in limits}
    assert len(keys) == len(algorithms) * 3  # a name stands in the place of the period


def test_the_quota_is_no_part_of_a_key():
    keys = {plan_of([Limit(quota, per=60)], prefix="p", name="n")[0][1].key("ann") for quota in (1, 100)}
    assert len(keys) == 1
