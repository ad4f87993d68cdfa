#!/bin/sh
# Instructions a message (decode) and an edit (book), by valgrind's callgrind: they are the same on a busy
# machine as on a quiet one. Branches and cache misses are simulated with BRANCHES=1.
#
#   benches/instructions.sh                      all
#   benches/instructions.sh binance_trade ..     these; the profile of each is kept in target/callgrind
#   BRANCHES=1 benches/instructions.sh instruments_1 instruments_5000        with misses of a cache of 48 KiB, and of one
#                                                of 2 MiB behind it
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet --profile bench -p tickwire-benches --bin instructions
all="binance_depth_small binance_depth_4k binance_book_ticker binance_trade binance_agg_trade
bybit_depth_delta bybit_public_trade deribit_change polymarket_change book_50 book_1000 book_5000"
mkdir -p "$target/callgrind"
for scenario in ${*:-$all}; do
    file="$target/callgrind/$scenario.out"
    rm -f "$file"
    line=$(valgrind --tool=callgrind --callgrind-out-file="$file" \
        --collect-atstart=no --toggle-collect='*instructions*counted*' \
        ${BRANCHES:+--branch-sim=yes --cache-sim=yes --D1=49152,12,64 --LL=2097152,16,64} \
        "$target/release/instructions" "$scenario" 2>"$file.log")
    # The first number of the totals; some builds of valgrind write a second line of them.
    total=$(sed -n 's/^\(totals\|summary\): \([0-9]*\).*/\2/p' "$file" | head -n 1)
    if [ -n "${BRANCHES:-}" ]; then
        sed -n 's/^events: //p; s/^\(totals\|summary\): //p' "$file" | head -n 2 | awk -v line="$line" '
            NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i }
            NR == 2 { split(line, l, " "); n = l[2]
                printf "%-22s each: %.0f instructions, %.1f branches missed, of data %.1f missed in the near cache and %.1f in both\n",
                    l[1], $at["Ir"] / n, ($at["Bcm"] + $at["Bim"]) / n, ($at["D1mr"] + $at["D1mw"]) / n, ($at["DLmr"] + $at["DLmw"]) / n }'
        continue
    fi
    echo "$line $total" | awk '{ printf "%-22s %6.0f instructions each (%s of %s B, result %s)\n", $1, $5 / $2, $2, $3, $4 }'
done
