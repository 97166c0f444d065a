"""Judges a bundle that is by a certificate: ROOT BUNDLE. The package `sigstore` of PyPI knows no
bundles that are by a key."""

import sys

from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier
from sigstore.verify.policy import UnsafeNoOp

root, bundle = sys.argv[1:]
with open(bundle, "rb") as file:
    read = Bundle.from_json(file.read())
verifier = Verifier(trusted_root=TrustedRoot.from_file(root))
if read._dsse_envelope is None:
    sys.exit("no envelope is in it")
kind, payload = verifier.verify_dsse(read, UnsafeNoOp())
print("verified", kind)
