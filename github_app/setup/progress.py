"""What setup does, step by step: told in the terminal, and read by the page."""

from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape

from github_app.foreign_text import visible


@dataclass
class Step:
    """One step. `detail` is what came of it, or what it waits for."""

    title: str
    detail: str = ""
    done: bool = False


@dataclass
class Progress:
    """The steps until now, and where the person at the browser has to go next."""

    console: Console
    steps: list[Step] = field(default_factory=list)
    install_url: str | None = None
    finished: bool = False
    problem: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.finished or self.problem is not None

    def begin(self, title: str) -> None:
        """Say what comes now, before it is done."""
        self.steps.append(Step(title))
        self._print(f"[bold]{len(self.steps)}.[/] {escape(visible(title))} ...")

    def done(self, detail: str = "") -> None:
        """The step came true."""
        step = self.steps[-1]
        step.done, step.detail = True, detail
        self._print(f"   [green]done[/]{': ' if detail else ''}{escape(visible(detail))}")

    def skipped(self, why: str) -> None:
        """There was nothing to do."""
        self._not_done("skipped", "yellow", why)

    def failed(self, why: str) -> None:
        """The step did not come true; the next ones are tried all the same."""
        self._not_done("failed", "red", why)

    def _not_done(self, how: str, colour: str, why: str) -> None:
        self.steps[-1].detail = f"{how}: {why}"
        self._print(f"   [{colour}]{how}[/]: {escape(visible(why))}")

    def tell(self, text: str) -> None:
        """Say something about the step under way."""
        self.steps[-1].detail = text
        self._print(f"   {escape(visible(text))}")

    def _print(self, text: str) -> None:
        # Addresses have to stay whole, to be copied.
        self.console.print(text, soft_wrap=True, highlight=False)
