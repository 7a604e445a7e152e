"""What the documents say is compared with what is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import pytest
import yaml

from kit import plan
from kit.cli import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "runbooks" / "guide.md").read_text(encoding="utf-8")
PLAN = plan.load(ROOT / "runbooks" / "plan.yml")


def runbook_table() -> list[str]:
    return [
        f"| {c.id} | [{c.title}]({c.notebook}) | {PLAN.lane(c.workstream).title} | {c.day} |"
        for c in PLAN.cards
    ]


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def lines_of_commands() -> list[list[str]]:
    lines = [
        line.split("#")[0].strip()
        for text in (README, CONTRIBUTING)
        for b in blocks("sh", text)
        for line in b.splitlines()
    ]
    lines += re.findall(r"`(kit [^`]+)`", GUIDE)
    return [re.findall(r'"[^"]*"|\S+', line) for line in lines if line.startswith("kit ")]


def test_the_readme_lists_every_runbook_of_the_plan() -> None:
    listed = [line for line in README.splitlines() if re.match(r"\| [A-Z]\d+[a-z]? \|", line)]
    assert listed == runbook_table(), "put these lines into the README:\n" + "\n".join(runbook_table())


@pytest.mark.parametrize("words", lines_of_commands(), ids=" ".join)
def test_every_kit_command_in_the_documents_exists_with_its_options(words: list[str]) -> None:
    command: click.Command = cli
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(click.Context(command), rest[0])
        if found is None:
            break
        command, rest = found, rest[1:]
    assert command is not cli, f"no such command: {' '.join(words)}"
    known = {name for parameter in command.params for name in parameter.opts}
    unknown = [word for word in rest if re.match(r"--?[a-z]", word) and word not in known]
    assert not unknown, f"{' '.join(words)}: unknown options {unknown}"


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", "kit/local_aws/README.md", "runbooks/guide.md"]
)
def test_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8"))
    broken = [t for t in targets if not (path.parent / t).exists()]
    assert not broken


def test_the_guides_own_links_lead_to_its_headings() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-")
        for h in re.findall(r"^#+ (.+)$", GUIDE, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", GUIDE)) <= headings


def test_the_guides_agenda_is_the_plans() -> None:
    agenda = []
    for day, text in enumerate(re.split(r"^### Day \d", GUIDE, flags=re.MULTILINE)[1:], 1):
        rows = re.findall(r"^\| (\d\d:\d\d) \| (\w+) \| [^|]*\]\((\S+)\)[^|]*\| (\d+) \|", text, re.MULTILINE)
        agenda += [(day, clock, id, f"runbooks/{name}", int(length)) for clock, id, name, length in rows]
    planned = [(c.day, c.at, c.id, c.notebook, c.minutes) for c in PLAN.ceremonies if c.at]
    assert sorted(set(planned) - set(agenda)) == [], "the guide lacks them"
    assert (
        sorted(a for a in set(agenda) - set(planned) if a[2] in {c.id for c in PLAN.ceremonies if c.at}) == []
    )


def test_make_targets_named_in_the_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z]+)", README + CONTRIBUTING))
    assert named <= targets


def test_the_data_block_of_the_readme_is_a_valid_one() -> None:
    (block,) = blocks("yaml")
    raw = yaml.safe_load((ROOT / "runbooks" / "plan.yml").read_text(encoding="utf-8"))
    assert plan.read({**raw, **yaml.safe_load(block)}).data.target == "subscribed"


def test_the_environment_file_has_every_dependency_with_a_word_on_its_use() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    names = {re.match(r"[A-Za-z0-9-]+(\[[a-z]+\])?", line)[0] for line in wanted}  # type: ignore[index]
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^      - ([A-Za-z][^ ]*) # (.+)$", text, re.MULTILINE))
    assert set(listed) == names
    assert "--constraint requirements.lock" in text


def test_the_lock_pins_every_dependency_exactly() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.match(r"[A-Za-z0-9._-]+==[^ ;]+( ; .+)?$", pin) for pin in pins)
    locked = {re.split("==", pin)[0].lower().replace("_", "-") for pin in pins}
    names = {re.match(r"[A-Za-z0-9-]+", line)[0].lower() for line in wanted}  # type: ignore[index]
    assert names <= locked
