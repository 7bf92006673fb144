# SPDX-License-Identifier: GPL-2.0-only
"""The record: written whole, read strictly, and as its schema says."""

from __future__ import annotations

import errno
import json
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import records
from jsonschema import Draft202012Validator

from conformance import record
from conformance.errors import HarnessError, UsageError

SCHEMA = json.loads(Path(record.__file__).with_name("record.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)

Edit = Callable[[dict[str, Any]], Any]


def sample() -> Any:
    """Give the JSON of a record with every verdict, to break."""
    return json.loads(record.to_json(records.mixed()))


def at(data: Any, *keys: str | int) -> Any:
    """Walk down to a part of it."""
    for key in keys:
        data = data[key]
    return data


# A record that was written and read again is the same record.
def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    record.write(path, records.mixed())
    assert record.read(path) == records.mixed()


# A soak's record is one, too, with what it counted; others do not speak of a soak at all.
def test_soak() -> None:
    text = record.to_json(records.soaked())
    VALIDATOR.validate(json.loads(text))
    assert record.from_json(text) == records.soaked()
    assert "soak" not in sample()


# Equal runs give equal bytes, in whatever order their cases were done.
def test_deterministic() -> None:
    cases = records.mixed().cases
    forth, back = records.record(*cases), records.record(*reversed(cases))
    assert record.to_json(forth) == record.to_json(back)
    assert [case["id"] for case in json.loads(record.to_json(back))["cases"]] == sorted(
        case.id for case in cases
    )


# The published schema is a schema, and what is written fits it.
def test_schema_accepts_what_is_written() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    VALIDATOR.validate(sample())


# Every object of the schema says what is in it, but for the few that are open on purpose.
def test_schema_is_exact() -> None:
    definitions = {
        name: part for name, part in SCHEMA["$defs"].items() if part.get("type") == "object"
    }
    for name, part in definitions.items():
        if name == "stop":
            assert "additionalProperties" not in part
        else:
            assert part["additionalProperties"] is False
            optional = ["soak"] if name == "record" else []
            assert sorted([*part["required"], *optional]) == sorted(part["properties"])


# A tracer may note more of a raw stop than this version knows.
def test_raw_stops_are_open() -> None:
    data = sample()
    stop = at(data, "cases", 2, "transcripts", 0, "stops", 0)
    stop["xstate"] = {"size": 832}
    VALIDATOR.validate(data)
    read = record.from_json(json.dumps(data))
    assert read.cases[2].transcripts[0].stops[0]["xstate"] == {"size": 832}


BROKEN: list[tuple[str, Edit]] = [
    ("tool", lambda r: r.pop("tool")),
    ("tool.probes", lambda r: r["tool"].update(probes="beef")),
    ("tool.version", lambda r: r["tool"].update(version="")),
    ("environment", lambda r: r.update(environment=[])),
    ("environment.facts.family", lambda r: r["environment"]["facts"].update(family=2.5)),
    ('environment.facts["a b"]', lambda r: r["environment"]["facts"].update({"a b": None})),
    ("environment.build.version", lambda r: r["environment"]["build"].update(version=1)),
    ("boot_id", lambda r: r.update(boot_id=None)),
    ("started", lambda r: r.update(started="yesterday")),
    ("duration", lambda r: r.update(duration=-1)),
    ("duration", lambda r: r.update(duration=True)),
    ("options.frames", lambda r: r["options"].update(frames=0)),
    ("options.jobs", lambda r: r["options"].update(jobs="2")),
    ("options.patterns[0]", lambda r: r["options"].update(patterns=[1])),
    ("interrupted", lambda r: r.update(interrupted=0)),
    ("more", lambda r: r.update(more=1)),
    ("cases", lambda r: r.update(cases={})),
    ("cases[3]", lambda r: r["cases"].__setitem__(3, "case")),
    ("cases[3].id", lambda r: r["cases"][3].update(id="../../etc")),
    ("cases[3].abi", lambda r: r["cases"][3].update(abi="arm64")),
    ("cases[3].door", lambda r: r["cases"][3].pop("door")),
    ("cases[3].verdict", lambda r: r["cases"][3].update(verdict="pass")),
    ("cases[3].reason", lambda r: r["cases"][3].update(reason=None)),
    ("cases[3].variant", lambda r: r["cases"][3].update(variant=1)),
    ("cases[3].weak", lambda r: r["cases"][3].update(weak=-1)),
    ("cases[3].repeats", lambda r: r["cases"][3].update(repeats=True)),
    ("cases[2].probes.spin", lambda r: r["cases"][2]["probes"].update(spin="0x")),
    ("cases[2].measured.share", lambda r: r["cases"][2]["measured"].update(share=[])),
    ("cases[2].color", lambda r: r["cases"][2].update(color="red")),
    (
        "cases[2].transcripts[0].count",
        lambda r: at(r, "cases", 2, "transcripts", 0).update(count=0),
    ),
    (
        "cases[2].transcripts[0].lines[1]",
        lambda r: at(r, "cases", 2, "transcripts", 0, "lines").__setitem__(1, None),
    ),
    (
        "cases[2].transcripts[0].stops[0].kind",
        lambda r: at(r, "cases", 2, "transcripts", 0, "stops", 0).pop("kind"),
    ),
    (
        "cases[2].transcripts[0].stops[0].regs.ax",
        lambda r: at(r, "cases", 2, "transcripts", 0, "stops", 0, "regs").update(ax=-513),
    ),
    (
        "cases[2].transcripts[0].stops[0].differs.user",
        lambda r: at(r, "cases", 2, "transcripts", 0, "stops", 0, "differs").update(user="ax"),
    ),
    (
        "cases[2].transcripts[0].stops[0].message",
        lambda r: at(r, "cases", 2, "transcripts", 0, "stops", 0).update(message=-1),
    ),
    ("cases[2].differences[0].line", lambda r: r["cases"][2]["differences"][0].update(line=1.5)),
    (
        "cases[2].differences[0].expected",
        lambda r: r["cases"][2]["differences"][0].pop("expected"),
    ),
    ("cases[2].broken", lambda r: r["cases"][2].update(broken="not_a_syscall")),
]


# Whatever breaks the schema is refused too, by the JSON path of the very thing that is wrong.
@pytest.mark.parametrize(("where", "edit"), BROKEN)
def test_damaged(where: str, edit: Edit) -> None:
    data = sample()
    edit(data)
    assert not VALIDATOR.is_valid(data)
    with pytest.raises(UsageError) as caught:
        record.from_json(json.dumps(data), "r.json")
    assert caught.value.on == f"r.json, at {where}"
    assert caught.value.what.startswith("the record is damaged: ")
    assert "origax run" in caught.value.do


SOAK_BROKEN: list[tuple[str, Edit]] = [
    ("soak", lambda r: r.update(soak=None)),
    ("soak.paths", lambda r: r["soak"].pop("paths")),
    ("soak.paths[0].case", lambda r: r["soak"]["paths"][0].update(case="timer")),
    ("soak.paths[0].row", lambda r: r["soak"]["paths"][0].update(row=43)),
    ("soak.paths[0].frames[1]", lambda r: r["soak"]["paths"][0]["frames"].__setitem__(1, -1)),
    ('soak.paths[1].values["-1"]', lambda r: r["soak"]["paths"][1]["values"].update({"-1": "2"})),
    ("soak.paths[1].lines[1].first", lambda r: r["soak"]["paths"][1]["lines"][1].pop("first")),
    ("soak.rate", lambda r: r["soak"].update(rate=1)),
]


# The same of what a soak counted: it may be absent, but not null.
@pytest.mark.parametrize(("where", "edit"), SOAK_BROKEN)
def test_damaged_soak(where: str, edit: Edit) -> None:
    data = json.loads(record.to_json(records.soaked()))
    edit(data)
    assert not VALIDATOR.is_valid(data)
    with pytest.raises(UsageError) as caught:
        record.from_json(json.dumps(data), "r.json")
    assert caught.value.on == f"r.json, at {where}"


# Without raw stops, a record is read as the same, but for the stops of what is as expected.
def test_without_stops() -> None:
    text = record.to_json(records.mixed())
    whole, brief = record.from_json(text), record.from_json(text, stops=False)
    assert [replace(case, transcripts=()) for case in brief.cases] == [
        replace(case, transcripts=()) for case in whole.cases
    ]
    for mine, full in zip(brief.cases, whole.cases, strict=True):
        bare = [replace(each, stops=()) for each in full.transcripts]
        kept = full.verdict not in ("PASS", "KNOWN", "SKIP")
        assert mine.transcripts == (full.transcripts if kept else tuple(bare))


# It is the same record however its text is laid out, and where it ends amid a stop it is no JSON.
def test_without_stops_in_any_layout() -> None:
    text = record.to_json(records.mixed())
    brief = record.from_json(text, stops=False)
    for indent in (None, 0, 2, 4):
        other = json.dumps(json.loads(text), indent=indent)
        assert record.from_json(other, stops=False) == brief
    for end in (text.index('"regs"'), text.rindex('"regs"'), text.rindex('"verdict"')):
        with pytest.raises(UsageError, match="not JSON"):
            record.from_json(text[:end], stops=False)


# A damaged record is refused without them, too: what fails keeps its stops, and they are checked.
@pytest.mark.parametrize(("where", "edit"), BROKEN)
def test_damaged_without_stops(where: str, edit: Edit) -> None:
    data = sample()
    edit(data)
    with pytest.raises(UsageError, match="damaged") as caught:
        record.from_json(json.dumps(data), "r.json", stops=False)
    assert caught.value.on == f"r.json, at {where}"


# Two cases with one id would be counted twice, which no schema can say.
def test_same_id_twice() -> None:
    data = sample()
    data["cases"].append(data["cases"][0])
    with pytest.raises(UsageError, match=r"events\.exec stands twice") as caught:
        record.from_json(json.dumps(data))
    assert caught.value.on.endswith("at cases[9].id")


# Text that is no JSON is told with the line and the column; JSON of another kind is told apart.
@pytest.mark.parametrize(
    ("text", "what", "on"),
    [
        ("", "not JSON", "r.json, line 1, column 1"),
        ('{\n "format": "origax-record",\n', "not JSON", "r.json, line 3, column 1"),
        ("{\n1}", "not JSON", "r.json, line 2, column 1"),
        ('{"duration": NaN}', "NaN", "r.json"),
        ("9" * 5000, "not JSON", "r.json"),
        ("[" * 100_000, "not JSON", "r.json"),
        ("[]", "not an origax record", "r.json"),
        ('{"format": "coverage"}', "not an origax record", "r.json"),
        ('{"format": "origax-record"}', "which version", "r.json"),
        ('{"format": "origax-record", "version": true}', "which version", "r.json"),
        ('{"format": "origax-record", "version": 2}', "a newer origax", "r.json"),
        ('{"format": "origax-record", "version": 0}', "read no more", "r.json"),
    ],
)
def test_not_a_record(text: str, what: str, on: str) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        record.from_json(text, "r.json")
    assert caught.value.on == on
    assert caught.value.do


# A file that cannot be read is a message that names it, whatever is wrong with it.
def test_unreadable(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"{\xff}")
    for path, what in (
        (tmp_path / "nowhere", "there is no such record"),
        (tmp_path, "Is a directory"),
        (binary, "byte 1 is no UTF-8"),
    ):
        with pytest.raises(UsageError, match=what) as caught:
            record.read(path)
        assert caught.value.on == str(path)


# Writing replaces an old record, through a symbolic link as well, and leaves nothing beside it.
def test_write_replaces(tmp_path: Path) -> None:
    path, link = tmp_path / "record.json", tmp_path / "latest.json"
    path.write_text("old")
    link.symlink_to(path)
    record.write(link, records.mixed())
    assert link.is_symlink()
    assert record.read(path) == records.mixed()
    assert sorted(tmp_path.iterdir()) == [link, path]


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# A disk that fills up in the middle costs the new record, and neither the old one nor the room.
def test_write_out_of_room(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text("old")
    with small_files(1000), pytest.raises(HarnessError, match="could not be written") as caught:
        record.write(path, records.mixed())
    assert caught.value.on == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


# What only the last step finds out, or ^C in it, leaves no half-written file either.
@pytest.mark.parametrize(
    ("raised", "seen"),
    [(OSError(errno.ENOSPC, "No space left on device"), HarnessError), (KeyboardInterrupt,) * 2],
)
def test_write_fails_late(
    raised: BaseException,
    seen: type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(descriptor: int) -> None:
        raise raised

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(seen):
        record.write(tmp_path / "record.json", records.mixed())
    assert list(tmp_path.iterdir()) == []


# A directory that is not there is named, with what to do.
def test_write_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "record.json"
    with pytest.raises(HarnessError, match="No such file or directory") as caught:
        record.write(path, records.mixed())
    assert caught.value.on == str(path)
    assert caught.value.do


# A device stays a device: it is written to and never replaced.
def test_write_to_a_device() -> None:
    record.write(Path("/dev/null"), records.mixed())
    assert not Path("/dev/null").is_file()
    with pytest.raises(HarnessError, match="No space left"):
        record.write(Path("/dev/full"), records.mixed())


# A mismatch outweighs a broken harness, that a missing golden, and all of them a pass.
@pytest.mark.parametrize(
    ("verdicts", "code", "bisect"),
    [
        (["PASS", "KNOWN", "SKIP"], 0, 0),
        (["KNOWN"], 0, 0),
        (["PASS", "FAIL", "ERROR", "NOGOLDEN"], 1, 1),
        (["UNSTABLE"], 1, 1),
        (["PASS", "NOGOLDEN", "ERROR"], 3, 125),
        (["MISS"], 3, 125),
        (["PASS", "NOGOLDEN"], 5, 125),
        (["SKIP", "SKIP"], 4, 125),
        ([], 4, 125),
    ],
)
def test_exit_code(verdicts: list[str], code: int, bisect: int) -> None:
    assert record.exit_code(verdicts) == code
    assert record.exit_code(verdicts, bisect=True) == bisect


# A record of which the cases are text already is the same text, in whatever order they come.
def test_of_members() -> None:
    for made in (records.mixed(), records.record()):
        texts = {case.id: record.member(case) for case in reversed(made.cases)}
        assert record.of_members(made, texts) == record.to_json(made)
