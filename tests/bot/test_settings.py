"""Settings come from TILESTEP_ variables and `.env`, and a wrong one is told in words."""

from pathlib import Path

import pytest

from tilestep.bot.errors import SettingsError
from tilestep.bot.settings import PREFIX, Settings, example, load_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    import os

    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def test_the_example_file_lists_every_setting_with_its_default():
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == example()


def test_every_setting_says_what_it_means():
    assert all(field.description for field in Settings.model_fields.values())


def test_the_example_file_itself_means_the_defaults(tmp_path):
    copied = tmp_path / ".env"
    copied.write_text(example(), encoding="utf-8")
    assert load_settings(copied) == load_settings()


def test_uncommented_defaults_mean_the_defaults_too(tmp_path):
    text = example().replace(f"# {PREFIX}", PREFIX)
    copied = tmp_path / ".env"
    copied.write_text(text, encoding="utf-8")
    assert load_settings(copied) == load_settings()


def test_the_environment_comes_before_the_file(tmp_path, monkeypatch):
    file = tmp_path / ".env"
    file.write_text("TILESTEP_QUEUE_LIMIT=5\nTILESTEP_MAX_STEPS=3\n", encoding="utf-8")
    monkeypatch.setenv("TILESTEP_QUEUE_LIMIT", "7")
    settings = load_settings(file)
    assert (settings.queue_limit, settings.max_steps) == (7, 3)


def test_other_variables_in_the_file_are_none_of_our_business(tmp_path):
    file = tmp_path / ".env"
    file.write_text("OTHER_TOKEN=1\nTILESTEP_MAX_STEPS=3\n", encoding="utf-8")
    assert load_settings(file).max_steps == 3


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("MAX_SCALE", "3", "2, 4 or 8"),
        ("QUEUE_LIMIT", "many", "integer"),
        ("QUEUE_LIMIT", "0", "greater than or equal to 1"),
        ("COMMAND_NAMES", '{"draw": "x"}', "no command draw"),
        ("SYNC_COMMANDS", "sometimes", "global"),
        ("HTTP_PORT", "70000", "65535"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch, name, value, words):
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert PREFIX + name in str(caught.value)
    assert words in str(caught.value)


def test_the_token_does_not_show_when_settings_are_printed(monkeypatch):
    monkeypatch.setenv("TILESTEP_TOKEN", "secret-token-value")
    assert "secret-token-value" not in repr(load_settings())


def test_commands_can_have_other_names(monkeypatch):
    monkeypatch.setenv("TILESTEP_COMMAND_NAMES", '{"imagine": "draw"}')
    settings = load_settings()
    assert (settings.command("imagine"), settings.command("upscale")) == ("draw", "upscale")


def test_the_database_is_a_file_in_the_data_folder_unless_a_url_says_otherwise(tmp_path):
    assert str(tmp_path) in load_settings(data_dir=tmp_path).sqlalchemy_url
    assert load_settings(database_url="postgresql+asyncpg://h/n").sqlalchemy_url == "postgresql+asyncpg://h/n"
