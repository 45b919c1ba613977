#!/usr/bin/env bash
# A session's life over HTTP, by curl alone. JUNE_API_KEY is a key with the scopes sessions:read and sessions:write.
set -euo pipefail
sessions="${JUNE_API_URL:-http://127.0.0.1:8081}/api/sessions"
id="http-$(date +%s)-$$"

june() {
    curl --silent --show-error --fail-with-body --header "Authorization: Bearer $JUNE_API_KEY" "$@"
    echo
}

# Make one; the answer has a token for ann. Sent again with the same key, it does nothing twice.
june "$sessions" --json '{"session_id": "'"$id"'", "user_id": "ann"}' --header "Idempotency-Key: create-$id"

# A new token for ann, or for anybody else: ?identity=.
june "$sessions/$id"

# A guest gets an identity of its own.
june "$sessions/$id/guest-token" --json '{"guest_name": "Bob", "can_publish": false}'

# Who is there, and what of ann's is going on.
june "$sessions/$id/participants"
june --get "$sessions" --data-urlencode "user_id=ann" --data-urlencode "limit=10"

# End it, for everybody in it.
june --request DELETE "$sessions/$id?reason=over"
