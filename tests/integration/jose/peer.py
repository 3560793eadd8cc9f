# JWK and JWS by jwcrypto, for jose.rs:
#
#   peer.py generate PRIVATE PUBLIC KID          makes a key
#   peer.py sign FORM PAYLOAD OUT PRIVATE...     compact | flattened | general; jwcrypto makes general of two keys or more
#   peer.py verify FILE PUBLIC                   prints the payload, or ends with code 1
import sys

from jwcrypto import jwk, jws
from jwcrypto.common import json_encode


def octets(path):
    with open(path, "rb") as file:
        return file.read()


def key(path):
    return jwk.JWK.from_json(octets(path).decode())


def generate(private, public, kid):
    new = jwk.JWK.generate(kty="OKP", crv="Ed25519", kid=kid, use="sig")
    for path, text in [(private, new.export_private()), (public, new.export_public())]:
        with open(path, "w") as file:
            file.write(text)


def sign(form, payload, out, *keys):
    token = jws.JWS(octets(payload))
    for path in keys:
        signer = key(path)
        token.add_signature(signer, None, json_encode({"alg": "EdDSA", "kid": signer["kid"]}), None)
    with open(out, "w") as file:
        file.write(token.serialize(compact=form == "compact"))


def verify(path, public):
    token = jws.JWS()
    try:
        token.deserialize(octets(path).decode().strip(), key(public))
    except jws.InvalidJWSSignature:
        sys.exit(1)
    sys.stdout.buffer.write(token.payload)


{"generate": generate, "sign": sign, "verify": verify}[sys.argv[1]](*sys.argv[2:])
