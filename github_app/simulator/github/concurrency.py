"""Concurrency groups of a repository: who may go on, who waits, whom that cancels.

Docs: "Control the concurrency of workflows and jobs". A group is shared by the jobs and the runs that name it; its name
has no case.
"""

from dataclasses import dataclass, field

from github_app.simulator.github.state import Job, WorkflowRun
from github_app.simulator.workflow.model import Group

Member = Job | WorkflowRun


@dataclass
class _Line:
    """One group: who goes on, and who waits, oldest first."""

    holder: Member | None = None
    waiting: list[Member] = field(default_factory=list)


class Groups:
    """All groups of all repositories."""

    def __init__(self) -> None:
        self._lines: dict[tuple[int, str], _Line] = {}

    def enter(self, repository: int, group: Group, member: Member) -> list[Member]:
        """Let a run or a job into its group; who is to be cancelled for it. It goes on if it `holds` then."""
        line = self._lines.setdefault((repository, group.name.lower()), _Line())
        if line.holder is None:
            line.holder = member
            return []
        line.waiting.append(member)
        displaced: list[Member] = line.waiting[: -group.most]
        del line.waiting[: -group.most]
        return [*displaced, line.holder] if group.cancel_in_progress else displaced

    def holds(self, member: Member) -> bool:
        """Whether it goes on, in every group that it is in."""
        return not any(member in line.waiting for line in self._lines.values())

    def holder(self, repository: int, group: Group) -> Member | None:
        """Who goes on in a group."""
        line = self._lines.get((repository, group.name.lower()))
        return line.holder if line else None

    def leave(self, member: Member) -> list[Member]:
        """Let it out of its groups; who goes on in its place."""
        begun: list[Member] = []
        for key, line in list(self._lines.items()):
            if member in line.waiting:
                line.waiting.remove(member)
            if line.holder is member:
                line.holder = line.waiting.pop(0) if line.waiting else None
                begun += [line.holder] if line.holder else []
            if line.holder is None:
                del self._lines[key]
        return begun
