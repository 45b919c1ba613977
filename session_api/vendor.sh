#!/bin/sh
# Puts LiveKit's browser client where the live page looks for it: one file out of the npm package, checked by its hash.
# Needs npm and the registry, once; again does nothing. Without it the page shows everything, and joins no call.
set -eu
version=2.23.0
tarball_sha256=993eafb83afb4c566bb388108ad6469bf499d76200014c96c35fe3b39fee859d
client_sha256=d21d2e433434b7b3357ca1bb04bd56803b1fa0f9ff380dcd824523b53d96fd02

folder=$(cd "$(dirname "$0")" && pwd)/page/vendor
client=$folder/livekit-client.umd.js

right() { [ -f "$2" ] && echo "$1  $2" | sha256sum --check --status -; }

if right "$client_sha256" "$client"; then exit 0; fi
if ! command -v npm >/dev/null; then
    echo "npm is needed to get livekit-client $version for the live page: install Node.js" >&2
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent "livekit-client@$version" >/dev/null
if ! right "$tarball_sha256" "livekit-client-$version.tgz"; then
    echo "livekit-client $version is not the package that it was: nothing is installed" >&2
    exit 1
fi
tar -xzf "livekit-client-$version.tgz" package/dist/livekit-client.umd.js package/LICENSE
mkdir -p "$folder"
# The map that the last line names is not there: without the line, no browser asks for it.
sed '/^\/\/# sourceMappingURL=/d' package/dist/livekit-client.umd.js >client.js
right "$client_sha256" client.js
cp package/LICENSE "$folder/livekit-client.LICENSE"
mv client.js "$client"
echo "livekit-client $version is in $folder"
