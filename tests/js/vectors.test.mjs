// The shared vectors, checked by an implementation nobody here wrote: viem.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import {
  concat, encodeAbiParameters, encodePacked, getAddress, hashDomain, hashTypedData, keccak256, parseAbiParameters,
  compactSignatureToSignature, parseCompactSignature, parseTransaction, recoverAddress, recoverTransactionAddress, sliceHex, zeroHash,
} from 'viem';
import { privateKeyToAddress, sign } from 'viem/accounts';

const read = (name) => {
  const all = JSON.parse(readFileSync(new URL(`../../vectors/primitives/${name}.json`, import.meta.url)));
  assert.ok(all.length > 0, `${name}.json is empty`);
  return all;
};
const STATEMENT = parseAbiParameters('address, bytes32, bytes32, uint64');
const same = (found, expected, what) => assert.equal(String(found).toLowerCase(), String(expected).toLowerCase(), what);
const domain = ({ chainId, verifyingContract }) => ({ name: 'Surety', version: '1', chainId, verifyingContract });
const DOMAIN = [
  { name: 'name', type: 'string' }, { name: 'version', type: 'string' },
  { name: 'chainId', type: 'uint256' }, { name: 'verifyingContract', type: 'address' },
];
const RESPONSE = [
  { name: 'service', type: 'address' }, { name: 'program', type: 'bytes32' }, { name: 'input', type: 'bytes32' },
  { name: 'budget', type: 'uint64' }, { name: 'request', type: 'bytes32' }, { name: 'requester', type: 'address' },
  { name: 'result', type: 'bytes32' },
];
const OPERATOR = [
  { name: 'key', type: 'address' }, { name: 'owner', type: 'address' }, { name: 'endpoint', type: 'string' },
];

test('statements: abi encoding and id', () => {
  for (const { statement: s, abi, id } of read('statements')) {
    const encoded = encodeAbiParameters(STATEMENT, [s.service, s.program, s.input, BigInt(s.budget)]);
    same(encoded, abi);
    same(keccak256(encoded), id);
  }
});

test('outcomes: result hash', () => {
  for (const { status, exit, outputRoot, result } of read('outcomes')) {
    same(keccak256(encodePacked(['uint8', 'uint32', 'bytes32'], [status, exit, outputRoot])), result);
  }
});

test('outputs: root', () => {
  for (const { output, chunks, root } of read('outputs')) {
    const size = (output.length - 2) / 2;
    const lengths = [...Buffer.from(chunks.slice(2), 'hex')];
    if (lengths.length === 0) for (let at = 0; at < size; at += 32) lengths.push(Math.min(32, size - at));
    let [found, at] = [zeroHash, 0];
    for (const length of lengths) {
      found = keccak256(concat([found, sliceHex(output, at, at + length)]));
      at += length;
    }
    assert.equal(at, size);
    same(found, root);
  }
});

test('chain ids and forced requests', () => {
  for (const { l1, service, chainId } of read('chain_ids')) {
    const hash = keccak256(encodeAbiParameters(parseAbiParameters('string, uint256, address'), ['surety.service', BigInt(l1), service]));
    assert.equal((BigInt(hash) & ((1n << 48n) - 1n)) | (1n << 47n), BigInt(chainId));
  }
  for (const { l1, service, id, request } of read('forced_requests')) {
    same(keccak256(encodeAbiParameters(parseAbiParameters('uint256, address, uint256'), [BigInt(l1), service, BigInt(id)])), request);
  }
});

test('responses: domain, digest, signature', async () => {
  for (const v of read('responses')) {
    same(hashDomain({ domain: domain(v.domain), types: { EIP712Domain: DOMAIN } }), v.domain.separator);
    const message = { ...v.statement, budget: BigInt(v.statement.budget), request: v.request, requester: v.requester, result: v.result };
    const digest = hashTypedData({ domain: domain(v.domain), types: { Response: RESPONSE }, primaryType: 'Response', message });
    same(digest, v.digest);
    same(privateKeyToAddress(v.key), v.operator);
    const signature = compactSignatureToSignature({ r: v.r, yParityAndS: v.vs });
    same(await recoverAddress({ hash: digest, signature }), v.operator);
    // Deterministic (RFC 6979): two implementations make the same signature.
    const made = await sign({ hash: digest, privateKey: v.key });
    same(made.r, signature.r);
    same(made.s, signature.s);
  }
});

test('registrations: digest and signature', async () => {
  for (const v of read('registrations')) {
    const message = { key: v.operator, owner: v.owner, endpoint: v.endpoint };
    const digest = hashTypedData({ domain: domain(v.domain), types: { Operator: OPERATOR }, primaryType: 'Operator', message });
    same(digest, v.digest);
    same(await recoverAddress({ hash: digest, signature: compactSignatureToSignature(parseCompactSignature(v.signature)) }), v.operator);
  }
});

test('requests: hash, requester, budget', async () => {
  let decoded = 0;
  for (const v of read('requests')) {
    if (v.refused) continue;
    decoded += 1;
    const transaction = parseTransaction(v.raw);
    same(keccak256(v.raw), v.hash);
    same(await recoverTransactionAddress({ serializedTransaction: v.raw }), v.requester);
    same(getAddress(transaction.to), v.service);
    assert.equal(transaction.chainId, v.chainId);
    assert.equal(transaction.gas * 1000n, BigInt(v.budget));
    same(keccak256(transaction.data ?? '0x'), v.input);
  }
  assert.ok(decoded > 0);
});
