"""Limits as admins write and read them; blocked words as people dress them up."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tilestep.bot.blocked_words import first_blocked
from tilestep.bot.guild_limits import GuildLimits
from tilestep.bot.limit_fields import FIELDS
from tilestep.upscaler.errors import OptionError

IDS = st.frozensets(st.integers(0, 2**63 - 1), max_size=25)
WORDS = st.lists(
    st.text(st.characters(exclude_characters=",;\n"), min_size=1, max_size=50).map(lambda word: " ".join(word.split())),
    max_size=9,
    unique=True,
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "max_input_megapixels": st.floats(0.01, 1000).map(lambda value: float(f"{value:.15g}")),
    "max_output_megapixels": st.floats(0.01, 1000).map(lambda value: float(f"{value:.15g}")),
    "max_scale": st.sampled_from([2, 4, 8]),
    "best_quality": st.sampled_from(["fast", "faithful", "balanced", "best"]),
    "default_quality": st.sampled_from(["fast", "faithful", "balanced", "best"]),
    "max_steps": st.integers(0, 50),
    "max_image_steps": st.integers(1, 1000),
    "jobs_at_once": st.integers(1, 100),
    "gpu_seconds_per_day": st.floats(1, 86400).map(lambda value: float(f"{value:.15g}")),
    "allowed_role_ids": IDS,
    "allowed_channel_ids": IDS,
    "blocked_words": WORDS.map(lambda words: tuple(word for word in words if word and word != "none")),
    "who_may_click": st.sampled_from(["everyone", "owner"]),
    "keep_originals": st.booleans(),
}


def test_every_limit_can_be_read_and_written() -> None:
    assert list(FIELDS) == list(VALUES)
    assert FIELDS.keys() == {field.name for field in fields(GuildLimits)}
    assert all(FIELDS[name].parse(FIELDS[name].show(value)) == value for name, value in vars(GuildLimits()).items())


@given(st.sampled_from(sorted(VALUES)), st.data())
def test_what_is_shown_can_be_given_again(name: str, data: st.DataObject) -> None:
    value = data.draw(VALUES[name])
    shown = FIELDS[name].show(value)
    read = FIELDS[name].parse(shown)
    assert (read, type(read)) == (value, type(value))


@given(st.sampled_from(sorted(VALUES)), st.text(max_size=200))
@example("allowed_channel_ids", ",")
def test_any_text_is_a_value_or_refused_in_one_line(name: str, text: str) -> None:
    field, words, value = FIELDS[name], "", None
    try:
        value = field.parse(text)
    except OptionError as error:
        words = str(error)
    if words:
        assert words.startswith(field.label)
        assert "\n" not in words
        assert len(words) < 300
    else:
        assert field.parse(field.show(value)) == value


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_input_megapixels", " 4,2 ", 4.2),
        ("max_scale", "4", 4),
        ("max_scale", " 8X", 8),
        ("max_steps", "3.0", 3),
        ("best_quality", "Balanced", "balanced"),
        ("allowed_role_ids", "<@&12><@&34>, 56", frozenset({12, 34, 56})),
        ("allowed_channel_ids", "<#12> <#12>", frozenset({12})),
        ("allowed_channel_ids", "ALL", frozenset()),
        ("allowed_channel_ids", "", frozenset()),
        ("blocked_words", "blood, Gore ;; two  words\nblood", ("blood", "Gore", "two words")),
        ("blocked_words", "none", ()),
        ("blocked_words", "  ", ()),
        ("keep_originals", "OFF", False),
        ("who_may_click", "Owner", "owner"),
    ],
)
def test_values_may_be_written_as_people_write_them(name: str, text: str, value: object) -> None:
    assert FIELDS[name].parse(text) == value


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("max_input_megapixels", "0", '"0" will not do, give a number from 0.01 to 1000.'),
        ("max_output_megapixels", "1e9", "give a number from 0.01 to 1000."),
        ("max_output_megapixels", "inf", "give a number from 0.01 to 1000."),
        ("gpu_seconds_per_day", "nan", "give a number from 1 to 86400."),
        ("max_steps", "2.5", "give a whole number from 0 to 50."),
        ("jobs_at_once", "many", '"many" will not do, give a whole number from 1 to 100.'),
        ("max_scale", "3", '"3x" will not do, choose 2x, 4x, 8x.'),
        ("allowed_role_ids", "@everyone", "mention roles or give their ids, or say all."),
        ("allowed_role_ids", "9" * 20, "mention roles or give their ids, or say all."),
        ("allowed_channel_ids", " ".join(map(str, range(26))), "26 are too many, name at most 25, or say all."),
        ("blocked_words", "x" * 51, "at most 100 words of at most 50 letters"),
        ("blocked_words", ",".join(map(str, range(101))), "at most 100 words of at most 50 letters"),
        ("keep_originals", "perhaps", '"perhaps" will not do, say yes or no.'),
    ],
)
def test_what_will_not_do_is_told_with_what_would(name: str, text: str, words: str) -> None:
    with pytest.raises(OptionError) as caught:
        FIELDS[name].parse(text)
    assert str(caught.value).endswith(words) or words in str(caught.value)
    assert str(caught.value).startswith(f"{FIELDS[name].label}: ")


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("cat", "a CAT."),
        ("cat", "Ｃａｔ"),
        ("cat", "c\u200ba\u00adt"),
        ("cat", "cat"),
        ("Käse", "kase und KÄSE"),
        ("straße", "STRASSE"),
        ("two words", "two \n  words"),
        ("猫", "黒猫の絵"),
        ("c++", "in c++, please"),
        ("(x)", "a (x) b"),
        ("18", "she is 18."),
        ("кот", "Рыжий КОТ"),
    ],
)
def test_a_blocked_word_is_found_also_when_dressed_up(word: str, text: str) -> None:
    assert first_blocked(text, ["other", word]) == word


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("cat", "category, concat"),
        ("18", "1880s"),
        ("two words", "two other words"),
        ("", "anything"),
        ("\u200b", "a b"),
    ],
)
def test_what_only_looks_alike_is_no_blocked_word(word: str, text: str) -> None:
    assert first_blocked(text, [word]) is None
