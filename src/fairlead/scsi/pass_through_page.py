"""The rules for commands that are passed through, as a part of the documentation.

``python -m fairlead.scsi.pass_through_page`` prints the table that docs/pass-through.md has; a test
holds it to the rules. Spec: SPC-4 r37, commands by name.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from fairlead.scsi.pass_through import POLICIES, VARIABLE_LENGTH, Treatment

if TYPE_CHECKING:
    from fairlead.scsi.pass_through import Policy

_HEAD: Final = """\
| Opcode | Command | What becomes of it | Read only | Why |
|---|---|---|---|---|
"""

_WORDS: Final = {
    Treatment.PASS: "passes",
    Treatment.ANSWER: "we answer",
    Treatment.PAGE: "our page, or passes",
    Treatment.REFUSE: "refused",
}


def render() -> str:
    """Return the table, in Markdown."""
    rest = "| all others | | passes | no | |\n"
    return _HEAD + "".join(map(_row, POLICIES)) + rest


def _row(policy: Policy) -> str:
    words = _WORDS[policy.treatment]
    if policy.is_dangerous:
        words = "refused unless allowed"
    if policy.endangers_blocks:
        words = "refused unless allowed; passes where there are no blocks"
    if policy.needs_identity:
        words += '; with `identity = "own"` refused'
    may_read_only = policy.is_harmless and policy.treatment is not Treatment.REFUSE
    cells = (_code(policy), policy.name, words, "yes" if may_read_only else "no", policy.why)
    return f"| {' | '.join(cells)} |\n".replace("|  |", "| |")


def _code(policy: Policy) -> str:
    if policy.service_action is None:
        return f"{policy.opcode:02X}h"
    digits = 4 if policy.opcode == VARIABLE_LENGTH else 2
    return f"{policy.opcode:02X}h/{policy.service_action:0{digits}X}h"


if __name__ == "__main__":
    sys.stdout.write(render())
