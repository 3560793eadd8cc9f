# A regulator's own program by requests and jwcrypto, for regulators.rs, which tells what is said on standard input and
# output. It knows Pagar by its HTTP interface only.
#
#   regulator.py PUBLIC NODE TOKEN CA        files: its public key, to be written; the node's, of the start; whom TLS trusts
import json
import sys

import requests
from jwcrypto import jwk, jws

public_file, node_file, token, ca = sys.argv[1:]
key = jwk.JWK.generate(kty="OKP", crv="Ed25519", kid="regulator-1", use="sig")
with open(public_file, "w") as file:
    file.write(key.export_public())


def step(line):
    """Says what is done and waits to be told to go on, which may come with a word."""
    print(line, flush=True)
    return sys.stdin.readline().strip()


base = step("key")
with open(node_file) as file:
    node = jwk.JWK.from_json(file.read())
session = requests.Session()
session.trust_env = False  # no proxy, and no certificates but the pinned one
session.verify = ca
session.headers["Authorization"] = "Bearer " + token


def sign(number, kind, **members):
    notice = {
        "version": 1,
        "id": f"N-{number}",
        "sequence": number,
        "authority": "mcmc",
        "kind": kind,
        "legal_basis": {"power": "CMA 1998 s.263(2)"},
        "issued_at": "2026-01-01T00:00:00+08:00",
        **members,
    }
    signer = jws.JWS(json.dumps(notice).encode())
    signer.add_signature(key, None, json.dumps({"alg": "EdDSA", "kid": key["kid"]}), None)
    return signer.serialize()


def names(*listed):
    targets = [{"item": str(n), "name": name, "scope": "subtree"} for n, name in enumerate(listed, 1)]
    return {"category": "scam", "action": "block-page", "targets": targets}


def push(envelope, wait=0):
    headers = {"Content-Type": "application/jose+json"}
    return session.post(f"{base}/v1/notices", params={"wait": wait}, data=envelope, headers=headers, timeout=60)


def read(answer):
    """The receipt in an answer, if the node has signed it: else jwcrypto throws."""
    signed = jws.JWS()
    signed.deserialize(answer.text, node)
    receipt = json.loads(signed.payload)
    assert receipt == answer.json()["receipt"], "what people read is what is signed"
    return receipt


def receipt(number, wait=0):
    answer = session.get(f"{base}/v1/notices/N-{number}/receipt", params={"wait": wait}, timeout=60)
    answer.raise_for_status()
    return read(answer)


def order(number, kind, **members):
    answer = push(sign(number, kind, **members), wait=30)
    return f"{answer.status_code} {read(answer)['state']}"


def items(told):
    return ",".join(f"{item['item']}:{item['state']}" for item in told["items"])


first = sign(1, "restrict", **names("one.example", "two.example"))
answer = push(first)
state = receipt(1, wait=30)["state"]
step(f"restrict {answer.status_code} {answer.headers['Location']} {state}")
answer = push(first)
step(f"again {answer.status_code} {read(answer)['state']}")
said = order(2, "amend", amends="N-1", **names("one.example", "three.example"))
step(f"amend {said} {receipt(1)['state']}")
step(f"suspend {order(3, 'suspend', suspends=['N-1'])} {receipt(2)['state']}")
step(f"resume {order(4, 'resume', resumes=['N-1'])} {receipt(2, wait=30)['state']}")
said = order(5, "revoke", revokes=["N-1"], targets=[{"item": "1"}])
step(f"part {said} {items(receipt(2, wait=30))}")
step(f"revoke {order(6, 'revoke', revokes=['N-1'])} {receipt(2)['state']}")
answer = push(sign(6, "restrict", **names("four.example")))
problem = answer.json()
# the refusal itself is signed too: it comes as a member of the problem
signed = jws.JWS()
signed.deserialize(json.dumps(problem["receipt"]), node)
refusal = json.loads(signed.payload)
step(f"reused {answer.status_code} {answer.headers['Content-Type']} {problem['type']} {refusal['state']}")
forged = json.loads(session.get(f"{base}/v1/notices/N-1/receipt", timeout=60).text)
forged["signature"] = ("B" if forged["signature"][0] == "A" else "A") + forged["signature"][1:]
try:
    jws.JWS().deserialize(json.dumps(forged), node)
except jws.InvalidJWSSignature:
    step("forged refused")
answer = session.get(f"{base}/v1/receipts", params={"notice": ["N-1", "N-6"], "format": "csv"}, timeout=60)
answer.raise_for_status()
step(f"spreadsheet {answer.headers['Content-Type'].split(';')[0]} {str('N-6' in answer.text).lower()}")
