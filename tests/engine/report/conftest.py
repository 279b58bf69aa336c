"""A document of the recorded session, and the same with something hostile in every string."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine import report
from engine.protocol.events import SetDeltas, SetReady, WorkerStarted
from engine.report.contents import Checked, Document, Mismatch
from engine.session.session import Session
from tests.engine.report.pages import HOSTILE


@pytest.fixture(scope="session")
def found(recorded: Path) -> Document:
    """Return the document of the recorded session."""
    return report.document(Session.at(recorded))


@pytest.fixture(scope="session")
def hostile(found: Document) -> Document:
    """Return the document with something hostile in every string that a journal can carry.

    Keys of variants are not among them: none but a key is read from a journal.
    """
    plan = msgspec.structs.replace(
        found.plan, overrides={HOSTILE: 4}, score_parameters={HOSTILE: {HOSTILE: HOSTILE}}
    )
    evil = poisoned(found.images[0], SetReady)
    return msgspec.structs.replace(
        found,
        session=HOSTILE,
        id=HOSTILE,
        created=HOSTILE,
        app=HOSTILE,
        state=HOSTILE,
        note=HOSTILE,
        identity=HOSTILE,
        plan=plan,
        images=(*found.images, evil),
        unreadable={HOSTILE: 3},
        calibrations=tuple(
            msgspec.structs.replace(draw, set=HOSTILE, images=(HOSTILE, "=1+1"), digest=HOSTILE)
            for draw in found.calibrations
        ),
        models=tuple(
            msgspec.structs.replace(one, model=HOSTILE, origin=HOSTILE, digest=HOSTILE, crop_mode=HOSTILE)
            for one in found.models
        ),
        workers=(WorkerStarted(HOSTILE, 2, {HOSTILE: HOSTILE}, 0, {HOSTILE: HOSTILE}),),
        digests={HOSTILE: HOSTILE},
        variants=tuple(
            msgspec.structs.replace(
                row,
                pretraining=HOSTILE,
                method="=cmd|' /C calc'!A0",
                sets=tuple(
                    msgspec.structs.replace(c, problem=HOSTILE, warnings=(HOSTILE,)) for c in row.sets
                ),
            )
            for row in found.variants
        ),
        deltas=tuple(
            msgspec.structs.replace(
                row, by_set={**row.by_set, "ap_out": SetDeltas({HOSTILE: row.main.mean}, row.main.mean)}
            )
            for row in found.deltas
        ),
        by_bits={HOSTILE: next(iter(found.by_bits.values()))},
        by_pretraining={HOSTILE: {HOSTILE: next(iter(found.by_bits.values()))}, "x": {}},
        histograms=tuple(
            msgspec.structs.replace(one, shares={HOSTILE: next(iter(one.shares.values()))})
            for one in found.histograms
        ),
        bit_tables=tuple(
            msgspec.structs.replace(
                table,
                floats=(HOSTILE,),
                rows=tuple(
                    msgspec.structs.replace(r, tensor=HOSTILE, quantizer=HOSTILE) for r in table.rows[:2]
                ),
            )
            for table in found.bit_tables
        ),
        added=(HOSTILE,),
        interruptions=(HOSTILE,),
        warnings=(HOSTILE,),
        failures=(HOSTILE,),
        checked=Checked(1, 1, (Mismatch(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE),)),
    )


def poisoned(value: Any, kind: Any) -> Any:
    """Return a Struct with something hostile in every text of its own."""
    texts = {name: HOSTILE for name in kind.__struct_fields__ if isinstance(getattr(value, name), str)}
    return msgspec.structs.replace(value, **texts, notes=(HOSTILE,))
