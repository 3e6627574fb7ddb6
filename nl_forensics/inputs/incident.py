"""The incident: its window, its scope and its baseline."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from nl_forensics.inputs.names import NamespacePattern

if TYPE_CHECKING:
    from nl_forensics.inputs.platform import Platform

FUTURE_TOLERANCE = timedelta(minutes=2)


def _moment(text: object) -> datetime:
    """ISO 8601 text with an offset, or `now`, as UTC."""
    if text == "now":
        return datetime.now(UTC).replace(microsecond=0)
    if not isinstance(text, str):
        raise ValueError("is not a time: write 2026-11-03T14:00Z in quotes, or now")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time: write 2026-11-03T14:00Z, or now") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC: write {text}Z if it is UTC, or {text}+01:00")
    return moment.astimezone(UTC)


Moment = Annotated[datetime, BeforeValidator(_moment)]


class Window(BaseModel):
    """From `start` (included) to `end` (excluded), UTC."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: Moment
    end: Moment = Field(default="now", validate_default=True)

    @model_validator(mode="after")
    def _is_a_past(self):
        if self.start >= self.end:
            raise ValueError(f"the window is empty or reversed: start {self.start:%Y-%m-%dT%H:%MZ} is not before end")
        if self.end > datetime.now(UTC) + FUTURE_TOLERANCE:
            raise ValueError(
                f"the window ends in the future, at {self.end:%Y-%m-%dT%H:%MZ}: choose an end that has passed, or now"
            )
        return self

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()

    def __str__(self):
        end = f"{self.end:%H:%M}" if self.start.date() == self.end.date() else f"{self.end:%Y-%m-%d %H:%M}"
        return f"{self.start:%Y-%m-%d %H:%M} to {end} UTC"


class Incident(Window):
    """The incident under investigation: its window, its scope, and a healthy window to compare with.

    baseline     a healthy period of the same length or longer; empty: nothing is compared
    namespaces   the Kubernetes namespaces in scope; empty: those of the platform file
    tenant       the tenant that the incident is about: what is recorded of others is not read; empty: all of them
    """

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    title: str = ""
    baseline: Window | None = None
    namespaces: tuple[NamespacePattern, ...] = ()
    service: str = ""
    tenant: str = ""

    def scope(self, platform: "Platform") -> tuple[str, ...]:
        """Names and patterns of the namespaces in scope; empty: all."""
        return self.namespaces or platform.namespaces

    def unlike(self, recorded: "Incident", open_ended: bool = False) -> str:
        """The first difference from the recorded question, in words; "" when there is none.

        `open_ended`: the end is `now`, which was resolved at collection.
        """
        left_out = {"title", "tenant", "end"} if open_ended else {"title", "tenant"}  # of a tenant, a part is read
        ours, theirs = (one.model_dump(mode="json", exclude=left_out) for one in (self, recorded))
        unlike = (
            f"{name} is {theirs[name]} in the case, and {ours[name]} in the parameters"
            for name in ours
            if ours[name] != theirs[name]
        )
        return next(unlike, "")

    @model_validator(mode="after")
    def _baseline_comes_first(self):
        if self.baseline and self.baseline.end > self.start:
            raise ValueError("the baseline must end before the incident starts, otherwise it includes the incident")
        return self
