#!/usr/bin/env bash
# Mutation check: plants each bug of this folder in a copy of the tree and runs the world until it is
# caught; says by which seed. Ends with 1 where one survives.
#
#   tools/mutations/check.sh [SEEDS] [NAME ..]
#
# SEEDS is how many to try for each (default 2000); with names, only those. A patch may say in its line
# "World: .." which world is to find it.
set -euo pipefail
cd "$(dirname "$0")/../.."
seeds=${1:-2000}
shift || true
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
    for patch in tools/mutations/*.patch; do names+=("$(basename "$patch" .patch)"); done
fi
# Beside the build's own folder: it is kept, so that a second check builds little.
work=${CARGO_TARGET_DIR:-$PWD/target}/mutations
tree=$work/tree
export CARGO_TARGET_DIR=$work/target CARGO_TERM_COLOR=never
# Speed of the build counts for more here than that of the run.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
export CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_INCREMENTAL=1
survivors=0
for name in "${names[@]}"; do
    patch=$PWD/tools/mutations/$name.patch
    mkdir -p "$tree"
    # Only files that differ are written: the build tells by their times what is new.
    git ls-files -co --exclude-standard -z | while IFS= read -r -d '' file; do
        [ -f "$file" ] || continue
        if ! cmp -s "$file" "$tree/$file"; then
            mkdir -p "$tree/$(dirname "$file")"
            cp "$file" "$tree/$file"
        fi
    done
    patch --directory="$tree" --strip=1 --quiet --forward <"$patch"
    (cd "$tree" && cargo build --release --locked --quiet -p tickwire-tools)
    flags=$(sed -n 's/^World: //p' "$patch")
    # shellcheck disable=SC2086  # several flags are several words
    if told=$("$CARGO_TARGET_DIR/release/tickwire" world $flags --seeds "$seeds" --json 2>/dev/null); then
        printf '%-32s SURVIVED %s seeds\n' "$name" "$seeds"
        survivors=$((survivors + 1))
    else
        # The first line is the failure, made smaller.
        seed=$(sed -n '1s/.*"seed":\([0-9]*\).*/\1/p' <<<"$told")
        complaint=$(sed -n '1s/.*"complaint":"\(\([^"\\]\|\\.\)*\)".*/\1/p' <<<"$told")
        printf '%-32s caught by seed %-6s %s\n' "$name" "$seed" "$complaint"
    fi
    # Back to the tree as it is, whatever the patch added.
    patch --directory="$tree" --strip=1 --quiet --reverse <"$patch"
done
exit $((survivors > 0))
