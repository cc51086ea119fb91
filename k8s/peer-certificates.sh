#!/bin/sh
# Prints the Secret trioroute-peers: an authority, and a certificate for each pod that is named.
# The authority's key is thrown away: to add a front-end, make all of them again and restart.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 825 \
    -subj /CN=trioroute-peers -keyout ca.key -out ca.crt 2>/dev/null
for pod in "$@"; do
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -subj "/CN=$pod" -keyout "$pod.key" -out "$pod.csr" 2>/dev/null
    printf 'subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$pod" > ext
    openssl x509 -req -in "$pod.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 825 \
        -extfile ext -out "$pod.crt" 2>/dev/null
done
printf 'apiVersion: v1\nkind: Secret\nmetadata:\n  name: trioroute-peers\n'
printf '  namespace: trioroute-system\ntype: Opaque\ndata:\n'
for file in ca.crt $(for pod in "$@"; do printf '%s.crt %s.key ' "$pod" "$pod"; done); do
    printf '  %s: %s\n' "$file" "$(openssl base64 -A -in "$file")"
done
