#!/bin/bash
# Starts Nephron with its full chain (API key, Cedar, Safe Harbor, vault, restored answers, durable log) for the load
# generator and the script of `shared/peers`: plain HTTP on 127.0.0.1:8443, in front of the mock at 127.0.0.1:19001, inside the
# network namespace `gwb`. Prints the API key, and writes the process id to $PEERS/gateway.pid. Needs root and iproute2.
#
# usage: PEERS=DIR examples/bench/up.sh        stop it with: kill "$(cat "$PEERS/gateway.pid")"
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
peers=${PEERS:-$PWD/peers-home}
folder=$peers/gateway
mkdir -p "$folder"
target=$(cd "$root" && realpath -m "${CARGO_TARGET_DIR:-target}")

if [ -f "$peers/gateway.pid" ] && kill -0 "$(cat "$peers/gateway.pid")" 2>/dev/null; then
  echo "it runs already (process $(cat "$peers/gateway.pid"))" >&2
  exit 1
fi
(cd "$root" && cargo build --release --quiet --bin nephron && "$target/release/nephron" plugin build) >&2

# Everything but the listener's key is the committed configuration.
rm -rf "$folder/bench" "$folder/policies"
mkdir -p "$folder/bench"
cp -r "$here/../policies" "$folder/policies"
mkdir -m 700 "$folder/bench/data"
key=$("$target/release/nephron" api-key new --id bench --tenant st-marys --caller load --role physician)
{ cat "$here/gateway.toml"; echo; echo "$key" | tail -n +3; } > "$folder/bench/gateway.toml"

ip netns add gwb 2>/dev/null || true
ip netns exec gwb ip link set lo up
cd "$folder/bench"
NEPHRON_PASSPHRASE=only-for-measuring nohup ip netns exec gwb "$target/release/nephron" serve --config gateway.toml \
  > serve.log 2>&1 &
echo $! > "$peers/gateway.pid"
# The first start compiles the plugins.
for _ in $(seq 1200); do
  if ip netns exec gwb bash -c 'exec 3<>/dev/tcp/127.0.0.1/8443' 2>/dev/null; then
    echo "$key" | head -1
    exit 0
  fi
  kill -0 "$(cat "$peers/gateway.pid")" 2>/dev/null || break
  read -rt 0.1 <> <(:) || true
done
cat serve.log >&2
echo "it did not start" >&2
exit 1
