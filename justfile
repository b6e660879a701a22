# Each recipe is a CI job. `just` alone runs what must hold before a push, cheapest first.

default: fmt clippy doc test

# Formatting, as rustfmt.toml says.
fmt:
    cargo fmt --all -- --check

# Lints, warnings denied.
clippy:
    cargo clippy --release --workspace --all-targets -- -D warnings

# Documentation, warnings denied.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps

# Every test, in the profile of the program: heavy dependencies are built once.
test:
    cargo test --release --workspace

# The tests of instructions that a T5 reads, which the default build leaves out.
test-t5:
    cargo test --release --workspace --features t5 --test it -- t5

# Licences, advisories and sources of dependencies (needs cargo-deny).
deny:
    cargo deny check

# Spelling (needs typos-cli).
typos:
    typos

# Rewrites a log and reads every item of it back in the official Python lerobot 0.4.4.
parity-lerobot log="examples/logs/droid":
    #!/usr/bin/env bash
    set -euo pipefail
    target="${CARGO_TARGET_DIR:-target}"
    venv="$target/parity/lerobot"
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet lerobot==0.4.4
    cargo build --release -p rehearse-scenarios --example rewrite_log
    out="$(mktemp -d)"
    trap 'rm -rf "$out"' EXIT
    "$target/release/examples/rewrite_log" write "{{ log }}" "$out/log"
    "$venv/bin/python" scenarios/tools/parity_lerobot.py "{{ log }}" "$out/log" "$target/release/examples/rewrite_log"

# Compares every decoded frame of a log's videos with PyAV.
parity-video log="examples/logs/droid":
    #!/usr/bin/env bash
    set -euo pipefail
    target="${CARGO_TARGET_DIR:-target}"
    venv="$target/parity/video"
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet av numpy
    cargo build --release -p rehearse-scenarios --example decode
    "$venv/bin/python" scenarios/tools/check_video.py --decode "$target/release/examples/decode" "{{ log }}"

# Times the world model beside its PyTorch twin on the same cores, weights and inputs, in turn; ends
# with one line of JSON, of ratios of speed. `python` may name one that has torch and safetensors.
compare-torch python="" threads="2" rounds="15":
    #!/usr/bin/env bash
    set -euo pipefail
    target="${CARGO_TARGET_DIR:-target}"
    python="{{ python }}"
    if [ -z "$python" ]; then
        venv="$target/parity/torch"
        [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
        # Wheels without CUDA where they can be had.
        "$venv/bin/pip" install --quiet torch==2.6.0 numpy safetensors \
            --extra-index-url https://download.pytorch.org/whl/cpu
        python="$venv/bin/python"
    fi
    cargo build --release --workspace --example speed
    "$python" world_model/tools/compare_torch.py --speed "$target/release/examples/speed" \
        --threads {{ threads }} --rounds {{ rounds }}
