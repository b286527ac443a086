"""What Prometheus is told, gathered anew for each scrape from the scheduler's statistics and the database."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tilestep.bot.gpu.statistics import GpuStatistics
from tilestep.bot.runtime import Runtime


class _Snapshot(Collector):
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


async def collect(runtime: Runtime) -> CollectorRegistry:
    """A registry with one snapshot; nothing global, so that a host bot's own metrics stay apart."""
    jobs = GaugeMetricFamily("tilestep_jobs", "Jobs in the database by state", labels=["state"])
    for state, count in (await runtime.jobs.totals()).items():
        jobs.add_metric([state], count)
    disk = GaugeMetricFamily("tilestep_disk_free_bytes", "Free space where pictures wait")
    disk.add_metric([], runtime.files.free_mib() * 2**20)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot([jobs, disk, *_gpu(runtime.gpu.statistics())]))
    return registry


def _gpu(now: GpuStatistics) -> list[Metric]:
    served = GaugeMetricFamily("tilestep_gpu_seconds", "GPU time of flows served lately", labels=["kind"])
    for kind, gpu_ms in now.shares.by_kind.items():
        served.add_metric([kind], gpu_ms / 1000)
    waits = GaugeMetricFamily(
        "tilestep_wait_seconds", "Wait from being accepted to the first step, newest jobs", labels=["quantile"]
    )
    for quantile, wait_ms in (("0.5", now.waits.p50_ms), ("0.95", now.waits.p95_ms), ("1", now.waits.longest_ms)):
        waits.add_metric([quantile], wait_ms / 1000)
    return [
        served,
        waits,
        _one("tilestep_gpu_served_seconds_total", "GPU time of all steps so far", now.served_ms / 1000),
        _one("tilestep_gpu_jobs_waiting", "Jobs that wait for the GPU", now.waiting),
        _one("tilestep_gpu_jobs_running", "Jobs under way on the GPU", now.running),
        _one("tilestep_gpu_paused", "1 while paused", float(now.paused)),
        _one("tilestep_gpu_resident_bytes", "Weights that stay on the device", now.memory.resident_bytes),
    ]


def _one(name: str, meaning: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, meaning)
    family.add_metric([], value)
    return family
