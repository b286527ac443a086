"""Where a model's files are: a folder on disk, or a repository on Hugging Face."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tilestep.bot.gpu.gate import RecordingGate, StepGate
from tilestep.bot.tasks.download import log_bar, while_wanted
from tilestep.bot.tasks.errors import ModelError
from tilestep.bot.tasks.files import INDEX, USUAL, WeightCount, count_of_header, count_of_pickle, read_header

logger = logging.getLogger(__name__)


class ModelSource(Protocol):
    """The files of one model; names are paths inside it with forward slashes."""

    def names(self) -> list[str]: ...

    def count(self, name: str) -> WeightCount:
        """Values in a weight file, without fetching all of it."""
        ...

    def fetch(self, names: Iterable[str]) -> Path:
        """The folder in which these files are now."""
        ...


class FolderSource:
    """A model saved with `save_pretrained`, or cloned."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        return [path.relative_to(self._folder).as_posix() for path in self._folder.glob("*/*")] + [
            name for name in (INDEX, USUAL) if (self._folder / name).is_file()
        ]

    def count(self, name: str) -> WeightCount:
        return read_header(self._folder / name)

    def fetch(self, names: Iterable[str]) -> Path:
        return self._folder


class HubSource:
    """A repository on Hugging Face, or the copy in its cache when there is no network.

    `endpoint` and `cache_dir` default to Hugging Face's own; `gate`: of the job that fetches. Every method raises
    ModelError in words, and `fetch` TaskCancelled.
    """

    def __init__(
        self,
        repo: str,
        token: str | None = None,
        endpoint: str | None = None,
        cache_dir: Path | None = None,
        gate: StepGate | None = None,
    ) -> None:
        from huggingface_hub import HfApi

        self._repo = repo
        self._api = HfApi(endpoint=endpoint, token=token)
        self._cache_dir = cache_dir
        self._gate = gate or RecordingGate()
        self._sizes: dict[str, int] = {}
        self._cached: FolderSource | None = None
        try:
            self._ask()
        except ModelError as error:
            self._cached = self._from_cache(error)

    def names(self) -> list[str]:
        return self._cached.names() if self._cached else list(self._sizes)

    def count(self, name: str) -> WeightCount:
        if self._cached:
            return self._cached.count(name)
        if name.endswith(".bin"):
            return count_of_pickle(name, self._sizes[name])
        with hub_errors(self._repo):
            header = self._api.parse_safetensors_file_metadata(self._repo, name)
        return count_of_header({name: {"shape": tensor.shape} for name, tensor in header.tensors.items()})

    def fetch(self, names: Iterable[str]) -> Path:
        if self._cached:
            return self._cached.fetch(names)
        names = list(names)
        total = sum(self._sizes.get(name, 0) for name in names)
        logger.info("Fetching %d files of %s (%.1f MB, less what is in the cache)", len(names), self._repo, total / 1e6)
        with hub_errors(self._repo):
            return while_wanted(self._gate, lambda unwanted: self._download(names, unwanted))

    def _download(self, names: list[str], unwanted: threading.Event) -> Path:
        bar = log_bar(self._repo, unwanted)
        return Path(
            self._api.snapshot_download(self._repo, allow_patterns=names, cache_dir=self._cache_dir, tqdm_class=bar)
        )

    def _ask(self) -> None:
        with hub_errors(self._repo):
            info = self._api.model_info(self._repo, files_metadata=True)
        self._sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}

    def _from_cache(self, error: ModelError) -> FolderSource:
        """The copy from an earlier run, if that is what the error can be helped by."""
        if not isinstance(error, Unreachable):
            raise error
        try:
            folder = self._api.snapshot_download(self._repo, cache_dir=self._cache_dir, local_files_only=True)
        except (OSError, ValueError):
            raise error from None
        logger.warning("Hugging Face cannot be reached: %s is loaded from the cache", self._repo)
        return FolderSource(Path(folder))


class Unreachable(ModelError):  # noqa: N818
    """No connection to Hugging Face, and no copy of the model."""


@contextmanager
def hub_errors(repo: str) -> Iterator[None]:
    """Turns what the client raises into a ModelError of one line that says what to do."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{repo} is gated: accept its terms at https://huggingface.co/{repo} and set HF_TOKEN to a token of that "
            "account."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"There is no model {repo} on Hugging Face, or it is private: check the spelling, or set HF_TOKEN."
        ) from error
    except (errors.HFValidationError, errors.EntryNotFoundError) as error:
        raise ModelError(f"{repo} is neither a folder, a .safetensors file nor a model on Hugging Face.") from error
    except errors.HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", "an error")
        if status in (401, 403):
            raise ModelError(f"Hugging Face does not let this token have {repo}: check HF_TOKEN.") from error
        raise Unreachable(f"Hugging Face answered {status} for {repo}: try again later.") from error
    except (errors.HTTPError, ConnectionError, TimeoutError) as error:
        raise Unreachable(
            f"{repo} is not in the cache, and Hugging Face cannot be reached to fetch it: check the network."
        ) from error
