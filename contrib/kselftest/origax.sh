#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Runs origax on this kernel, and writes KTAP; exits as kselftest wants it.
#
# Arguments are those of `origax run`, such as patterns of cases; kselftest hands them on from
# KSELFTEST_ORIGAX_SH_ARGS. ORIGAX is the command, if it is not in PATH.

: "${ORIGAX:=origax}"

if ! command -v "$ORIGAX" >/dev/null; then
	echo "TAP version 13"
	echo "1..0 # SKIP there is no $ORIGAX: install it, or set ORIGAX"
	exit 4
fi

record=$(mktemp) || exit 1
trap 'rm -f "$record"' EXIT

"$ORIGAX" run --record "$record" "$@" >/dev/null
code=$?
if [ -s "$record" ]; then
	"$ORIGAX" report "$record" --format ktap || code=1
fi

# 0 conforms and 4, everything skipped, mean the same to kselftest; its 2 and 3 are other things.
case $code in
0 | 4) exit $code ;;
*) exit 1 ;;
esac
