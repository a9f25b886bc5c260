// The network's shared vectors, checked by implementations nobody here wrote: viem, noble and Node.
import assert from 'node:assert/strict';
import { createHash, hkdfSync, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { chacha20poly1305 } from '@noble/ciphers/chacha';
import { bls12_381 } from '@noble/curves/bls12-381';
import { x25519 } from '@noble/curves/ed25519';
import {
  bytesToHex, concat, encodeAbiParameters, fromRlp, hashTypedData, hexToBytes, keccak256, parseAbiParameters, stringToHex,
} from 'viem';
import { privateKeyToAddress } from 'viem/accounts';

const read = (name) => {
  const all = JSON.parse(readFileSync(new URL(`../../vectors/network/${name}.json`, import.meta.url)));
  assert.ok(all.length > 0, `${name}.json is empty`);
  return all;
};
const same = (found, expected, what) => assert.equal(String(found).toLowerCase(), String(expected).toLowerCase(), what);
const hash = (types, ...values) => keccak256(encodeAbiParameters(parseAbiParameters(types), values));
const utf8 = (text) => new TextEncoder().encode(text);
const bls = bls12_381.shortSignatures;
const SIGNATURE = 'BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_';
const POSSESSION = 'BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_';
const { G1, G2, fields: { Fp2 } } = bls12_381;
// Field elements as in EIP-2537: 64 bytes each.
const elements = (point) => point.slice(2).match(/.{128}/g).map((element) => BigInt(`0x${element}`));
const g1 = (point) => {
  const [x, y] = elements(point);
  const found = G1.ProjectivePoint.fromAffine({ x, y });
  found.assertValidity();
  return found;
};
const g2 = (point) => {
  const [a, b, c, d] = elements(point);
  const found = G2.ProjectivePoint.fromAffine({ x: Fp2.fromBigTuple([a, b]), y: Fp2.fromBigTuple([c, d]) });
  found.assertValidity();
  return found;
};
const verifies = (signature, message, key, tag) =>
  bls12_381.verifyShortSignature(g1(signature), G1.hashToCurve(hexToBytes(message), { DST: tag }), g2(key));

// RFC 9180: labelled HKDF of one suite.
const extract = (salt, ikm) => createHmac('sha256', salt).update(ikm).digest();
const expand = (prk, info, length) => {
  assert.ok(length <= 32);
  return createHmac('sha256', prk).update(info).update(Uint8Array.of(1)).digest().subarray(0, length);
};
const bytesOf = (...parts) => Buffer.concat(parts.map((part) => (typeof part === 'string' ? utf8(part) : part)));
const KEM = bytesOf('KEM', Uint8Array.of(0, 0x20));
const HPKE = bytesOf('HPKE', Uint8Array.of(0, 0x20, 0, 1, 0, 3));
const labeledExtract = (suite, salt, label, ikm) => extract(salt, bytesOf('HPKE-v1', suite, label, ikm));
const labeledExpand = (suite, prk, label, info, length) =>
  expand(prk, bytesOf(Uint8Array.of(0, length), 'HPKE-v1', suite, label, info), length);
const none = new Uint8Array();

test('keys: what follows from an operator\'s secret', () => {
  for (const v of read('keys')) {
    same(privateKeyToAddress(v.operatorSecret), v.operator);
    const derive = (info) => new Uint8Array(hkdfSync('sha256', hexToBytes(v.operatorSecret), utf8('surety.keys.v1'), utf8(info), 32));
    // KeyGen of draft-irtf-cfrg-bls-signature-05, section 2.3: 48 bytes, modulo the order.
    const salt = createHash('sha256').update('BLS-SIG-KEYGEN-SALT-').digest();
    const okm = hkdfSync('sha256', bytesOf(derive('bls12-381'), Uint8Array.of(0)), salt, Uint8Array.of(0, 48), 48);
    const secret = BigInt(bytesToHex(new Uint8Array(okm))) % bls12_381.fields.Fr.ORDER;
    assert.equal(secret, BigInt(v.blsSecret));
    assert.ok(G2.ProjectivePoint.BASE.multiply(secret).equals(g2(v.blsKey)));
    const message = hash('bytes32, uint256, address, address, bytes32', keccak256(stringToHex('surety.possession')),
      BigInt(v.chainId), v.registry, v.operator, keccak256(v.blsKey));
    same(message, v.message);
    assert.ok(verifies(v.proof, v.message, v.blsKey, POSSESSION));
    assert.ok(!verifies(v.proof, v.message, v.blsKey, SIGNATURE));
    // DeriveKeyPair of RFC 9180, section 7.1.3; the public key is the same however the secret is clamped.
    const prk = labeledExtract(KEM, none, 'dkp_prk', derive('x25519'));
    const x = labeledExpand(KEM, prk, 'sk', none, 32);
    same(bytesToHex(x25519.getPublicKey(x)), v.encryptionKey);
    same(bytesToHex(x25519.getPublicKey(hexToBytes(v.encryptionSecret))), v.encryptionKey);
  }
});

const uint32 = (n) => Uint8Array.of(n >>> 24, n >>> 16 & 255, n >>> 8 & 255, n & 255);
const text = (string) => bytesOf(uint32(utf8(string).length), utf8(string));
const encode = (value) => {
  if (value === null) return Uint8Array.of(0);
  if (typeof value === 'boolean') return Uint8Array.of(value ? 2 : 1);
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(9, 3);
    bytes.writeDoubleBE(value + 0, 1);
    return bytes;
  }
  if (typeof value === 'string') return bytesOf(Uint8Array.of(4), text(value));
  if (Array.isArray(value)) return bytesOf(Uint8Array.of(5), uint32(value.length), ...value.map(encode));
  const keys = Object.keys(value).sort((a, b) => Buffer.compare(utf8(a), utf8(b)));
  return bytesOf(Uint8Array.of(6), uint32(keys.length), ...keys.flatMap((key) => [text(key), encode(value[key])]));
};

test('values: encoding and hash', () => {
  for (const { json, encoding, hash, salt, saltedHash } of read('values')) {
    same(bytesToHex(encode(JSON.parse(json))), encoding, json);
    same(keccak256(encoding), hash);
    same(keccak256(concat([salt, encoding])), saltedHash);
  }
});

const leaf = ({ kind, subject, value }) => hash('uint8, bytes32, bytes32', kind, subject, value);
const root = (from, proof) => proof.reduce((a, b) => keccak256(concat(a < b ? [a, b] : [b, a])), from);
const BALLOT = [{ name: 'service', type: 'address' }, { name: 'set', type: 'uint64' }, { name: 'root', type: 'bytes32' }];
const digest = ({ domain: { chainId, verifyingContract }, service, set, root }) => hashTypedData({
  domain: { name: 'Surety', version: '1', chainId, verifyingContract },
  types: { Ballot: BALLOT }, primaryType: 'Ballot', message: { service, set: BigInt(set), root },
});

test('votes and ballots: leaves, proofs, digests, signatures', () => {
  for (const v of read('votes')) same(leaf(v), v.leaf);
  for (const v of read('ballots')) {
    for (const { leaf, proof } of v.proofs) same(root(leaf, proof), v.root);
    same(digest(v), v.digest);
    assert.ok(verifies(v.signature, v.digest, v.blsKey, SIGNATURE));
  }
});

test('ids: events, runs, tasks, results, seeds', () => {
  for (const v of read('ids')) {
    same(hash('address, bytes32, bytes32', v.service, keccak256(stringToHex(v.name)), v.idHash), v.eventKey);
    same(hash('uint256, bytes32', BigInt(v.flow), v.eventKey), v.run);
    same(hash('bytes32, uint8', v.run, v.step), v.task);
    same(hash('bytes32, uint8, bytes32', v.run, v.step, v.mix), v.seed);
    same(hash('bytes32, uint8', v.task, v.attempt), v.resultSubject);
    same(hash('bytes32, uint8, bytes32, bytes32, uint32, uint32', v.task, v.attempt, v.inputs, v.output, v.seconds, v.bytes), v.result);
  }
});

test('certificates: keys of those who signed, signatures, votes', () => {
  const sets = new Map(read('sets').map((set) => [set.count, set]));
  for (const v of read('certificates')) {
    // The members' keys, from the pages: a zero byte, in the first a head (288) and the sum (192), then 228 bytes a member.
    const [first, second] = sets.get(v.members).pages;
    const roll = first.slice(2 + 2 * (1 + 288 + 192)) + second.slice(4);
    let sum = G2.ProjectivePoint.ZERO;
    for (let i = 0; i < v.members; i += 1) {
      if (!(BigInt(v.signers) >> BigInt(i) & 1n)) continue;
      const key = roll.slice(i * 456 + 72, (i + 1) * 456).match(/.{96}/g).map((element) => element.padStart(128, '0'));
      sum = sum.add(g2(`0x${key.join('')}`));
    }
    assert.ok(sum.equals(g2(v.key)));
    same(digest(v), v.digest);
    assert.ok(verifies(v.signature, v.digest, v.key, SIGNATURE));
    same(g1(v.signature).toHex(true), v.compressed.slice(2));
    same(root(leaf(v.vote), v.proof), v.root);
    const [service, set, signed, signers, signature] = fromRlp(v.rlp);
    same(service, v.service);
    assert.equal(BigInt(set), BigInt(v.set));
    same(signed, v.root);
    assert.equal(BigInt(signers), BigInt(v.signers));
    same(signature, v.compressed);
  }
});

test('selections: order', () => {
  for (const { name, seed, weights, only, order } of read('selections')) {
    const left = weights.map((weight, i) => (BigInt(only) >> BigInt(i) & 1n ? BigInt(weight) : 0n));
    const drawn = [];
    for (;;) {
      const total = left.reduce((a, b) => a + b, 0n);
      if (total === 0n) break;
      let r = BigInt(hash('bytes32, uint256', seed, BigInt(drawn.length))) % total;
      const index = left.findIndex((weight) => (r -= weight) < 0n);
      left[index] = 0n;
      drawn.push(index);
    }
    assert.deepEqual(drawn, order, name);
  }
});

test('sealed payloads: every recipient opens them', () => {
  const info = utf8('surety.sealed.v1');
  for (const v of read('sealed')) {
    const [task, recipients, ciphertext] = fromRlp(v.rlp);
    same(task, v.task);
    assert.equal(recipients.length, v.recipients.length);
    for (const { recipient, encryptionSecret } of v.recipients) {
      const [, encapsulated, wrapped] = recipients.find(([who]) => who === recipient.toLowerCase()).map((part) => hexToBytes(part));
      const secret = hexToBytes(encryptionSecret);
      const shared = x25519.getSharedSecret(secret, encapsulated);
      const context = bytesOf(encapsulated, x25519.getPublicKey(secret));
      const kem = labeledExpand(KEM, labeledExtract(KEM, none, 'eae_prk', shared), 'shared_secret', context, 32);
      const schedule = bytesOf(Uint8Array.of(0), labeledExtract(HPKE, none, 'psk_id_hash', none), labeledExtract(HPKE, none, 'info_hash', info));
      const prk = labeledExtract(HPKE, kem, 'secret', none);
      const key = labeledExpand(HPKE, prk, 'key', schedule, 32);
      const nonce = labeledExpand(HPKE, prk, 'base_nonce', schedule, 12);
      const payloadKey = chacha20poly1305(key, nonce, hexToBytes(concat([task, recipient]))).decrypt(wrapped);
      const plain = chacha20poly1305(payloadKey, new Uint8Array(12), hexToBytes(task)).decrypt(hexToBytes(ciphertext));
      same(keccak256(plain), v.hash);
      same(bytesToHex(plain), concat([v.salt, bytesToHex(encode(JSON.parse(v.json)))]));
    }
  }
});
