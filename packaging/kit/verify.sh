#!/bin/sh
# Checks that this kit is as it was made: every file has its SHA-256, none is missing, none was added.
#
# usage: sh verify.sh [KEY]
#
# KEY   minisign's public key of whoever made the kit: the line, or a file. It must have come another way than
#       the kit. With it the signature is checked too (needed: minisign).
#
# Status 0: all is well. 1: it is not. 2: it could not be checked.
set -eu
LC_ALL=C
export LC_ALL
key=${1-}
if [ -f "$key" ]; then
    key=$(sed -n '$p' "$key")
fi
cd "$(dirname "$0")"

if [ ! -f SHA256SUMS ]; then
    echo "There is no SHA256SUMS." >&2
    exit 1
fi
if [ -n "$key" ]; then
    command -v minisign >/dev/null || { echo "minisign is not here, so the signature was not checked." >&2; exit 2; }
    minisign -Vqm SHA256SUMS -P "$key" || { echo "The signature is not by this key." >&2; exit 1; }
fi
if command -v sha256sum >/dev/null; then
    sum="sha256sum"
elif command -v shasum >/dev/null; then
    sum="shasum -a 256"
else
    echo "Neither sha256sum nor shasum is here." >&2
    exit 2
fi
there=$(find . ! -type d ! -path ./SHA256SUMS ! -path ./SHA256SUMS.minisig ! -path ./SHA256SUMS.asc | sed 's|^\./||' | sort)
named=$(cut -c67- SHA256SUMS | sort)
if [ "$there" != "$named" ] || [ -n "$(find . -type l)" ]; then
    echo "Files are missing, or were added:" >&2
    printf '%s\n' "$there" "$named" | sort | uniq -u >&2
    find . -type l >&2
    exit 1
fi
if ! $sum -c SHA256SUMS >/dev/null 2>&1; then
    echo "Files were changed:" >&2
    $sum -c SHA256SUMS 2>/dev/null | grep -v ': OK$' >&2
    exit 1
fi
echo "All files are as they were when the kit was made."
if [ -z "$key" ]; then
    echo "Who made it was not checked: sh verify.sh KEY does that."
fi
