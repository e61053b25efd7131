#!/usr/bin/env bash
# Measures what the state costs at 100, 10,000 and 100,000 resources, and prints a table.
#
#     benches/state.sh [--release]
#
# Operations and bytes are counted by a store in memory and don't depend on the machine. CPU time is that of the
# thread; the last column is wall time on the disk of the target folder. Linux only.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --quiet --locked --test suite "$@" -- --ignored --exact --nocapture state::cost::table | grep '^|'
