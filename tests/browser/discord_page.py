"""What a person does on the demo's page, for Playwright."""

from pathlib import Path

ANSWER_MS = 30_000
JOB_MS = 600_000
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


class DiscordPage:
    """The channel as one member sees it."""

    def __init__(self, page) -> None:
        self.page = page
        page.set_default_timeout(ANSWER_MS)
        self.messages = page.locator("article.channel-message")

    async def open(self, url: str) -> None:
        await self.page.goto(url)
        await self.messages.first.wait_for()

    async def command(self, name: str, **files: Path) -> None:
        """Picks a command from the list that typing offers, hands it files, and sends it."""
        box = self.page.locator("#channel-composer-input")
        await box.click()
        await box.type(f"/{name}")
        await self.page.locator(".command-entry.is-active", has_text=f"/{name}").wait_for()
        await self.page.keyboard.press("Enter")
        for option, path in files.items():
            await self.page.locator(f".command-suggestion[data-value={option}]").click()
            await self.page.locator(f"input[type=file][data-option={option}]").set_input_files(path)
        await self.page.locator("#send-message").click()

    async def press(self, label: str, message) -> None:
        await message.locator("button.component-button", has_text=label).click()

    def upscaled(self, width_px: int, height_px: int):
        """The message with the result of that size, as its words say."""
        words = self.page.locator(".message-content", has_text=f"to {width_px}x{height_px}")
        return self.messages.filter(has=words)

    async def wait_for(self, message) -> None:
        """Until a job's result is there, with its picture loaded."""
        await message.locator("button.component-button", has_text="Upscale 2x").wait_for(timeout=JOB_MS)
        await self.page.wait_for_function(
            "message => message.querySelector('img.attachment-image')?.naturalWidth", arg=await message.element_handle()
        )

    async def size_of_picture(self, message) -> tuple[int, int]:
        """(width, height) in pixels of the file that the browser loaded."""
        read = "image => [image.naturalWidth, image.naturalHeight]"
        return tuple(await message.locator("img.attachment-image").evaluate(read))

    async def until_it_moves(self, beside) -> None:
        """Looks once a second, hands off, until two looks at a running job differ; fails where it ends before."""
        looks: list[bytes] = []
        while len(looks) < 2 or looks[-1] == looks[-2]:
            assert await beside.count(), "the job was over before its progress was seen"
            looks.append(await self.page.screenshot())
            await self.page.wait_for_timeout(1000)
