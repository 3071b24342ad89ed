"""What an audit tells: the places where an application reads what the seed does not decide."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One line of the application: `what` it reads or does there, and the `mend`."""

    file: str
    line: int
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}; {self.mend}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the audit of one seed found: nothing (`clean`), lines, or only the first event at which two runs part."""

    seed: int
    findings: list[Finding] = field(default_factory=list)
    parting: str = ""
    digest: str = ""  # of the first run

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings and not self.parting

    def __str__(self) -> str:
        lines = [f"seed {self.seed} does not decide the whole run:", *(f"  {finding}" for finding in self.findings)]
        if self.parting:
            lines.append(self.parting)
        return "\n".join(lines)
