"""What was answered: a folder of sealed rounds, from which every table, chart and finding is computed."""

import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import pandas as pd

from nl_forensics import sources
from nl_forensics.errors import CaseError, NotGiven
from nl_forensics.evidence import custody, reading
from nl_forensics.evidence.rounds import LOCK, Answer, Gap, OpenRound, Round, actor, open_round, round_numbers
from nl_forensics.evidence.scope import Scope, scope_of
from nl_forensics.evidence.table import Table, read
from nl_forensics.inputs.parameters import Parameters, home
from nl_forensics.redact import Vault
from nl_forensics.sources.systems import SELF_REPORTING

TENANTS = ("k8s_tenants", "pg_tenants")  # tables that list them by name and number
SURELY_WRONG_S = 2  # a smaller offset may be network latency


class Case:
    """An investigated incident: its question, and everything that was answered.

    Raises CaseError when the folder holds no case.
    """

    def __init__(self, folder: Path | str, upto: int | None = None):
        self.folder = Path(folder)
        self._upto = upto
        self.tables: dict[str, Table] = {}  # as far as they were read
        self._scope: Scope | None = None
        if not self.rounds:
            raise CaseError(f"{self.folder} holds no case: run `nl-forensics collect PARAMETERS` first")

    @cached_property
    def rounds(self) -> list[Round]:
        """Every round, oldest first."""
        found, after, numbers = [], "", round_numbers(self.folder)
        if numbers != list(range(1, len(numbers) + 1)):
            missing = next(number for number, there in enumerate([*numbers, 0], 1) if number != there)
            raise CaseError(f"{self.folder / str(missing)} is missing: a round of the case was removed")
        for number in numbers[: self._upto]:
            found.append(Round(self.folder / str(number), after))
            after = custody.seal_of(self.folder / str(number))
        return found

    def before(self) -> "Case | None":
        """The case without its newest round that asked systems; None when there is no earlier one."""
        asking = [number for number, round_ in enumerate(self.rounds) if any(round_.answers())]
        return Case(self.folder, asking[-1]) if len(asking) > 1 else None

    @cached_property
    def parameters(self) -> Parameters:
        """The question as it was resolved when the newest round was opened, platform and limits with it."""
        return self.rounds[-1].parameters

    def use_parameters(self, parameters: Parameters) -> None:
        """Evaluate the case with these parameters instead: other limits, or an incident window that was proposed since."""
        if parameters.incident.tenant != self.parameters.incident.tenant:
            self.tables, self._scope = {}, None
        self.parameters = parameters

    @property
    def incident(self):
        return self.parameters.incident

    @cached_property
    def answers(self) -> dict[str, dict[str, Answer]]:
        """{source: {instance: answer}}, of the newest round that asked; a round inherits all other answers."""
        newest: dict[str, dict[str, Answer]] = {}
        for round_ in self.rounds:
            for (source, instance), answer in round_.best_answers().items():
                newest.setdefault(source, {})[instance] = answer
        return newest

    def instances(self, source: str) -> list[str]:
        """The instances that a source is asked of; none where the platform declares that system absent, or nothing was given to examine."""
        platform, one = self.parameters.platform, sources.load()[source]
        systems, system = platform.systems, one.system
        if not one.applies(platform):
            return []
        if system == "any_system":
            asked = (name for name in type(systems).model_fields if name not in SELF_REPORTING)
            return [f"{name}-{instance}" for name in asked for instance in systems.instances(name)]
        given = self.answers.get(source, {})
        named = systems.instances(sources.connection_of(system))
        return [name for name in named if name not in given or given[name].error != NotGiven.__name__]

    def has_answered(self, source: str) -> bool:
        """Whether every instance of a source has answered or refused."""
        return self.answers.get(source, {}).keys() >= set(self.instances(source))

    def gaps(self, source: str) -> list[Gap]:
        """The data gaps of a source; one entry per cause."""
        answers = self.answers.get(source, {})
        not_asked = [
            Gap(source, instance, "was not asked yet", "collect again")
            for instance in self.instances(source)
            if instance not in answers
        ]
        left_out = self._left_out() if sources.load()[source].system == "any_system" else []
        return [gap for answer in answers.values() for gap in answer.gaps] + not_asked + left_out

    def _left_out(self) -> list[Gap]:
        """The systems that were not asked because their address is not set: one gap, however many."""
        left_out = self.parameters.platform.left_out
        variables = ", ".join(name for names in left_out.values() for name in names)
        why = "was not asked, as its address is not set"
        return [Gap("systems_reached", ", ".join(left_out), why, f"set {variables}")] if left_out else []

    def asked_at(self, source: str) -> pd.Timestamp:
        """When a source was last asked, UTC, by the server's clock."""
        return max(pd.Timestamp(answer.asked_at) for answer in self.answers[source].values())

    def asked_at_by_us(self, source: str) -> pd.Timestamp:
        """When a source was last asked, UTC, by our clock, as the incident window is."""
        ahead_s = self.clocks_ahead_s(source)
        return max(
            pd.Timestamp(answer.asked_at) - pd.Timedelta(seconds=ahead_s.get(instance, 0))
            for instance, answer in self.answers[source].items()
        )

    def clocks_ahead_s(self, source: str) -> dict[str, float]:
        """The server's clock minus ours, by instance, for each instance of a source; one that is right, or unknown, is left out."""
        system = sources.load()[source].system
        if system == "any_system":
            return self._wrong_clocks
        place = sources.connection_of(system) + "-"
        return {name.removeprefix(place): ahead for name, ahead in self._wrong_clocks.items() if name.startswith(place)}

    @cached_property
    def _wrong_clocks(self) -> dict[str, float]:
        """By instance, its system before it: `postgres-main`."""
        reached = self.read("systems_reached").rows
        return (
            reached[reached.clock_offset_s.abs().between(SURELY_WRONG_S, reading.FARTHEST_S, "right")]
            .set_index("instance")
            .clock_offset_s.to_dict()
        )

    @property
    def passwords_in_clear(self) -> list[str]:
        """The instances to which a password was sent unencrypted, as the platform file allows: `redis-main`."""
        reached = (event for round_ in self.rounds for event in round_.events() if event["event"] == "reached")
        return sorted(
            {f"{one['system']}-{one['instance']}" for one in reached if one["identity"].get("password_unencrypted")}
        )

    def records(self, answer: Answer) -> list[dict]:
        """The recorded answer as it was given. Raises CaseError when it was altered."""
        path = self.folder / answer.file
        altered = not path.is_file() or path.is_symlink()
        try:
            if altered or hashlib.sha256(content := reading.content(path)).hexdigest() != answer.sha256:
                raise ValueError("was altered or removed after it was recorded")
            return reading.records(content, answer.rows)
        except (CaseError, ValueError) as error:
            raise CaseError(
                f"{answer.file}: {error}: `nl-forensics verify {self.folder}` lists all that was altered"
            ) from None

    def read(self, name: str) -> Table:
        """The table of one source over all its instances, with its gaps. What the case lacks, or can't be read, is a gap, no error."""
        if name not in self.tables:
            recorded = [answer for answer in self.answers.get(name, {}).values() if answer.file]
            absent = [] if self.instances(name) else [Gap(name, "", "not asked, the platform has no such system", "")]
            source = sources.load()[name]
            table = read(source, recorded, self.records, self.gaps(name) or absent)
            self.tables[name] = table if source.of_all_tenants else table.within(self.scope)
        return self.tables[name]

    @property
    def scope(self) -> Scope | None:
        """What is read of the tables: None for everything, else one tenant and the platform itself."""
        names, tenant = self.parameters.platform.tenants, self.incident.tenant
        if self._scope is None and names and tenant:
            self._scope = scope_of(names, tenant, [self._whole(name) for name in TENANTS if self.instances(name)])
        return self._scope

    def _whole(self, name: str) -> pd.DataFrame:
        """A table over all tenants."""
        recorded = [answer for answer in self.answers.get(name, {}).values() if answer.file]
        return read(sources.load()[name], recorded, self.records, []).rows

    def coverage(self) -> pd.DataFrame:
        """One row per source and instance: rows recorded, data gaps and their remedies."""
        rows = []
        for name, instances in self.answers.items():
            for answer in instances.values():
                gaps = "; ".join(gap.unseen for gap in answer.gaps)
                remedy = "; ".join(dict.fromkeys(gap.remedy for gap in answer.gaps if gap.remedy))
                rows.append([name, answer.instance, answer.rows, gaps, remedy])
        return pd.DataFrame(rows, columns=["source", "instance", "rows", "data gap", "remedy"])

    def notes(self) -> list[dict]:
        """The notes in the case, oldest first."""
        return [event for round_ in self.rounds for event in round_.events() if event["event"] == "note"]

    def verify(self) -> list[str]:
        """Every fault of the case, one line each; empty when it is whole."""
        faults, after = _unlisted_files(self.folder), ""
        for round_ in self.rounds:
            faults += custody.verify(round_.folder, after)
            after = custody.seal_of(round_.folder)
        return faults

    def note(self, text: str) -> None:
        """Add a time-stamped note: to the open round, or as a sealed round of its own."""
        with_round(
            self.folder,
            self.parameters,
            lambda round_: round_.chain.append("note", by=actor(), text=round_.redactor.text(text)),
        )

    def reveal(self, pseudonym: str) -> str:
        """The original of a pseudonym, from the vault outside the case; every lookup is recorded in custody."""
        original = Vault(home() / "vault.jsonl").reveal(pseudonym)
        if original is None:
            raise CaseError(
                f"{pseudonym} is not in the vault of this machine ({home()}): ask for it on the machine that collected the case"
            )
        with_round(
            self.folder,
            self.parameters,
            lambda round_: round_.chain.append("revealed", by=actor(), pseudonym=pseudonym),
        )
        return original


def with_round(folder: Path, parameters: Parameters, write: Callable[[OpenRound], None]) -> None:
    """Write into the open round of a case, or into a new one that is sealed at once."""
    round_ = open_round(folder, parameters)
    try:
        write(round_)
        if not round_.resumed:
            round_.finish()
    finally:
        round_.close()


def _unlisted_files(folder: Path) -> list[str]:
    """Files beside the rounds."""
    rounds = {str(number) for number in round_numbers(folder)}
    return [
        f"{path.name}: was added beside the rounds"
        for path in sorted(folder.iterdir())
        if path.name not in rounds and not (path.name == LOCK and path.is_file() and not path.stat().st_size)
    ]
