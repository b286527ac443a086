"""Jobs and finished pictures for tests of delivery."""

import numpy as np
from PIL import Image

from tilestep.bot.job import Job, new_job_id
from tilestep.bot.ports import Result, ResultPicture
from tilestep.bot.posting import Retry
from tilestep.bot.requests import UpscaleOptions

MEMBER = 42
AT_ONCE = Retry(tries=4, first_s=0.0)


def a_job(channel_id, **facts):
    """An upscale of `cat.png`, rendered."""
    known = {
        "options": UpscaleOptions(quality="best", seed=7),
        "source_filename": "cat.png",
        "source_width_px": 8,
        "source_height_px": 8,
        "guild_id": 77,
        "requester_id": MEMBER,
        "gpu_ms": 1500.0,
        "state": "rendered",
    }
    return Job(id=new_job_id(), kind="upscale", channel_id=channel_id, **known | facts)


def a_result(folder, side_px=16, count=1, **facts):
    """Pictures of noise, which no encoder makes small."""
    return Result(tuple(_picture(folder, number, side_px) for number in range(count)), **facts)


def _picture(folder, number, side_px):
    folder.mkdir(exist_ok=True)
    path = folder / f"picture-{number}.png"
    noise = np.random.default_rng(number).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return ResultPicture(path, side_px, side_px, f"Noise {number}")
