"""Everything at once for an hour, as the benchmark does for minutes. TILESTEP_SOAK_SECONDS sets another time."""

import importlib
import os
from pathlib import Path

import pytest
import torch

SECONDS = float(os.environ.get("TILESTEP_SOAK_SECONDS", "3600"))
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 900)
async def test_a_busy_device_loses_no_job_and_no_memory(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    soak, models, contenders = (importlib.import_module(f"interleaving.{n}") for n in ("soak", "models", "contenders"))
    bench = models.tiny("cuda:0" if torch.cuda.is_available() else "cpu")
    async with contenders.Tilestep(bench, logged_steps=soak.LOGGED_STEPS) as contender:
        result = await soak.Soak(bench, contender).run(SECONDS, report=print)
    assert result.counts["done"] > 0
    assert result.counts["failed"] == 0
    assert result.out_of_memory == 0
    assert result.lost == 0
    assert result.growth < 0.01
