"""Writes a fleet of N bots over N/10 instances into a fresh git repository with one commit.

    python bench/fleet.py 1000 /tmp/fleet

The same N gives the same files. Half of the prompts are in the bots' documents, half in files beside them; each is
1 to 2 KB. The Credentials name a variable that nobody sets, so the built-in demo model answers.
"""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

TRADES = ("bakery", "dentist", "garage", "hotel", "bookshop", "gym", "florist", "pharmacy", "museum", "hostel")
STREETS = ("Harbour Road", "Mill Lane", "Station Street", "Market Square", "Elm Avenue", "Castle Hill", "Quay Side")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
TOPICS = ("opening hours", "prices", "parking", "bookings", "refunds", "delivery", "gift cards", "complaints")
FACTS = (
    "We are open from {a}:00 to {b}:30 on {day} and close for lunch at one.",
    "You find us at {n} {street}, five minutes on foot from the station.",
    "A first appointment costs {n} euros and takes about {a}0 minutes.",
    "There are {a} parking spaces behind the house; they are free for customers.",
    "Bookings can be changed without a fee until {b} hours before.",
    "Gift cards are sold from {a}0 euros and are good for two years.",
    "Orders over {n} euros are delivered free within {b} kilometres.",
    "Complaints are answered by a person within one working day, at the latest on {day}.",
)


def prompt(draw: random.Random, trade: str, topic: str) -> str:
    """A system text of 1 to 2 KB with facts that a customer asks for."""
    lines = [f"You answer customers of a {trade} in {draw.choice(STREETS)}.", f"Speak mostly about {topic}.", ""]
    while sum(map(len, lines)) < draw.randint(1_000, 1_900):
        fact = draw.choice(FACTS)
        lines.append(
            "- "
            + fact.format(
                a=draw.randint(2, 9),
                b=draw.randint(15, 22),
                n=draw.randint(10, 200),
                day=draw.choice(DAYS),
                street=draw.choice(STREETS),
            )
        )
    return "\n".join([*lines, "", "If you do not know something, say so and offer to ask a colleague."])


def bot(draw: random.Random, instance: str, number: int, trade: str) -> dict[str, str]:
    """The files of one bot by path: its YAML, and its prompt where that is in a file."""
    topic = TOPICS[number % len(TOPICS)]
    name = f"{topic.replace(' ', '-')}-{number}"
    text = prompt(draw, trade, topic)
    match number % 10:
        case 0:
            trigger = "  triggerType: all\n"
        case 1:
            trigger = "  triggerType: none\n"
        case 2:
            trigger = f"  triggerType: advanced\n  triggerValue: contains:{topic.split()[0]},question{number}\n"
        case 3:
            trigger = f"  triggerType: keyword\n  triggerOperator: regex\n  triggerValue: (?i)\\b{topic}\\b.*{number}\n"
        case kind:
            operator = ("equals", "contains", "startsWith", "endsWith")[kind % 4]
            trigger = f"  triggerType: keyword\n  triggerOperator: {operator}\n  triggerValue: {topic} {number}\n"
    files = {}
    if number % 2:
        message = f"    - file: prompts/{name}.md\n"
        files[f"bots/{instance}/prompts/{name}.md"] = text + "\n"
    else:
        message = "    - |\n" + "".join(f"      {line}\n" if line else "\n" for line in text.splitlines())
    files[f"bots/{instance}/{name}.yaml"] = (
        "# yaml-language-server: $schema=../../.schemas/bot.schema.json\n"
        "apiVersion: reconciler/v1\n"
        "kind: Bot\n"
        f"metadata:\n  name: {name}\n  labels: {{team: {trade}}}\n"
        f"spec:\n  description: Answers about {topic} at the {trade}\n"
        f"  botType: chatCompletion\n  model: gpt-4o\n  systemMessages:\n{message}"
        f"  maxTokens: {draw.choice((300, 500, 1000))}\n{trigger}"
    )
    return files


def instance_files(name: str) -> dict[str, str]:
    """What an instance has once: itself, its account, its Settings."""
    return {
        f"bots/{name}/instance.yaml": (
            f"apiVersion: reconciler/v1\nkind: Instance\nmetadata: {{name: {name}}}\n"
            f"spec:\n  instanceName: {name.replace('-', '_')}\n  channel: web\n---\n"
            "kind: Credentials\nmetadata: {name: main}\n"
            "spec:\n  apiKey: {env: BENCH_OPENAI_API_KEY}\n  whenMissing: builtin:demo\n---\n"
            "kind: Settings\nmetadata: {name: default}\n"
            "spec:\n  credentials: main\n  expire: 1h\n  keywordFinish: stop\n  delayMessage: 0\n"
            "  debounceTime: 200ms\n  unknownMessage: Sorry, I did not understand.\n  stopBotFromMe: true\n"
        )
    }


def fleet(count: int) -> dict[str, str]:
    """All files of a fleet of `count` bots, by path."""
    draw = random.Random(count)
    files: dict[str, str] = {".gitignore": ".reconciler/\n"}
    instances = max(1, count // 10)
    for number in range(instances):
        name = f"{TRADES[number % len(TRADES)]}-{number:04d}"
        files.update(instance_files(name))
        for one in range(number, count, instances):
            files.update(bot(draw, name, one // instances, TRADES[number % len(TRADES)]))
    return files


def write(folder: Path, files: dict[str, str]) -> None:
    """Makes a repository of the files in a folder that must be empty or new, with one commit."""
    if folder.exists() and any(folder.iterdir()):
        raise SystemExit(f"{folder} is not empty: name a new folder")
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    who = ["-c", "user.name=bench", "-c", "user.email=bench@example.com", "-c", "commit.gpgsign=false"]
    for step in (["init", "-q", "-b", "main"], ["add", "."], [*who, "commit", "-q", "--no-verify", "-m", "A fleet"]):
        subprocess.run(["git", "-C", str(folder), *step], check=True)


def main() -> None:
    """`fleet.py N [DIR]`; without DIR the folder is ./fleet-N."""
    if len(sys.argv) not in (2, 3) or not sys.argv[1].isdigit() or int(sys.argv[1]) < 1:
        raise SystemExit("usage: python bench/fleet.py N [DIR]")
    count = int(sys.argv[1])
    folder = Path(sys.argv[2] if len(sys.argv) == 3 else f"fleet-{count}")
    write(folder, fleet(count))
    print(f"{count:,} bots in {folder}")


if __name__ == "__main__":
    main()
