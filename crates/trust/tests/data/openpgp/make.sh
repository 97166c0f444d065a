#!/bin/bash
# Makes the keys and messages of this folder anew, with GnuPG 2.2. The tests' clock stands at
# 2026-06-01, so nothing here grows old. Secret keys are kept of `ed25519` only, to sign in tests.
set -euo pipefail
cd "$(dirname "$0")"
GNUPGHOME=$(mktemp -d); export GNUPGHOME
trap 'gpgconf --kill all; rm -rf "$GNUPGHOME"' EXIT
at() { local time=$1; shift; gpg --batch --yes --quiet --no-tty --passphrase '' --pinentry-mode loopback \
    --faked-system-time "$time" --trust-model always "$@" 2>/dev/null; }
may=20260501T000000!
payload=payload.json
make() { # NAME ALGORITHM USAGE EXPIRY
    at $may --quick-generate-key "$1 <$1@example.com>" "$2" "$3" "${4:-0}"; }
sign() { # KEY FILE ARGUMENTS
    local key=$1 file=$2; shift 2; at $may -u "$key" -o "$file" "$@" --sign $payload; }
fingerprint() { gpg --batch --with-colons --list-keys "$1" 2>/dev/null | awk -F: '/^fpr/ {print $10}' | sed -n "${2:-1}p"; }
export_key() { at $may -o "$1.pub" --export "$1@example.com"; }

for name in rsa2048 rsa3072 rsa1024 dsa2048 dsa1024; do make $name $name sign; done
make p256 nistp256 sign; make p384 nistp384 sign; make p521 nistp521 sign
make ed25519 ed25519 sign
for name in rsa2048 rsa3072 rsa1024 dsa2048 dsa1024 p256 p384 p521 ed25519; do
    sign $name@example.com $name.sig --digest-algo SHA512; export_key $name
done
at $may -o ed25519.sec --export-secret-keys ed25519@example.com
at $may -o ed25519.asc --armor --export ed25519@example.com
at $may -o three.asc --armor --export rsa2048@example.com p256@example.com ed25519@example.com

# Forms of one message.
key=ed25519@example.com
sign $key uncompressed.sig -z 0; sign $key zlib.sig --compress-algo zlib; sign $key bzip2.sig --compress-algo bzip2
sign $key text.sig --textmode; sign $key armored.sig --armor
sign $key sha1.sig --digest-algo SHA1; sign $key sha384.sig --digest-algo SHA384
sign rsa2048@example.com sha224.sig --digest-algo SHA224
sign $key ripemd160.sig --digest-algo RIPEMD160
sign rsa2048@example.com md5.sig --digest-algo MD5 --allow-weak-digest-algos
sign $key expiring.sig --default-sig-expire 2026-05-20
sign $key two.sig -u p256@example.com -z 0
sign $key notation.sig --sig-notation '!strange@example.com=1'
at $may -u $key -o detached.sig --detach-sign $payload
at $may -u $key -o clear.sig --clear-sign $payload
at $may -o unsigned.sig --store $payload
at $may -u $key -o nested.sig --sign uncompressed.sig
make encryption rsa2048 sign; at $may --quick-add-key "$(fingerprint encryption@example.com)" rsa2048 encr
at $may -u $key -r encryption@example.com -o encrypted.sig --sign --encrypt $payload

# What became of keys.
make expired ed25519 sign 2026-05-10; sign expired@example.com expired.sig; export_key expired
make revoked ed25519 sign; sign revoked@example.com revoked.sig; export_key revoked; mv revoked.pub revoked-before.pub
sed 's/^:---/---/' "$GNUPGHOME/openpgp-revocs.d/$(fingerprint revoked@example.com).rev" > "$GNUPGHOME/rev"
at $may --import "$GNUPGHOME/rev"; export_key revoked

# Subkeys.
make subkey ed25519 cert; print=$(fingerprint subkey@example.com)
at $may --quick-add-key "$print" ed25519 sign
sub=$(fingerprint subkey@example.com 2)
sign "$sub!" subkey.sig; export_key subkey
cp subkey.pub subkey-good.pub
at 20260502T000000! --quick-set-expire "$print" 2026-05-10 "$sub"; export_key subkey; mv subkey.pub subkey-expired.pub
mv subkey-good.pub subkey.pub
make subrevoked ed25519 cert; print=$(fingerprint subrevoked@example.com)
at $may --quick-add-key "$print" ed25519 sign; sub=$(fingerprint subrevoked@example.com 2)
sign "$sub!" subrevoked.sig
printf 'key 1\nrevkey\ny\n1\n\ny\nsave\n' | at 20260502T000000! --no-batch --expert --command-fd 0 --edit-key "$print"; export_key subrevoked
make usage rsa2048 cert; print=$(fingerprint usage@example.com)
at $may --quick-add-key "$print" rsa2048 sign,encr; sub=$(fingerprint usage@example.com 2)
sign "$sub!" usage.sig
printf 'key 1\nchange-usage\ns\nq\nsave\n' | at 20260502T000000! --no-batch --expert --command-fd 0 --edit-key "$print"; export_key usage
# The key was extended: the newest statement counts.
make extended ed25519 sign 2026-05-10; sign extended@example.com extended.sig
at 20260502T000000! --quick-set-expire "$(fingerprint extended@example.com)" 0; export_key extended
ls -1 | wc -l
