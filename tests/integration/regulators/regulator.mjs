// A regulator's own program by Node's fetch and jose (panva), for regulators.rs: the same as regulator.py, without TLS.
//
//   regulator.mjs PUBLIC NODE TOKEN        files: its public key, to be written; the node's, of the start
import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import readline from "node:readline";

const jose = createRequire(import.meta.url)("jose"); // so that NODE_PATH is looked at
const [publicFile, nodeFile, token] = process.argv.slice(2);
const kid = "regulator-1";
const key = await jose.generateKeyPair("EdDSA", { crv: "Ed25519" });
const shown = { ...(await jose.exportJWK(key.publicKey)), kid, alg: "EdDSA", use: "sig" };
fs.writeFileSync(publicFile, JSON.stringify(shown));

const told = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

// Says what is done and waits to be told to go on, which may come with a word.
async function step(line) {
  console.log(line);
  return (await told.next()).value;
}

const base = await step("key");
const node = await jose.importJWK(JSON.parse(fs.readFileSync(nodeFile, "utf8")), "EdDSA");
const authorization = `Bearer ${token}`;

function sign(number, kind, members) {
  const notice = {
    version: 1,
    id: `N-${number}`,
    sequence: number,
    authority: "mcmc",
    kind,
    legal_basis: { power: "CMA 1998 s.263(2)" },
    issued_at: "2026-01-01T00:00:00+08:00",
    ...members,
  };
  const signer = new jose.GeneralSign(new TextEncoder().encode(JSON.stringify(notice)));
  signer.addSignature(key.privateKey).setProtectedHeader({ alg: "EdDSA", kid });
  return signer.sign();
}

function names(...listed) {
  const targets = listed.map((name, n) => ({ item: `${n + 1}`, name, scope: "subtree" }));
  return { category: "scam", action: "block-page", targets };
}

function push(envelope, wait = 0) {
  const headers = { authorization, "content-type": "application/jose+json" };
  return fetch(`${base}/v1/notices?wait=${wait}`, { method: "POST", body: JSON.stringify(envelope), headers });
}

// The receipt of a JSON, if the node has signed it: else jose throws.
async function verified(signed) {
  const { payload } = await jose.flattenedVerify(signed, node);
  return JSON.parse(new TextDecoder().decode(payload));
}

async function read(answer) {
  const body = await answer.json();
  const receipt = await verified(body);
  assert.deepEqual(receipt, body.receipt, "what people read is what is signed");
  return receipt;
}

async function get(path) {
  const answer = await fetch(base + path, { headers: { authorization } });
  assert.equal(answer.status, 200, path);
  return answer;
}

const receipt = async (number, wait = 0) => read(await get(`/v1/notices/N-${number}/receipt?wait=${wait}`));

async function order(number, kind, members) {
  const answer = await push(await sign(number, kind, members), 30);
  return `${answer.status} ${(await read(answer)).state}`;
}

const items = (receipt) => receipt.items.map(({ item, state }) => `${item}:${state}`).join(",");

const first = await sign(1, "restrict", names("one.example", "two.example"));
let answer = await push(first);
let state = (await receipt(1, 30)).state;
await step(`restrict ${answer.status} ${answer.headers.get("location")} ${state}`);
answer = await push(first);
await step(`again ${answer.status} ${(await read(answer)).state}`);
let said = await order(2, "amend", { amends: "N-1", ...names("one.example", "three.example") });
await step(`amend ${said} ${(await receipt(1)).state}`);
said = await order(3, "suspend", { suspends: ["N-1"] });
await step(`suspend ${said} ${(await receipt(2)).state}`);
said = await order(4, "resume", { resumes: ["N-1"] });
await step(`resume ${said} ${(await receipt(2, 30)).state}`);
said = await order(5, "revoke", { revokes: ["N-1"], targets: [{ item: "1" }] });
await step(`part ${said} ${items(await receipt(2, 30))}`);
said = await order(6, "revoke", { revokes: ["N-1"] });
await step(`revoke ${said} ${(await receipt(2)).state}`);
answer = await push(await sign(6, "restrict", names("four.example")));
const problem = await answer.json();
// the refusal itself is signed too: it comes as a member of the problem
const refusal = await verified(problem.receipt);
await step(`reused ${answer.status} ${answer.headers.get("content-type")} ${problem.type} ${refusal.state}`);
const forged = await (await get("/v1/notices/N-1/receipt")).json();
forged.signature = (forged.signature[0] === "A" ? "B" : "A") + forged.signature.slice(1);
await assert.rejects(verified(forged), { code: "ERR_JWS_SIGNATURE_VERIFICATION_FAILED" });
await step("forged refused");
answer = await get("/v1/receipts?notice=N-1&notice=N-6&format=csv");
const text = await answer.text();
await step(`spreadsheet ${answer.headers.get("content-type").split(";")[0]} ${text.includes("N-6")}`);
process.exit(0);
