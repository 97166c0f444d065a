// Sigstore's own party: a log, an authority and time stamps of @sigstore/mock on loopback; bundles
// made by @sigstore/sign; bundles judged by @sigstore/verify. Packages are found by NODE_PATH.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');

const sha256 = (bytes) => crypto.createHash('sha256').update(bytes).digest();

// Rekor logs what an envelope says, and not the envelope.
function canonical(entry) {
  if (entry.kind !== 'dsse') return entry;
  const { envelope, verifiers } = entry.spec.proposedContent;
  const parsed = JSON.parse(envelope);
  const hash = (bytes) => ({ algorithm: 'sha256', value: sha256(bytes).toString('hex') });
  return {
    apiVersion: entry.apiVersion,
    kind: entry.kind,
    spec: {
      envelopeHash: hash(envelope),
      payloadHash: hash(Buffer.from(parsed.payload, 'base64')),
      signatures: [{ signature: parsed.signatures[0].sig, verifier: verifiers[0] }],
    },
  };
}

async function serve(trustedRoot) {
  const mock = require('@sigstore/mock');
  const { TrustedRoot, HashAlgorithm, PublicKeyDetails } = require('@sigstore/protobuf-specs');
  const pair = () => crypto.generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const ctlog = await mock.initializeCTLog(pair());
  const ca = await mock.initializeCA(pair(), ctlog);
  const tsa = await mock.initializeTSA(pair());
  const stamp = mock.tsaHandler(tsa, { strict: true });
  const logPair = pair();
  let tlog;
  const server = http.createServer(async (request, response) => {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const body = Buffer.concat(pieces);
    try {
      if (request.url === '/api/v1/log/entries') {
        response.writeHead(201, { 'content-type': 'application/json' });
        response.end(JSON.stringify(await tlog.log(canonical(JSON.parse(body)))));
      } else if (request.url === '/api/v1/signingCert') {
        const key = Buffer.from(JSON.parse(body).publicKey.content, 'base64');
        const issuer = 'https://issuer.example.com';
        const extensions = [
          { oid: '1.3.6.1.4.1.57264.1.1', value: issuer, legacy: true },
          { oid: '1.3.6.1.4.1.57264.1.8', value: issuer },
        ];
        const subjectAltName = 'https://example.com/dev';
        const made = await ca.issueCertificate({ publicKey: key, subjectAltName, extensions });
        const pem = (der) =>
          `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64').match(/.{1,64}/g).join('\n')}\n-----END CERTIFICATE-----\n`;
        response.writeHead(201);
        response.end(pem(made) + pem(ca.rootCertificate));
      } else {
        // Others than its own client ask in DER, where the hash is before the last three bytes.
        const asked =
          request.headers['content-type'] === 'application/timestamp-query'
            ? JSON.stringify({
                artifactHash: body.subarray(-35, -3).toString('base64'),
                hashAlgorithm: 'sha256',
                certificates: true,
              })
            : body.toString();
        const made = await stamp.fn(asked);
        response.writeHead(made.statusCode, { 'content-type': made.contentType || 'text/plain' });
        response.end(made.response);
      }
    } catch (error) {
      response.writeHead(500);
      response.end(String(error));
    }
  });
  server.listen(0, '127.0.0.1', async () => {
    const url = `http://127.0.0.1:${server.address().port}`;
    tlog = await mock.initializeTLog(url, logPair);
    const start = new Date(Date.now() - 60_000);
    const chain = (...ders) => ({
      subject: { organization: 'mock', commonName: 'mock' },
      uri: url,
      certChain: { certificates: ders.map((der) => ({ rawBytes: Buffer.from(der) })) },
      validFor: { start },
    });
    const log = (rawBytes, keyId) => ({
      baseUrl: url,
      hashAlgorithm: HashAlgorithm.SHA2_256,
      publicKey: {
        rawBytes,
        keyDetails: PublicKeyDetails.PKIX_ECDSA_P256_SHA_256,
        validFor: { start },
      },
      logId: { keyId },
    });
    const root = {
      mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
      tlogs: [log(tlog.publicKey, sha256(tlog.publicKey))],
      certificateAuthorities: [chain(ca.rootCertificate)],
      ctlogs: [log(ctlog.publicKey, Buffer.from(ctlog.logID))],
      timestampAuthorities: [chain(tsa.intCertificate, tsa.rootCertificate)],
    };
    fs.writeFileSync(trustedRoot, JSON.stringify(TrustedRoot.toJSON(root)));
    console.log(url);
  });
  // Whoever started this has gone.
  process.stdin.on('close', () => process.exit(0)).resume();
}

async function sign(url, statement, publicKey, bundle) {
  const { DSSEBundleBuilder, RekorWitness, TSAWitness } = require('@sigstore/sign');
  const { bundleToJSON } = require('@sigstore/bundle');
  const pair = crypto.generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const pem = pair.publicKey.export({ type: 'spki', format: 'pem' });
  const signer = {
    sign: async (data) => ({
      signature: crypto.sign('sha256', data, pair.privateKey),
      key: { $case: 'publicKey', publicKey: pem, hint: 'key' },
    }),
  };
  const builder = new DSSEBundleBuilder({
    signer,
    witnesses: [
      new RekorWitness({ rekorBaseURL: url, entryType: 'dsse' }),
      new TSAWitness({ tsaBaseURL: url }),
    ],
  });
  const data = fs.readFileSync(statement);
  const made = await builder.create({ data, type: 'application/vnd.in-toto+json' });
  fs.writeFileSync(publicKey, pem);
  fs.writeFileSync(bundle, JSON.stringify(bundleToJSON(made)));
}

function verify(trustedRoot, bundle, publicKey) {
  const { bundleFromJSON } = require('@sigstore/bundle');
  const { Verifier, toTrustMaterial, toSignedEntity } = require('@sigstore/verify');
  const { TrustedRoot } = require('@sigstore/protobuf-specs');
  const read = (path) => JSON.parse(fs.readFileSync(path));
  const keys = () => ({
    publicKey: crypto.createPublicKey(fs.readFileSync(publicKey)),
    validFor: () => true,
  });
  const trust = toTrustMaterial(TrustedRoot.fromJSON(read(trustedRoot)), keys);
  const verifier = new Verifier(trust, { ctlogThreshold: 0, tlogThreshold: 1, timestampThreshold: 1 });
  verifier.verify(toSignedEntity(bundleFromJSON(read(bundle))));
  console.log('verified');
}

const [mode, ...rest] = process.argv.slice(2);
Promise.resolve({ serve, sign, verify }[mode](...rest)).catch((error) => {
  console.error(String(error));
  process.exit(1);
});
