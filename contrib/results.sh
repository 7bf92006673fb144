#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Writes what came of the cases of a record, a line each: CASE pass|fail|skip. A known issue passes,
# as for all who have no word for it. For LAVA and tmt, which take results one by one.

"${ORIGAX:-origax}" report "$1" --format tap13 | sed -nE \
	-e 's/^ok [0-9]+ ([^ ]+)$/\1 pass/p' \
	-e 's/^ok [0-9]+ ([^ ]+) # SKIP.*/\1 skip/p' \
	-e 's/^not ok [0-9]+ ([^ ]+) # TODO.*/\1 pass/p' \
	-e 's/^not ok [0-9]+ ([^ ]+) # .*/\1 fail/p'
