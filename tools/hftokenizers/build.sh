#!/usr/bin/env bash
# Builds the Rust static library behind the build tag hftokenizers: Hugging Face's tokenizers as github.com/daulet/tokenizers
# binds them. Needs cargo and a C linker; takes minutes. Usage: build.sh [FOLDER], default build/hftokenizers; then
#   CGO_ENABLED=1 CGO_LDFLAGS="-L$PWD/build/hftokenizers" go test -tags hftokenizers ./runtime/text
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$(mkdir -p "${1:-build/hftokenizers}" && cd "${1:-build/hftokenizers}" && pwd)

go mod download github.com/daulet/tokenizers
source=$(go list -m -f '{{.Dir}}' github.com/daulet/tokenizers)
mkdir -p "$out/src"
cp -R "$source/src" "$source/benches" "$source/Cargo.toml" "$source/Cargo.lock" "$out/src/"
chmod -R u+w "$out/src"
# The module names one dependency by a git branch; the registry has a release of it.
sed -i.orig 's|^tiktoken-rs = .*|tiktoken-rs = "0.7"|' "$out/src/Cargo.toml"
grep -q '^tiktoken-rs = "0.7"$' "$out/src/Cargo.toml"

cargo build --release --lib --manifest-path "$out/src/Cargo.toml" --target-dir "$out/target"
cp "$out/target/release/libtokenizers.a" "$out/"
echo "$out/libtokenizers.a"
