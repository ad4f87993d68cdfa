#!/bin/sh
# 1,000 clients of a gateway, 100 of them stalled for ever, beside the same market with nobody there
# (docs/gateway/limits.md). Each client is a descriptor here and one in the gateway.
set -eu
cd "$(dirname "$0")/../.."
ulimit -n 8192
cargo build --release -p tickwire-tools --bin tickwire
exec cargo run --release -p tickwire-gateway --bin gateway-load -- --spawn "$@"
