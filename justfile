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

# Licences, advisories and sources of dependencies (needs cargo-deny).
deny:
    cargo deny check

# Spelling (needs typos-cli).
typos:
    typos
