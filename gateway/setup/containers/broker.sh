#!/bin/sh
# Mosquitto in its container; whenever a whole list of what holds no more is there that it has not read, it reads it.
# It is started in the folder that `ganglion pki broker` has made. Arguments: that list, and seconds between two looks.
set -eu
crl=$1
every=${2:-5}

# A list for each authority of both listeners, and an end: of less Mosquitto would let in whom it had shut out.
whole() {
    [ "$(grep -c 'END X509 CRL' "$crl")" -ge "$(cat ca.pem clients.pem | grep -c 'END CERTIFICATE')" ] &&
        [ "$(tail -n 1 "$crl")" = "-----END X509 CRL-----" ]
}

look() {
    seen=$1
    while sleep "$every"; do
        now=$(cksum <"$crl") || continue
        [ "$now" != "$seen" ] || continue
        seen=$now
        if whole; then kill -HUP "$broker"; else echo "$crl is not whole, and is not read" >&2; fi
    done
}

seen=$(cksum <"$crl")
mosquitto -c mosquitto.conf &
broker=$!
look "$seen" &
looker=$!
trap 'kill "$looker" 2>/dev/null' EXIT
trap 'kill -TERM "$broker"' TERM INT
code=0
wait "$broker" || code=$?
# A signal ends the first wait, and the broker's own end the second.
if [ "$code" -gt 128 ]; then
    code=0
    wait "$broker" || code=$?
fi
exit "$code"
