"""How much of a prompt a text-to-image model reads: text encoders take so many tokens, and drop the rest in silence."""

from __future__ import annotations

import copy
import inspect
from typing import Any

UNBOUNDED = 10**6
"""Tokenizers that know no limit of their own give an astronomical one."""


class PromptReader:
    """Asks the tokenizers of a diffusers pipeline. Not thread-safe.

    They are copies: counting changes a tokenizer's settings, and the pipeline uses its own in other threads.
    """

    def __init__(self, pipe: Any) -> None:
        known = [getattr(pipe, name, None) for name in ("tokenizer", "tokenizer_2", "tokenizer_3")]
        self._limits = [(copy.deepcopy(one), _most_tokens(pipe, one)) for one in known if one is not None]

    def unread(self, prompt: str) -> str:
        """The end of the prompt that no text encoder reads; empty when all is read, or where that is not known."""
        ends = [_unread(tokenizer, most, prompt) if most else "" for tokenizer, most in self._limits]
        return min(ends, key=len, default="")


def _most_tokens(pipe: Any, tokenizer: Any) -> int | None:
    """With the marks at both ends. CLIP's tokenizers know it themselves; for others the pipeline sets it."""
    own = getattr(tokenizer, "model_max_length", UNBOUNDED)
    if type(tokenizer).__name__.startswith("CLIP"):
        return own if own < UNBOUNDED else None
    parameter = inspect.signature(type(pipe).__call__).parameters.get("max_sequence_length")
    return min(parameter.default, own) if parameter is not None and isinstance(parameter.default, int) else None


def _unread(tokenizer: Any, most: int, prompt: str) -> str:
    """A prompt that is too long is cut to `most` - 1 tokens and the mark of the end."""
    is_fast = bool(getattr(tokenizer, "is_fast", False))
    read = tokenizer(prompt, return_offsets_mapping=is_fast, verbose=False)
    if len(read["input_ids"]) <= most:
        return ""
    if is_fast:
        return prompt[read["offset_mapping"][most - 1][0] :].strip()
    return str(tokenizer.decode(read["input_ids"][most - 1 : -1], skip_special_tokens=True))
