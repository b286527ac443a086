"""The operator's settings, from environment variables that start with TILESTEP_ and from `.env`.

Built by whoever starts things (`tilestep run`, a runtime inside somebody else's bot), never at import. `.env.example`
lists every variable; a test holds it against this module.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tilestep.bot.errors import SettingsError

PREFIX = "TILESTEP_"
COMMANDS = ("upscale", "imagine", "queue", "tilestep")


class Settings(BaseSettings):
    """A field is the variable `TILESTEP_` plus its name in capitals; `description` is what `.env.example` says."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    token: SecretStr | None = Field(
        None, description="Bot token from the Discord developer portal; only `tilestep run`"
    )
    sync_commands: Literal["global", "guilds", "never"] = Field(
        "global",
        description="Where `tilestep run` registers its commands: global, guilds (at once, for testing), never",
    )
    sync_guild_ids: tuple[int, ...] = Field((), description="Guilds for TILESTEP_SYNC_COMMANDS=guilds, as [1, 2]")
    command_names: dict[str, str] = Field(
        {}, description='Other names for our commands where they clash with a host\'s, as {"imagine": "draw"}'
    )

    data_dir: Path = Field(Path("tilestep-data"), description="Folder for the database file and pictures that wait")
    database_url: str | None = Field(
        None, description="postgresql+asyncpg://user:password@host/name; default: an SQLite file in the data folder"
    )
    table_prefix: str = Field("tilestep_", description="Begins the name of every table, for a shared database")

    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    vram_budget_mib: int | None = Field(
        None, ge=256, description="GPU memory that may be used, MiB; default: all of it but the reserve"
    )
    vram_reserve_mib: int = Field(1024, ge=0, description="GPU memory left to the CUDA context and others, MiB")
    upscaler_vram_mib: int = Field(1024, ge=64, description="Part of the budget that tiles may use, MiB")
    upscale_weight: int = Field(1, ge=1, description="Share of upscales of the GPU, against TILESTEP_IMAGE_WEIGHT")
    image_weight: int = Field(1, ge=1, description="Share of new images of the GPU, against TILESTEP_UPSCALE_WEIGHT")
    checkpoint: Path | None = Field(None, description="Tile model, a .safetensors file; default: the shipped one")
    model: str | None = Field(
        None, description="Text-to-image model: a Hugging Face id or a folder; without one there is no /imagine"
    )
    model_token: SecretStr | None = Field(None, description="Hugging Face token, for gated models")

    queue_limit: int = Field(1000, ge=1, description="Jobs that may wait, all guilds together")
    max_input_megapixels: float = Field(16.0, gt=0, description="Largest picture taken in, whatever a guild allows")
    max_output_megapixels: float = Field(64.0, gt=0, description="Largest result, whatever a guild allows")
    max_scale: int = Field(8, description="Largest enlargement, 2, 4 or 8, whatever a guild allows")
    max_steps: int = Field(8, ge=0, le=50, description="Most denoising steps a tile, whatever a guild allows")
    max_image_steps: int = Field(100, ge=1, description="Most denoising steps of a new image, whatever a guild allows")
    max_image_side_px: int = Field(2048, ge=64, description="Longest side of a new image")
    max_image_count: int = Field(4, ge=1, le=9, description="Most pictures of one /imagine")
    max_jobs_at_once: int = Field(20, ge=1, description="Jobs of one member under way, whatever a guild allows")
    max_gpu_seconds_per_day: float = Field(
        86400.0, gt=0, description="GPU seconds a day (UTC) of one member, whatever a guild allows"
    )
    max_source_mib: int = Field(64, ge=1, description="Largest file taken in, MiB")
    source_timeout_s: float = Field(30.0, gt=0, description="Seconds that fetching or checking a picture may take")

    keep_results_days: float = Field(
        7.0, ge=0, description="How long delivered pictures stay on disk; 0 deletes at once"
    )
    keep_results_mib: int = Field(5120, ge=0, description="Most disk space for delivered pictures; the oldest go first")
    keep_jobs_days: float = Field(90.0, gt=0, description="How long prompts and the record of a job are kept")
    min_free_disk_mib: int = Field(1024, ge=0, description="New jobs are refused while less disk space is free")
    progress_seconds: float = Field(3.0, ge=1, description="Shortest time between two edits of a progress message")
    preview_px: int = Field(512, ge=64, le=2048, description="Longest side of the preview on a progress message")

    http_host: str = Field("127.0.0.1", description="Address of /healthz and /metrics")
    http_port: int | None = Field(None, ge=0, le=65535, description="Port of /healthz and /metrics; none: not served")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")
    log_format: Literal["text", "json"] = Field("text", description="text for people, json for machines")

    @field_validator("command_names")
    @classmethod
    def _known(cls, names: dict[str, str]) -> dict[str, str]:
        if unknown := sorted(set(names) - set(COMMANDS)):
            raise ValueError(f"there is no command {unknown[0]}: give other names to {', '.join(COMMANDS)}")
        return names

    @field_validator("max_scale")
    @classmethod
    def _a_scale(cls, scale: int) -> int:
        if scale not in (2, 4, 8):
            raise ValueError("choose 2, 4 or 8")
        return scale

    @property
    def sqlalchemy_url(self) -> str:
        """The database, as SQLAlchemy wants it."""
        return self.database_url or f"sqlite+aiosqlite:///{(self.data_dir / 'tilestep.db').resolve()}"

    def command(self, name: str) -> str:
        """What our command `name` is called here."""
        return self.command_names.get(name, name)


def load_settings(env_file: Path | None = None, **values: Any) -> Settings:
    """From the environment, then `env_file`; `values` come before both. Raises SettingsError, every fault in words."""
    try:
        return Settings(_env_file=env_file, **values)
    except ValidationError as error:
        faults = (f"{PREFIX}{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise SettingsError("; ".join(faults)) from error


def example() -> str:
    """The text of `.env.example`: every variable with its meaning and default, all commented out but the token."""
    lines = ["# Tilestep's settings. Copy to .env; what is not set has the value shown.", ""]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        lines += [f"# {field.description}.", _assignment(name, default), ""]
    return "\n".join(lines)


def _assignment(name: str, default: Any) -> str:
    if name == "token":
        return f"{PREFIX}TOKEN="
    if default is None:
        return f"# {PREFIX}{name.upper()}="
    shown = json.dumps(default) if isinstance(default, (dict, tuple)) else default
    return f"# {PREFIX}{name.upper()}={shown}"
