// JWK and JWS by jose (panva), with the commands of peer.py, for jose.rs.
const fs = require("fs");
const jose = require("jose");

const read = (path) => JSON.parse(fs.readFileSync(path, "utf8"));

async function generate(privateFile, publicFile, kid) {
  const pair = await jose.generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  const write = async (path, key) =>
    fs.writeFileSync(path, JSON.stringify({ ...(await jose.exportJWK(key)), kid, alg: "EdDSA", use: "sig" }));
  await write(privateFile, pair.privateKey);
  await write(publicFile, pair.publicKey);
}

async function sign(form, payload, out, ...files) {
  const octets = fs.readFileSync(payload);
  const keys = await Promise.all(
    files.map(read).map(async (jwk) => ({
      key: await jose.importJWK(jwk, "EdDSA"),
      header: { alg: "EdDSA", kid: jwk.kid, typ: "JOSE+JSON" },
    })),
  );
  const by = { compact: jose.CompactSign, flattened: jose.FlattenedSign }[form];
  let signed;
  if (by) {
    signed = await new by(octets).setProtectedHeader(keys[0].header).sign(keys[0].key);
  } else {
    const all = new jose.GeneralSign(octets);
    keys.forEach(({ key, header }) => all.addSignature(key).setProtectedHeader(header));
    signed = await all.sign();
  }
  fs.writeFileSync(out, typeof signed === "string" ? signed : JSON.stringify(signed));
}

async function verify(path, publicFile) {
  const key = await jose.importJWK(read(publicFile), "EdDSA");
  const text = fs.readFileSync(path, "utf8").trim();
  let verified;
  try {
    if (text.startsWith("{")) {
      const token = JSON.parse(text);
      verified = await (token.signatures ? jose.generalVerify : jose.flattenedVerify)(token, key);
    } else {
      verified = await jose.compactVerify(text, key);
    }
  } catch (error) {
    if (error.code !== "ERR_JWS_SIGNATURE_VERIFICATION_FAILED") throw error;
    process.exit(1);
  }
  fs.writeSync(1, verified.payload);
}

const [command, ...words] = process.argv.slice(2);
({ generate, sign, verify })[command](...words).catch((error) => {
  console.error(error);
  process.exit(4);
});
